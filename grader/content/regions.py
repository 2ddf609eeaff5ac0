"""Marked regions: what stands between a line that begins one and the line that ends it, in a source or a page.

Solutions are marked as nbgrader marks them (`### BEGIN SOLUTION`), and so are hidden tests; what a release leaves
out or brings is marked in a comment of any language (`# BEGIN WHOLE`, `<!-- BEGIN WITH ex16 -->`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from grader.errors import GraderError

SOLUTION, HIDDEN = "SOLUTION", "HIDDEN TESTS"
WHOLE, RELEASE, WITH = "WHOLE", "RELEASE", "WITH"  # the whole project alone; a release alone; one with some exercises

CODE = (SOLUTION, HIDDEN)
EDITION = (WHOLE, RELEASE, WITH)

_IN_CODE = re.compile(rf"(?P<indent>[ \t]*)### (?P<edge>BEGIN|END) (?P<kind>{'|'.join(CODE)})\b(?P<labels>.*)")
_IN_TEXT = re.compile(
    r"(?P<indent>\s*)(?:<!--|#)?\s*(?P<edge>BEGIN|END) "
    rf"(?P<kind>{'|'.join(EDITION)})\b\s*(?P<labels>[\w ]*?)\s*(?:-->)?\s*"
)


@dataclass(frozen=True)
class Region:
    """One region: its kind, the numbers of its two marker lines (from 1), and what stands beside the first marker."""

    kind: str
    begin: int
    end: int
    indent: str
    labels: tuple[str, ...] = ()

    @property
    def lines(self) -> range:
        """The numbers of the lines between the markers."""
        return range(self.begin + 1, self.end)

    def of(self, text: str) -> list[str]:
        """Return the lines between the markers."""
        return text.splitlines()[self.begin : self.end - 1]


def regions(text: str, *kinds: str, name: str = "the file") -> list[Region]:
    """Return the regions of some kinds, in the order of the text.

    Raises:
        GraderError: the markers don't pair up. `name` is how the message calls the text.
    """
    found: list[Region] = []
    opened: tuple[int, re.Match[str]] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        marker = _marker(line, kinds)
        if marker is None:
            continue
        if marker["edge"] == "BEGIN" and opened is None:
            opened = number, marker
        elif marker["edge"] == "END" and opened is not None and opened[1]["kind"] == marker["kind"]:
            begin, first = opened
            found.append(Region(first["kind"], begin, number, first["indent"], tuple(first["labels"].split())))
            opened = None
        else:
            raise GraderError(f"{name}:{number}: {line.strip()!r} has no match")
    if opened is not None:
        raise GraderError(f"{name}:{opened[0]}: BEGIN {opened[1]['kind']} without an end")
    return found


def inside(text: str, *kinds: str) -> set[int]:
    """Return the numbers of all lines between markers of some kinds.

    Raises:
        GraderError: the markers don't pair up.
    """
    return {number for region in regions(text, *kinds) for number in region.lines}


def without_markers(text: str, *kinds: str) -> str:
    """Return a text without the lines that mark regions of some kinds; what stands between them stays."""
    return "".join(line for line in text.splitlines(keepends=True) if not is_marker(line, *kinds))


def is_marker(line: str, *kinds: str) -> bool:
    """Return whether a line begins or ends a region of one of some kinds."""
    return _marker(line, kinds) is not None


def _marker(line: str, kinds: tuple[str, ...]) -> re.Match[str] | None:
    match = _IN_CODE.match(line) or _IN_TEXT.fullmatch(line.rstrip("\r\n"))
    return match if match is not None and match["kind"] in kinds else None
