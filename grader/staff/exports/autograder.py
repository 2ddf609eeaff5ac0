"""What Gradescope's harness runs for each submission: it is graded in the sandbox, whatever the folder looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grader.content.syllabus import Entry
from grader.grading import Grading
from grader.sandbox.runner import IsolatedRunner, JudgeDied
from grader.staff.exports.gradescope import Visibility, gradescope, refusal
from grader.staff.intake.reader import Unusable, take
from grader.staff.words import printable

TRIES = 3  # a machine may fail


def grade(
    submission: Path, entries: Sequence[Entry], hidden: Visibility, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Grade a submission with a seed of its own; returns what `results.json` is to hold.

    Gradescope gives each submission a container of its own, so that one below full isolation harms nobody else; what
    is missing is said, since code under test may then find the solutions.

    Args:
        submission: the folder that was handed in.
        entries: what to grade.
        hidden: when students see the hidden checks.
        say: takes lines for instructors.
    """
    try:
        taken = take(submission, entries)
    except Unusable as error:
        for line in error.details:
            say(printable(line))
        return refusal(f"Nothing could be graded: {error}")
    runner = IsolatedRunner()
    with runner:
        level = runner.level
        say(f"Isolation: {level.name}. Seed: {runner.seed}.")
        for line in (*level.missing, *level.notes, *taken.notes, *taken.details):
            say(f"  {printable(line)}")
        for tries in range(1, TRIES + 1):
            runner.begin()
            try:
                with Grading(submission, runner=runner, written=taken) as grading:
                    document = gradescope(grading.run(entries), hidden)
                break
            except JudgeDied as death:
                say(printable(str(death)))
                if tries == TRIES:
                    raise
    if taken.notes:
        document["output"] = "\n".join([*taken.notes, document["output"]])
    return document
