"""What a student reads of one check, as plain text: the same words in every format."""

from __future__ import annotations

import re

from grader.probing.prints import marked
from grader.results import CheckResult, ExerciseResult
from grader.screens.failure import known

LIMIT = 8000  # characters of one check's feedback; some formats allow a megabyte in all
UNPRINTABLE = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML can't hold either


def feedback(check: CheckResult) -> str:
    """Why a check does not pass, with the misconception that it shows and the numbers side by side; "" for a pass."""
    if check.status == "pass":
        return ""
    evidence = check.evidence
    parts = [
        check.message,
        "\n".join(known(check.misconception)),
        evidence.spot and f"Look at {evidence.spot}",
        "\n".join(evidence.beside),
        "\n".join(["The check calls:", *evidence.inputs]) if evidence.inputs else "",
        marked("\n".join(evidence.printed)).strip(),
    ]
    text = clean("\n\n".join(part for part in parts if part))
    return text if len(text) <= LIMIT else f"{text[:LIMIT]} ..."


def clean(text: str) -> str:
    """A text without control characters, which a learner's own message may hold."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def summary(exercise: ExerciseResult) -> str:
    """One line on an exercise."""
    line = f"{exercise.stem}: {exercise.points} of {exercise.max_points} points ({exercise.status})"
    if exercise.borrowed:
        line += f", graded with the reference's {', '.join(exercise.borrowed)}"
    return "\n".join([line, *exercise.notes])
