"""Misconceptions: the known wrong turns of each exercise, as edits of its reference (tests/misconceptions/)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT, read_toml
from grader.probing.assembly import Source

FOLDER = ROOT / "tests" / "misconceptions"


@dataclass(frozen=True)
class Misconception:
    """One wrong turn: what the learner did, what to ask them, and the edit of the reference that does the same."""

    id: str
    says: str
    nudge: str
    links: tuple[str, ...]
    edits: tuple[tuple[str, str], ...]

    def applied(self, reference: Source) -> Source:
        """The reference with this mistake put in.

        Raises:
            ValueError: a piece to find does not occur exactly once.
        """
        return reference.edited(self.edits)


@cache
def catalogue(entry: Entry, folder: Path = FOLDER) -> tuple[Misconception, ...]:
    """The misconceptions of an exercise; none if it has no file.

    Raises:
        GraderError: the file is damaged, or an edit does not fit the reference.
    """
    path = folder / f"{entry.stem}.toml"
    try:
        tables = read_toml(path)["misconception"]
        found = tuple(_read(table) for table in tables)
    except FileNotFoundError:
        return ()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GraderError(f"{path} is damaged: {error}") from None
    ids = [each.id for each in found]
    twice = sorted({id for id in ids if ids.count(id) > 1})
    if twice:
        raise GraderError(f"{path}: the id {twice[0]} occurs more than once")
    return found


def _read(table: dict[str, Any]) -> Misconception:
    unknown = set(table) - {"id", "says", "nudge", "links", "edits"}
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r} in {table.get('id')!r}")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", table["id"]):
        raise ValueError(f"{table['id']!r} is not an id: use lower case, digits and hyphens")
    edits = tuple((edit["find"], edit["replace"]) for edit in table.get("edits", ()))  # a release has none
    return Misconception(
        table["id"], table["says"].strip(), table["nudge"].strip(), tuple(table.get("links", ())), edits
    )


def mistaken(reference: Source, several: Sequence[Misconception]) -> Source | None:
    """The reference with several mistakes put in; None if their edits get in each other's way."""
    source = reference
    try:
        for each in several:
            source = each.applied(source)
    except ValueError:
        return None
    return source
