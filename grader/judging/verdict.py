"""What the judge says of one check, and what was seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from grader.probing.assembly import unqualified
from grader.probing.outcome import Outcome
from grader.probing.prints import clean
from grader.results import Evidence, Status


@dataclass(frozen=True)
class Verdict:
    """The judge's word on one check. Part of the message may be the learner's code's: it moves no cursor.

    `words` is what the learner's code says itself, for the instructor alone, where the message must not repeat it.
    """

    status: Status
    message: str = ""
    seconds: float = 0.0
    evidence: Evidence = field(default_factory=Evidence)
    words: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", clean(unqualified(self.message)))

    def document(self) -> dict[str, Any]:
        """The verdict as JSON values, to be sent from one process to another."""
        return asdict(self)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Verdict:
        """The verdict that a document stands for; what else is in it is left alone."""
        given = {field.name: document[field.name] for field in fields(cls)}
        return cls(**{**given, "evidence": Evidence(**document["evidence"])})


@dataclass(frozen=True)
class Seen:
    """The evidence from one check, for a diagnosis: the status, what is wrong, the outcome, and what must come out."""

    status: Status
    message: str
    outcome: Outcome
    want: Any = None
