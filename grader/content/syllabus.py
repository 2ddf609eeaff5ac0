"""The syllabus: which exercises there are, in which order, what they need and forbid (exercises/syllabus.toml)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from grader.errors import GraderError
from grader.files import ROOT, read_toml

LEVELS = ("gentle", "steady", "steep")


@dataclass(frozen=True)
class Entry:
    """One exercise as the syllabus describes it."""

    stem: str
    title: str
    part: str
    bonus: bool  # whether the course is complete without it
    summary: str
    needs: tuple[str, ...]  # direct and indirect, in syllabus order
    forbids: tuple[str, ...]  # its own and those of all earlier exercises
    operators: tuple[str, ...]  # the same as operators of torch
    reads: tuple[str, ...]
    understood: str = ""  # what whoever passes it has understood, in a sentence
    minutes: int = 0  # about how long it takes; 0 if nobody has said
    level: str = ""  # one of LEVELS, or "" if nobody has said
    stretch: bool = False  # whether its stretch goals are meant, which have a suite of their own and no points

    @property
    def label(self) -> str:
        """The short name, such as `ex05`."""
        return self.stem.partition("_")[0]

    @property
    def effort(self) -> str:
        """An estimate of how long it takes, and how hard it is, in words; "" if nobody has said."""
        hours, rest = divmod(self.minutes, 60)
        time = " ".join(filter(None, (f"{hours} h" if hours else "", f"{rest} min" if rest else "")))
        return ", ".join(filter(None, (time, self.level)))

    @property
    def solution(self) -> Path:
        return ROOT / "solutions" / f"{self.stem}.py"

    @property
    def stub(self) -> Path:
        return ROOT / "exercises" / f"{self.stem}.py"

    @property
    def suite(self) -> Path:
        return ROOT / "tests" / ("stretch" if self.stretch else "") / f"test_{self.stem}.py"

    @property
    def goals(self) -> Entry | None:
        """Its stretch goals; None if it has none."""
        goals = replace(self, stretch=True)
        return goals if goals.suite.exists() else None

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
                bonus=item.get("bonus", False),
                summary=item.get("summary", ""),
                needs=tuple(needs[stem]),
                forbids=(*forbidden, *item.get("forbids_here", [])),
                operators=(*operators, *item.get("operators_here", [])),
                reads=tuple(item.get("reads", [])),
                understood=item.get("understood", ""),
                minutes=item.get("minutes", 0),
                level=item.get("level", ""),
            )
        )
    return tuple(entries)


def find(names: Sequence[str]) -> tuple[Entry, ...]:
    """The exercises that are meant by `names`, in syllabus order.

    A name is a number (`5`, `05`, `ex05`), a stem or a word of it, a file, or something that a learner writes
    (`attend`, `GPT`). Several can stand together, with commas (`05,07`) and as a range (`01-03`).

    Raises:
        GraderError: a name fits no exercise, or several; a range runs backwards.
    """
    if not names:
        return load()
    chosen = {
        entry.stem for name in names for part in name.split(",") if part.strip() for entry in _range(part.strip())
    }
    return tuple(entry for entry in load() if entry.stem in chosen)


def _range(text: str) -> Sequence[Entry]:
    ends = re.fullmatch(r"((?:ex)?\d+)\s*-\s*((?:ex)?\d+)", text, re.IGNORECASE)
    if ends is None:
        return (_one(text),)
    first, last = (load().index(_one(end)) for end in ends.groups())
    if first > last:
        raise GraderError(f"{text!r} runs backwards: name the earlier exercise first.")
    return load()[first : last + 1]


def _one(name: str) -> Entry:
    entries = load()
    word = Path(name).name.removesuffix(".py").removeprefix("test_")
    number = re.fullmatch(r"(?:ex)?(\d+)", word.lower())
    if number:
        hits = [entry for entry in entries if int(entry.label.removeprefix("ex")) == int(number[1])]
    else:
        hits = [entry for entry in entries if entry.stem == word.lower()]
        hits = hits or [entry for entry in entries if word in _written_in(entry)]
        hits = hits or [entry for entry in entries if word and word.lower() in entry.stem]
    if len(hits) == 1:
        return hits[0]
    known = ", ".join(entry.label for entry in entries)
    close = difflib.get_close_matches(word.lower(), [entry.stem for entry in entries], n=1, cutoff=0.5)
    what = f"fits several exercises: {', '.join(e.stem for e in hits)}" if hits else "is not an exercise"
    also = f" Did you mean {close[0]}?" if close and not hits else ""
    raise GraderError(f"{name!r} {what}.{also} There are {known}.")


def _written_in(entry: Entry) -> frozenset[str]:
    """The names that a learner writes in an exercise: those that there are hints for."""
    try:
        names = read_toml(entry.hints)
    except (FileNotFoundError, GraderError):
        return frozenset()  # it can't be read: whoever asks for a hint is told
    return frozenset(names) | {name.partition(".")[0] for name in names}  # a method has its class before it
