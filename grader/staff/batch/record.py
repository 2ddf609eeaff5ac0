"""What is kept of one submission: whose it is, a digest of what was handed in, and the result or why there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grader.errors import GraderError
from grader.results import Result
from grader.written import Written

VERSION = 1


@dataclass(frozen=True)
class Record:
    """One student's row of a batch. Without a digest it is no final one: the next run grades again.

    `details` is what Python said of what can't be read, for the instructor.
    """

    student: str
    digest: str
    notes: tuple[str, ...] = ()
    problem: str = ""
    result: Result | None = None
    details: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The record as a JSON document."""
        return {
            "record": VERSION,
            "student": self.student,
            "digest": self.digest,
            "notes": list(self.notes),
            "problem": self.problem,
            "details": list(self.details),
            "result": None if self.result is None else self.result.document(),
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Record:
        """The record that a document describes.

        Raises:
            GraderError: it is no record of this version.
        """
        if document.get("record") != VERSION:
            raise GraderError(f"This is not a record of version {VERSION} (`record` says which it is).")
        try:
            result = None if document["result"] is None else Result.of_document(document["result"])
            notes = tuple(map(str, document["notes"]))
            details = tuple(map(str, document.get("details", ())))
            return cls(document["student"], document.get("digest", ""), notes, document["problem"], result, details)
        except (KeyError, TypeError, AttributeError) as error:
            raise GraderError(f"The record is damaged: {type(error).__name__}: {error}") from None


def digest(written: Written | None, notes: Sequence[str] = (), problem: str = "") -> str:
    """A digest of what was handed in, as it was read."""
    texts = sorted((stem, source.text) for stem, source in written.sources.items()) if written else []
    unreadable = sorted(written.unreadable.items()) if written else []
    told = repr((texts, unreadable, [*notes, *(written.notes if written else ())], problem))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]
