"""What the judge says of one check, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grader.probing.assembly import unqualified
from grader.probing.outcome import Outcome
from grader.probing.prints import clean
from grader.results import Evidence, Status


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one check. Part of the message may be the learner's code's: it moves no cursor.

    `words` is what the learner's code says itself, for the instructor alone, where the message must not repeat it.
    """

    status: Status
    message: str = ""
    seconds: float = 0.0
    evidence: Evidence = field(default_factory=Evidence)
    words: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", clean(unqualified(self.message)))


@dataclass(frozen=True)
class Seen:
    """What was seen of one check, for a diagnosis: the status, what is wrong, the outcome, and what must come out."""

    status: Status
    message: str
    outcome: Outcome
    want: Any = None
