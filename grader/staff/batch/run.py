"""A batch: every submission of a folder is graded once, and its record is on the disk before the next thing happens."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT, write_atomically
from grader.sandbox.runner import Budget, fresh_seed
from grader.staff.batch import unit
from grader.staff.batch.intake import Submission, Unusable, find_submissions, student_of, take
from grader.staff.batch.unit import RECORD_VERSION, Task
from grader.store import fingerprint

Record = dict[str, Any]
TRIES = 3  # for a unit whose worker died: a machine may fail, and a submission must not be able to stop the batch


class Pool(Protocol):
    """Something that runs units of work, somewhere."""

    def submit(self, submission: Submission, task: Task) -> Future[Record]:
        """Begin with a unit."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...


class LocalPool:
    """Judges on this machine, `jobs` at a time."""

    def __init__(self, jobs: int) -> None:
        self._threads = ThreadPoolExecutor(jobs)
        self._jobs = jobs

    def submit(self, submission: Submission, task: Task) -> Future[Record]:
        """Begin with a unit."""
        return self._threads.submit(unit.grade_submission, submission, task)

    def close(self) -> None:
        """End the judges."""
        self._threads.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Plan:
    """What a batch is: kept in `batch.json`, so that it can go on after an interruption."""

    seed: int
    exercises: tuple[str, ...]
    budget: Budget
    suite: str  # a fingerprint of checks and references

    @property
    def task(self) -> Task:
        return Task(self.seed, self.exercises, self.budget)


class Batch:
    """Grades a folder of submissions into a folder of results."""

    def __init__(self, submissions: Path, out: Path, plan: Plan) -> None:
        self.submissions = submissions
        self.out = out
        self.plan = plan

    @classmethod
    def begin(
        cls, submissions: Path, out: Path, entries: Sequence[Entry], *, seed: int | None, budget: Budget, resume: bool
    ) -> Batch:
        """Begin a batch, or go on with the one whose results are in `out`.

        Raises:
            GraderError: `out` holds another batch, or the checks have changed since it began.
        """
        find_submissions(submissions)
        path = out / "batch.json"
        now = suite_fingerprint(entries)
        if path.exists():
            if not resume:
                raise GraderError(
                    f"{out} holds the results of a batch. Go on with it: --resume. Or name another --out."
                )
            plan = _read_plan(path)
            if plan.exercises != tuple(entry.stem for entry in entries):
                raise GraderError(f"The batch in {out} grades {', '.join(plan.exercises)}: name the same exercises.")
            if plan.suite != now:
                raise GraderError(
                    f"Checks or grader have changed since the batch in {out} began: grade anew, to another --out."
                )
            if seed is not None and seed != plan.seed:
                raise GraderError(
                    f"The batch in {out} has the seed {plan.seed}: leave --seed out, or name another --out."
                )
        else:
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise GraderError(f"{out} is not an empty folder: nothing there is overwritten. Name another --out.")
            plan = Plan(fresh_seed() if seed is None else seed, tuple(entry.stem for entry in entries), budget, now)
            (out / "students").mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps({"batch": RECORD_VERSION, **asdict(plan)}, indent=1) + "\n")
        return cls(submissions, out, plan)

    def run(self, pool: Pool, begun: Callable[[int, int], None], done: Callable[[Record], None]) -> list[Record]:
        """Grade what is not graded yet; returns the records of all, in the order of their names.

        Args:
            pool: where the units run.
            begun: called first, with the number of submissions and of those that are graded already.
            done: called with each record as soon as it is on the disk.
        """
        paths = find_submissions(self.submissions)
        records: dict[str, Record] = {}
        for path in paths:
            kept = self._kept(student_of(path))
            if kept is not None:
                records[kept["student"]] = kept
        begun(len(paths), len(records))
        for record in self._graded(pool, [path for path in paths if student_of(path) not in records]):
            write_atomically(self._file(record["student"]), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
            records[record["student"]] = record
            done(record)
        return [records[student_of(path)] for path in paths]

    def _graded(self, pool: Pool, paths: Sequence[Path]) -> Iterator[Record]:
        """Run the units, with only some of them in memory at a time; a unit whose worker dies is tried again."""
        waiting = iter(paths)
        running: dict[Future[Record], tuple[Submission, int]] = {}
        room = 4 * (os.cpu_count() or 1)
        while True:
            while len(running) < room and (path := next(waiting, None)) is not None:
                try:
                    submission = take(path)
                except Unusable as problem:
                    yield unit.record(student_of(path), [], "", problem=str(problem))
                    continue
                running[pool.submit(submission, self.plan.task)] = (submission, 1)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                submission, tries = running.pop(future)
                try:
                    yield future.result()
                except Exception as error:
                    if tries < TRIES:
                        running[pool.submit(submission, self.plan.task)] = (submission, tries + 1)
                        continue
                    yield unit.record(
                        submission.student,
                        submission.notes,
                        unit.digest(submission),
                        problem=f"it could not be graded, {TRIES} times: {type(error).__name__}: {error}",
                    )

    def _file(self, student: str) -> Path:
        return self.out / "students" / f"{student}.json"

    def _kept(self, student: str) -> Record | None:
        try:
            record = json.loads(self._file(student).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and record.get("record") == RECORD_VERSION else None


def suite_fingerprint(entries: Sequence[Entry]) -> str:
    """What decides all results: the checks and the references."""
    texts = [path.read_text(encoding="utf-8") for entry in entries for path in (entry.suite, entry.solution)]
    texts += [(ROOT / "exercises" / "syllabus.toml").read_text(encoding="utf-8")]
    return fingerprint(0, texts)[:16]


def _read_plan(path: Path) -> Plan:
    try:
        data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data["batch"] != RECORD_VERSION:
            raise GraderError(f"{path} was written by another version ({data['batch']}): grade anew, to another --out.")
        return Plan(data["seed"], tuple(data["exercises"]), Budget(**data["budget"]), data["suite"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GraderError(f"{path} is damaged ({error}): grade anew, to another --out.") from None
