"""The process that grades for nbgrader: it stays for all submissions of a run, with all that it knows of the reference.

It is one of its own so that a server that runs for weeks (the formgrader) grades by the checks as they are today.
Run as a module, this is that process: it answers requests, one JSON document a line.
"""

from __future__ import annotations

import atexit
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.files import real
from grader.nb.cells import Places
from grader.sandbox.runner import Budget, JudgeDied
from grader.staff.batch.record import Record
from grader.staff.batch.run import suite_fingerprint
from grader.staff.batch.unit import Task, close, grade_submission
from grader.staff.intake.reader import Unusable, places_of, take
from grader.staff.nbgrader.steps.copying import is_placeholder
from grader.workers.process import WorkerDied, WorkerProcess
from grader.workers.serving import serve
from grader.written import Written

SLACK = 300.0  # seconds on top of a submission's budget: the reference's own side, a slow machine
TRIES = 2  # a machine may fail, but a submission must not be able to stop the run


@dataclass(frozen=True)
class Handed:
    """The place where something was handed in: nbgrader's folder of submissions, by whom, as which assignment."""

    submitted: Path
    student: str
    assignment: str

    @property
    def folder(self) -> Path:
        """Return where it lies."""
        return self.submitted / self.student / self.assignment


@dataclass(frozen=True)
class Judged:
    """The outcome: the record, as a batch keeps it, and the code, with the places of cells if it stood in those."""

    record: Record
    code: str
    places: Places


class GradingProcess:
    """Grades submissions, one after the other. It starts with the first one."""

    def __init__(self, seed: int, budget: Budget) -> None:
        self.seed = seed
        self.budget = budget
        self._worker: WorkerProcess | None = None

    def grade(self, handed: Handed, entry: Entry) -> Judged:
        """Grade one exercise of a submission.

        Raises:
            GraderError: it could not be graded.
        """
        request = {
            "submitted": str(real(handed.submitted)),
            "student": handed.student,
            "assignment": handed.assignment,
            "stem": entry.stem,
            "seed": self.seed,
            "budget": asdict(self.budget),
        }
        problem = ""
        for _ in range(TRIES):
            if self._worker is None:
                self._worker = WorkerProcess(__name__)
            try:
                answer = self._worker.ask(request, self.budget.wall + SLACK)
            except WorkerDied as death:
                self._worker, problem = None, death.trace.strip() or f"the judge ended with code {death.code}"
                continue
            if "broken" in answer:
                raise GraderError(answer["broken"])
            places = {name: (first, last) for name, (first, last) in answer["places"].items()}
            return Judged(Record.of_document(answer["record"]), answer["code"], places)
        raise GraderError(f"{handed.student}'s {entry.stem} could not be graded: {problem}")

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


_kept: tuple[object, GradingProcess] | None = None


def warm(seed: int, budget: Budget) -> GradingProcess:
    """The process that graded last, if it still grades by what the checks and the solutions are now; else a new one."""
    global _kept
    key = (seed, budget, suite_fingerprint(load()))
    if _kept is None or _kept[0] != key:
        cool()
        _kept = (key, GradingProcess(seed, budget))
    return _kept[1]


@atexit.register
def cool() -> None:
    """End the process that was kept."""
    global _kept
    if _kept is not None:
        _kept[1].close()
        _kept = None


def read(handed: Handed, entry: Entry) -> Written:
    """Return what was handed in for an exercise, with the earlier exercises, which it may import.

    Of those, what stands beside it counts before what was handed in for itself.
    """
    try:
        written = take(handed.folder, [entry])
    except Unusable as problem:
        written = Written(notes=[str(problem)], details=list(problem.details))
    if is_placeholder(handed.folder / f"{entry.stem}.ipynb"):
        written.notes.insert(0, "No notebook was handed in, so the question is not answered.")
    for other in takewhile(lambda other: other != entry, load()):
        if other.stem in written.sources:
            continue
        try:
            earlier = take(handed.submitted / handed.student / other.stem, [other])
        except Unusable:
            continue
        if other.stem in earlier.sources:
            written.sources[other.stem] = earlier.sources[other.stem]
    if entry.stem not in written.sources and entry.stem not in written.unreadable:
        written.unreadable[entry.stem] = f"There is no {entry.stub.name} in what was handed in."
    return written


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The other side of `GradingProcess`: grade one submission, with another judge if one dies."""
    (entry,) = find([request["stem"]])
    handed = Handed(Path(request["submitted"]), request["student"], request["assignment"])
    task = Task(request["seed"], (entry.stem,), Budget(**request["budget"]))
    written = read(handed, entry)
    code = written.sources[entry.stem].text if entry.stem in written.sources else ""
    broken = ""
    for _ in range(TRIES):
        try:
            record = grade_submission(handed.student, written, task)
        except JudgeDied as death:
            broken = f"{death} That says nothing about the submission: run autograde again."
        else:
            places = places_of(handed.folder / f"{entry.stem}.ipynb", entry, code) if code else {}
            return {"record": record.document(), "code": code, "places": places}
    return {"broken": broken}


def main() -> None:
    """Serve until stdin closes."""
    try:
        serve(answer)
    finally:
        close()


if __name__ == "__main__":
    main()
