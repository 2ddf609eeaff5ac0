"""The unit of work: one submission in, one record out, in any process on any machine that has the repository."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.content.syllabus import find
from grader.grading import Grading
from grader.sandbox.runner import Budget, IsolatedRunner
from grader.staff.batch.record import Record, digest
from grader.written import Written

_local = threading.local()


@dataclass(frozen=True)
class Task:
    """The terms for grading a submission: the seed of the batch, the exercises, the budget of each submission."""

    seed: int
    stems: tuple[str, ...]
    budget: Budget


def grade_submission(student: str, written: Written, task: Task, notes: Sequence[str] = ()) -> Record:
    """Grade one submission in the sandbox.

    The judge of this thread is kept for the next submission of the same batch, with all that it knows of the reference.
    """
    runner = _runner(task)
    runner.begin()
    with Grading(Path(student), runner=runner, written=written) as grading:
        result = grading.run(find(task.stems))
    details = tuple(written.details)
    return Record(student, digest(written, notes), (*notes, *written.notes), result=result, details=details)


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
