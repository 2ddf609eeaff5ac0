"""The unit of work: one submission in, one record out, in any process on any machine that has the repository."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.content.syllabus import find
from grader.grading import Grading
from grader.results import Result
from grader.sandbox.runner import Budget, IsolatedRunner
from grader.staff.batch.intake import Submission
from grader.written import Written

RECORD_VERSION = 1
_local = threading.local()


@dataclass(frozen=True)
class Task:
    """What to grade a submission by: the seed of the batch, the exercises, the budget of each submission."""

    seed: int
    stems: tuple[str, ...]
    budget: Budget


def grade_submission(submission: Submission, task: Task) -> dict[str, Any]:
    """Grade one submission in the sandbox.

    The judge of this thread is kept for the next submission of the same batch, with all that it knows of the reference.
    """
    runner = _runner(task)
    runner.begin()
    written = Written(submission.sources, submission.unreadable)
    with Grading(Path(submission.student), runner=runner, written=written) as grading:
        result = grading.run(find(task.stems))
    return record(submission.student, submission.notes, digest(submission), result=result)


def record(
    student: str, notes: Sequence[str], digest: str, *, result: Result | None = None, problem: str = ""
) -> dict[str, Any]:
    """What is kept of one submission: the result document, or why there is none."""
    return {
        "record": RECORD_VERSION,
        "student": student,
        "digest": digest,
        "notes": list(notes),
        "problem": problem,
        "result": None if result is None else result.document(),
    }


def digest(submission: Submission) -> str:
    """A fingerprint of what was handed in."""
    texts = {stem: source.text for stem, source in submission.sources.items()}
    told = repr((sorted(texts.items()), sorted(submission.unreadable.items())))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def close() -> None:
    """End the judge that this thread has kept."""
    runner: IsolatedRunner | None = getattr(_local, "runner", None)
    if runner is not None:
        runner.close()
        _local.runner = None


def _runner(task: Task) -> IsolatedRunner:
    kept = getattr(_local, "runner", None)
    if kept is None or (kept.seed, kept.budget) != (task.seed, task.budget):
        close()
        _local.runner = IsolatedRunner(task.seed, task.budget)
    runner: IsolatedRunner = _local.runner
    return runner
