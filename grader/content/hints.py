"""Hints: for each function or method that a learner writes a question, the concept behind it, and nearly the code.

A long one may have a skeleton as well, code with gaps, which comes before the last tier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import read_toml


@dataclass(frozen=True)
class Hint:
    """The hints for one name, from the first to the last."""

    question: str
    concept: str
    nearly: str
    skeleton: str = ""

    @property
    def tiers(self) -> tuple[str, ...]:
        """The texts in the order in which they are given."""
        return tuple(text for text in (self.question, self.concept, self.skeleton, self.nearly) if text)

    def tier(self, number: int) -> str:
        """Return one tier, counted from 1; beyond the last one, the last."""
        return self.tiers[min(number, len(self.tiers)) - 1]


Hints = Mapping[str, Hint]  # by name; a method's is "BPETokenizer.train"


def hints_of(entry: Entry) -> dict[str, Hint]:
    """Return the hints of an exercise by name.

    Raises:
        GraderError: the file is missing or damaged, or a tier is.
    """
    path = entry.hints
    try:
        found = dict(_read(read_toml(path)))
        if not found:
            raise ValueError("it holds no hint")
        return found
    except FileNotFoundError:
        raise GraderError(f"{path} is missing. Restore it: git checkout -- {path}") from None
    except GraderError as error:
        raise GraderError(f"{error} Restore it: git checkout -- {path}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise GraderError(f"{path} is damaged: {error}. Restore it: git checkout -- {path}") from None


def _read(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Hint]]:
    """The hints of a table; that of a class may hold tables for its methods."""
    known = {field.name for field in fields(Hint)}
    for name, content in table.items():
        texts = {key: text.strip("\n") for key, text in content.items() if isinstance(text, str)}
        tables = {key: inner for key, inner in content.items() if not isinstance(inner, str)}
        if texts.keys() - known:
            raise ValueError(f"{prefix}{name} has an unknown key {min(texts.keys() - known)!r}")
        if texts or not tables:
            missing = [tier for tier in ("question", "concept", "nearly") if not texts.get(tier)]
            if missing:
                raise ValueError(f"{prefix}{name} has no {missing[0]}")
            yield f"{prefix}{name}", Hint(**texts)
        yield from _read(tables, f"{prefix}{name}.")


def choices(hints: Hints, name: str) -> list[str]:
    """Return the names whose hints are meant by a name, most fitting first; none if there is no hint for it.

    A method is meant by its own name as well, if no other class has one of that name; a class stands for all its
    methods, and for a method that has no hint of its own.
    """
    if name in hints:
        return [name]
    of_method = [each for each in hints if each.rpartition(".")[2] == name]
    if len(of_method) == 1:
        return of_method
    owner = name.partition(".")[0]
    return [each for each in hints if each == owner] or [each for each in hints if each.startswith(f"{owner}.")]


def name_for(entry: Entry, name: str) -> str:
    """Return what to ask for a hint by, where code of a name fails: "" if there is no hint for it, or none at all."""
    try:
        meant = choices(hints_of(entry), name) if name else []
    except GraderError:
        return ""
    return meant[0] if len(meant) == 1 else name.partition(".")[0] if meant else ""
