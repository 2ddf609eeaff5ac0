"""The syllabus: which exercises there are, in which order, what they need and forbid (exercises/syllabus.toml)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from grader.errors import GraderError
from grader.files import ROOT, read_toml


@dataclass(frozen=True)
class Entry:
    """One exercise as the syllabus describes it."""

    stem: str
    title: str
    part: str
    summary: str
    needs: tuple[str, ...]  # direct and indirect, in syllabus order
    forbids: tuple[str, ...]  # its own and those of all earlier exercises
    operators: tuple[str, ...]  # the same as operators of torch
    reads: tuple[str, ...]

    @property
    def label(self) -> str:
        """The short name, such as `ex05`."""
        return self.stem.partition("_")[0]

    @property
    def solution(self) -> Path:
        return ROOT / "solutions" / f"{self.stem}.py"

    @property
    def stub(self) -> Path:
        return ROOT / "exercises" / f"{self.stem}.py"

    @property
    def suite(self) -> Path:
        return ROOT / "tests" / f"test_{self.stem}.py"

    @property
    def hints(self) -> Path:
        return ROOT / "exercises" / "hints" / f"{self.stem}.toml"


@cache
def load(path: Path = ROOT / "exercises" / "syllabus.toml") -> tuple[Entry, ...]:
    """Read the syllabus.

    Raises:
        GraderError: the file is missing or damaged, or an exercise needs one that does not come before it.
    """
    try:
        data = read_toml(path)
    except FileNotFoundError:
        raise GraderError(f"{path} is missing. Restore it: git checkout -- exercises/syllabus.toml") from None
    except GraderError as error:
        raise GraderError(f"{error} Restore it: git checkout -- exercises/syllabus.toml") from None
    entries: list[Entry] = []
    needs: dict[str, list[str]] = {}
    forbidden: list[str] = []
    operators: list[str] = []
    for item in data["exercise"]:
        stem = item["stem"]
        unknown = [need for need in item["needs"] if need not in needs]
        if unknown:
            raise GraderError(f"{path}: {stem} needs {', '.join(unknown)}, which must come before it")
        closure = {need for direct in item["needs"] for need in (direct, *needs[direct])}
        needs[stem] = [entry.stem for entry in entries if entry.stem in closure]
        forbidden += item.get("forbids", [])
        operators += item.get("operators", [])
        entries.append(
            Entry(
                stem=stem,
                title=item["title"],
                part=item["part"],
                summary=item.get("summary", ""),
                needs=tuple(needs[stem]),
                forbids=(*forbidden, *item.get("forbids_here", [])),
                operators=(*operators, *item.get("operators_here", [])),
                reads=tuple(item.get("reads", [])),
            )
        )
    return tuple(entries)


def find(names: Sequence[str]) -> tuple[Entry, ...]:
    """The exercises that are meant by `names`, in syllabus order: `5`, `05`, `ex05`, a stem, a file or a word of it.

    Raises:
        GraderError: a name fits no exercise, or several.
    """
    entries = load()
    if not names:
        return entries
    chosen: set[str] = set()
    for name in names:
        word = Path(name).name.removesuffix(".py").removeprefix("test_").lower()
        number = re.fullmatch(r"(?:ex)?(\d+)", word)
        hits = [
            entry
            for entry in entries
            if entry.stem == word or (number and int(entry.label.removeprefix("ex")) == int(number[1]))
        ]
        if not hits and word and not number:
            hits = [entry for entry in entries if word in entry.stem]
        if len(hits) != 1:
            known = ", ".join(entry.label for entry in entries)
            close = difflib.get_close_matches(word, [entry.stem for entry in entries], n=1, cutoff=0.5)
            what = f"fits several exercises: {', '.join(e.stem for e in hits)}" if hits else "is no exercise"
            also = f" Did you mean {close[0]}?" if close and not hits else ""
            raise GraderError(f"{name!r} {what}.{also} There are {known}.")
        chosen.add(hits[0].stem)
    return tuple(entry for entry in entries if entry.stem in chosen)
