"""Cutting: what students get of a file, from the same file that authors work on. Text in, text out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Sequence

from grader.content.suite import hidden_lines
from grader.errors import GraderError
from grader.misconceptions.catalogue import Misconception

MARKER = re.compile(
    r"\s*(?:<!--|#)?\s*(?P<edge>BEGIN|END) (?P<what>WHOLE|RELEASE|WITH)\b\s*(?P<labels>[\w ]*?)\s*(?:-->)?\s*"
)


def public_checks(text: str) -> str:
    """A test file without its hidden checks."""
    hidden = hidden_lines(text)
    kept = [
        line
        for number, line in enumerate(text.splitlines(), start=1)
        if number not in hidden and not re.match(r"\s*### (BEGIN|END) HIDDEN TESTS", line)
    ]
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(kept)).strip("\n") + "\n"


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
    lines: list[str] = []
    inside: str | None = None
    keep = True
    for number, line in enumerate(text.splitlines(), start=1):
        marker = MARKER.fullmatch(line)
        if marker is None:
            if keep:
                lines.append(line)
        elif marker["edge"] == "BEGIN" and inside is None:
            inside = marker["what"]
            keep = inside == "RELEASE" or (inside == "WITH" and set(marker["labels"].split()) <= set(labels))
        elif marker["edge"] == "END" and marker["what"] == inside:
            inside, keep = None, True
        else:
            raise GraderError(f"{name}:{number}: {line.strip()!r} has no match")
    if inside is not None:
        raise GraderError(f"{name}: BEGIN {inside} without an end")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"


def _stems(block: str) -> set[str]:
    """The exercises that a table of the syllabus is about, or made of."""
    data = tomllib.loads(block)
    return {
        *(item["stem"] for item in data.get("exercise", ())),
        *(stem for item in data.get("recall", ()) for stem in item["names"]),
    }


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def sections(text: str, begin: str, end: str) -> Iterator[list[str]]:
    """The lines between each two markers."""
    region: list[str] | None = None
    for line in text.splitlines():
        if line.strip().startswith(begin):
            region = []
        elif line.strip().startswith(end) and region is not None:
            yield region
            region = None
        elif region is not None:
            region.append(line)
