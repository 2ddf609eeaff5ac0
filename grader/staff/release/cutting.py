"""Cutting: what students get of a file, from the same file that authors work on. Text in, text out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Sequence

from grader.content.regions import EDITION, HIDDEN, WHOLE, WITH, Region, regions, without_markers
from grader.misconceptions.catalogue import Misconception


def public_checks(text: str) -> str:
    """A test file without its hidden checks."""
    kept = without_markers(_without(text, regions(text, HIDDEN)), HIDDEN)
    return re.sub(r"\n{4,}", "\n\n\n", kept).strip("\n") + "\n"


def named_misconceptions(several: Sequence[Misconception]) -> str:
    """A catalogue without the edits: what each mistake is, a nudge, and where to read on."""
    lines = ["# Known wrong turns, by the names that a report gives them."]
    for each in several:
        lines += [
            "",
            "[[misconception]]",
            f"id = {_string(each.id)}",
            f"says = {_string(each.says)}",
            f"nudge = {_string(each.nudge)}",
            f"links = [{', '.join(map(_string, each.links))}]",
        ]
    return "\n".join(lines) + "\n"


def syllabus(text: str, kept: Collection[str]) -> str:
    """The syllabus with some exercises alone, and with the tasks that are made of these."""
    blocks = re.split(r"^(?=\[\[)", text, flags=re.MULTILINE)
    return "".join(block for block in blocks if _stems(block) <= set(kept)).rstrip("\n") + "\n"


def marked(text: str, labels: Collection[str], name: str = "the file") -> str:
    """A text as it is in a release.

    What stands between `BEGIN WHOLE` and `END WHOLE` is in the whole project alone, and goes. What stands between
    `BEGIN RELEASE` and `END RELEASE`, which may open and close a comment, stays; of `BEGIN WITH ex16` ... `END WITH` it
    stays if the exercises named are released.

    Raises:
        GraderError: the markers don't pair up.
    """
    found = regions(text, *EDITION, name=name)
    gone = [
        region
        for region in found
        if region.kind == WHOLE or (region.kind == WITH and not set(region.labels) <= set(labels))
    ]
    kept = without_markers(_without(text, gone), *EDITION)
    return re.sub(r"\n{3,}", "\n\n", kept).strip("\n") + "\n"


def _without(text: str, several: Sequence[Region]) -> str:
    """A text without what stands in some regions; their markers stay."""
    gone = {number for region in several for number in region.lines}
    return "".join(line for number, line in enumerate(text.splitlines(keepends=True), 1) if number not in gone)


def _stems(block: str) -> set[str]:
    """The exercises that a table of the syllabus is about, or made of."""
    data = tomllib.loads(block)
    return {
        *(item["stem"] for item in data.get("exercise", ())),
        *(stem for item in data.get("recall", ()) for stem in item["names"]),
    }


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
