"""The one result document: what a run of the checks found. Every report is a rendering of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from grader.errors import GraderError
from grader.files import write_atomically

Status = Literal["pass", "fail", "error", "blocked", "timeout", "todo"]
Isolation = Literal["here", "full", "reduced", "none"]

SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("result.schema.json")
STATUSES: tuple[Status, ...] = get_args(Status)
SEVERITY: tuple[Status, ...] = ("error", "timeout", "fail", "blocked", "todo", "pass")


@dataclass(frozen=True)
class Evidence:
    """The things to look at when a check fails. A hidden check's inputs are never in it.

    `spot` is the line to open (path:line), `name` the name of the exercise that is at fault, `inputs` what the check
    calls and with what, `beside` the learner's numbers beside the expected ones, `numbers` whether the message tells
    of these alone. `code` is the line that failed, with what stands in it, `printed` what the learner's code printed,
    which is kept of a check that passes as well.
    """

    spot: str = ""
    name: str = ""
    inputs: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    numbers: bool = False
    code: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class WrongTurn:
    """A misconception as a report tells of it."""

    id: str
    says: str
    nudge: str
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class Named:
    """The known misconceptions that a failing check shows: one, one of several, or two at the same time."""

    kind: Literal["one", "one of", "both"]
    of: tuple[WrongTurn, ...]

    @property
    def says(self) -> str:
        """The whole in a sentence."""
        joined = {"one": "", "one of": ", or ", "both": ", and at the same time "}[self.kind]
        return f"It looks as if {joined.join(turn.says for turn in self.of)}."


@dataclass
class CheckResult:
    """The result of one check. `words` is the submission's own, which only instructors see."""

    id: str
    says: str
    hidden: bool
    status: Status
    points: int
    max_points: int
    message: str = ""
    misconception: Named | None = None
    seconds: float = 0.0
    evidence: Evidence = field(default_factory=Evidence)
    words: str = ""

    @property
    def name(self) -> str:
        """The name of the check's function."""
        return self.id.partition("::")[2]


@dataclass
class ExerciseResult:
    """The result of one exercise, with the pieces that were borrowed from the reference to grade it.

    `notes` are sentences on the sources that no check depends on, `printed` what they print when they are imported.
    """

    stem: str
    status: Status
    points: int
    max_points: int
    borrowed: list[str] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        stem: str,
        checks: Iterable[CheckResult],
        borrowed: Iterable[str],
        notes: Sequence[str] = (),
        printed: Sequence[str] = (),
    ) -> ExerciseResult:
        """Add up the checks; the exercise has the most severe status among them."""
        checks = list(checks)
        status = min((check.status for check in checks), key=SEVERITY.index)
        points, most = sum(check.points for check in checks), sum(check.max_points for check in checks)
        return cls(stem, status, points, most, list(borrowed), checks, list(notes), list(printed))

    def check(self, name: str) -> CheckResult:
        """One check's result, by the name of its function."""
        return next(check for check in self.checks if check.name == name)


@dataclass
class Result:
    """A whole run."""

    seed: int
    exercises: list[ExerciseResult] = field(default_factory=list)
    isolation: Isolation = "here"

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)

    @property
    def max_points(self) -> int:
        return sum(exercise.max_points for exercise in self.exercises)

    @property
    def failed(self) -> bool:
        """Whether anything that was attempted does not pass."""
        return any(exercise.status not in ("pass", "todo") for exercise in self.exercises)

    def document(self) -> dict[str, Any]:
        """The result as the JSON document that `result.schema.json` describes."""
        return {
            "schema": SCHEMA_VERSION,
            "seed": self.seed,
            "isolation": self.isolation,
            "points": self.points,
            "max_points": self.max_points,
            "exercises": [asdict(exercise) for exercise in self.exercises],
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Result:
        """The result that a document describes.

        Raises:
            GraderError: it is no result document of this version.
        """
        if document.get("schema") != SCHEMA_VERSION:
            raise GraderError(f"This is not a result document of version {SCHEMA_VERSION} (`schema` says which it is).")
        try:
            exercises = [_exercise(each) for each in document["exercises"]]
            return cls(document["seed"], exercises, document["isolation"])
        except (KeyError, TypeError, AttributeError) as error:
            raise GraderError(f"The result document is damaged: {type(error).__name__}: {error}") from None

    def write(self, path: Path) -> None:
        """Write the document, whole or not at all; that of somebody else's work, with its seed, for the owner alone.

        Raises:
            GraderError: the file can't be written.
        """
        text = json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n"
        write_atomically(path, text, private=self.isolation != "here")


def _exercise(data: Mapping[str, Any]) -> ExerciseResult:
    return ExerciseResult(**{**data, "checks": [_check(each) for each in data["checks"]]})


def _check(data: Mapping[str, Any]) -> CheckResult:
    named = data["misconception"]
    if named is not None:
        turns = tuple(WrongTurn(**{**turn, "links": tuple(turn["links"])}) for turn in named["of"])
        named = Named(named["kind"], turns)
    return CheckResult(**{**data, "misconception": named, "evidence": Evidence(**data["evidence"])})
