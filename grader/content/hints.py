"""Hints: for each name that a learner writes a question, the concept behind it, and nearly the code."""

from __future__ import annotations

import tomllib

from grader.content.syllabus import Entry
from grader.errors import GraderError

TIERS = ("question", "concept", "nearly")


def hints_of(entry: Entry) -> dict[str, tuple[str, ...]]:
    """The hints of an exercise: by name, one text for each tier.

    Raises:
        GraderError: the file is missing or damaged, or a tier is.
    """
    path = entry.hints
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: tuple(table[tier].strip() for tier in TIERS) for name, table in tables.items()}
    except FileNotFoundError:
        raise GraderError(f"{path} is missing. Restore it: git checkout -- {path}") from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise GraderError(f"{path} is damaged ({error}). Restore it: git checkout -- {path}") from None
