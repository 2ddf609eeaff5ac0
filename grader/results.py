"""The one result document: what a run of the checks found. Every report is a rendering of it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from grader.errors import GraderError

Status = Literal["pass", "fail", "error", "blocked", "timeout", "todo"]
Isolation = Literal["here"]

SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("result.schema.json")
STATUSES: tuple[Status, ...] = get_args(Status)
SEVERITY: tuple[Status, ...] = ("error", "timeout", "fail", "blocked", "todo", "pass")


@dataclass
class CheckResult:
    """What came of one check."""

    id: str
    says: str
    hidden: bool
    status: Status
    points: int
    max_points: int
    message: str = ""
    misconception: str | None = None
    seconds: float = 0.0


@dataclass
class ExerciseResult:
    """What came of one exercise, with the pieces that were borrowed from the reference to grade it."""

    stem: str
    status: Status
    points: int
    max_points: int
    borrowed: list[str] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)

    @classmethod
    def of(cls, stem: str, checks: Iterable[CheckResult], borrowed: Iterable[str]) -> ExerciseResult:
        """Add up the checks; the exercise has the most severe status among them."""
        checks = list(checks)
        status = min((check.status for check in checks), key=SEVERITY.index)
        points, most = sum(check.points for check in checks), sum(check.max_points for check in checks)
        return cls(stem, status, points, most, list(borrowed), checks)


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

    def write(self, path: Path) -> None:
        """Write the document, whole or not at all.

        Raises:
            GraderError: the file can't be written.
        """
        write_atomically(path, json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content in one step: a crash leaves the old content, never half of the new.

    Raises:
        GraderError: the file can't be written.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="\n", dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise GraderError(f"Can't write {path}: {error.strerror or error}.") from None
