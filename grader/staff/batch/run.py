"""A batch: every submission of a folder is graded once, and its record is on the disk before the next thing happens."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from grader.content.syllabus import Entry, find
from grader.errors import GraderError
from grader.files import ROOT, private_folder, write_atomically
from grader.sandbox.runner import Budget, fresh_seed
from grader.staff.batch import unit
from grader.staff.batch.record import VERSION, Record, digest
from grader.staff.batch.unit import Task
from grader.staff.intake.folder import Folder, Handed, find_submissions
from grader.staff.intake.reader import Unusable, take
from grader.staff.words import file_name, printable
from grader.store import fingerprint
from grader.written import Written

TRIES = 3  # for a unit whose judge died: a machine may fail, and a submission must not be able to stop the batch


class Graders(Protocol):
    """Something that runs units of work, somewhere."""

    def submit(self, student: str, written: Written, task: Task, notes: Sequence[str]) -> Future[Record]:
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

    def submit(self, student: str, written: Written, task: Task, notes: Sequence[str]) -> Future[Record]:
        """Begin with a unit."""
        return self._threads.submit(unit.grade_submission, student, written, task, notes)

    def close(self) -> None:
        """End the judges."""
        self._threads.shutdown(cancel_futures=True)


@dataclass
class Standing:
    """The submissions of a folder beside the results that are there: which of these are kept, and which are not."""

    total: int = 0
    kept: dict[str, Record] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)  # handed in anew since they were graded
    again: list[str] = field(default_factory=list)  # could not be graded
    gone: list[str] = field(default_factory=list)  # graded, and not there any more


@dataclass(frozen=True)
class Terms:
    """The terms of a batch: kept in `batch.json`, so that it can go on after an interruption."""

    seed: int
    exercises: tuple[str, ...]
    budget: Budget
    suite: str  # a fingerprint of checks and references

    @property
    def task(self) -> Task:
        return Task(self.seed, self.exercises, self.budget)


class Batch:
    """Grades a folder of submissions into a folder of results."""

    def __init__(self, folder: Folder, out: Path, terms: Terms) -> None:
        self.folder = folder
        self.out = out
        self.terms = terms
        self.standing = Standing()

    @classmethod
    def begin(
        cls, submissions: Path, out: Path, entries: Sequence[Entry], *, seed: int | None, budget: Budget, resume: bool
    ) -> Batch:
        """Begin a batch, or go on with the one whose results are in `out`.

        Raises:
            GraderError: `out` holds another batch, or the checks have changed since it began.
        """
        folder = find_submissions(submissions, out)
        path = out / "batch.json"
        now = suite_fingerprint(entries)
        if path.exists():
            if not resume:
                raise GraderError(
                    f"{out} holds the results of a batch. Go on with it: --resume. Or name another --out."
                )
            terms = _read_terms(path)
            if terms.exercises != tuple(entry.stem for entry in entries):
                raise GraderError(f"The batch in {out} grades {', '.join(terms.exercises)}: name the same exercises.")
            if terms.suite != now:
                raise GraderError(
                    f"Checks or grader have changed since the batch in {out} began: grade again, to another --out."
                )
            if seed is not None and seed != terms.seed:
                raise GraderError(
                    f"The batch in {out} has the seed {terms.seed}: leave --seed out, or name another --out."
                )
        else:
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise GraderError(f"{out} is not an empty folder: nothing there is overwritten. Name another --out.")
            terms = Terms(fresh_seed() if seed is None else seed, tuple(entry.stem for entry in entries), budget, now)
            private_folder(out)
            write_atomically(path, json.dumps({"batch": VERSION, **asdict(terms)}, indent=1) + "\n", private=True)
        private_folder(out / "students")
        return cls(folder, out, terms)

    def run(self, pool: Graders, begun: Callable[[Standing], None], done: Callable[[Record], None]) -> list[Record]:
        """Grade what is not graded yet; returns the records of all, in the order of their names.

        Args:
            pool: where the units run.
            begun: called first, with what is graded already.
            done: called with each record as soon as it is on the disk.
        """
        self.standing = self._compared()
        begun(self.standing)
        records = dict(self.standing.kept)
        for record in self._graded(pool, [each for each in self.folder.handed if each.student not in records]):
            document = json.dumps(record.document(), indent=1, ensure_ascii=False)
            write_atomically(self._file(record.student), f"{document}\n", private=True)
            records[record.student] = record
            done(record)
        return [records[handed.student] for handed in self.folder.handed]

    def _compared(self) -> Standing:
        """Compare what is there now with the results of an earlier run."""
        standing = Standing(len(self.folder.handed))
        earlier = {record.student: record for record in self._records()}
        for handed in self.folder.handed:
            record = earlier.pop(handed.student, None)
            if record is None:
                continue
            if not record.digest:
                standing.again.append(handed.student)
            elif record.digest == self._digest(handed):
                standing.kept[handed.student] = record
            else:
                standing.changed.append(handed.student)
        standing.gone = sorted(earlier)
        return standing

    def read(self, handed: Handed) -> Written:
        """Read a submission.

        Raises:
            Unusable: it can't be read, or holds none of the exercises.
        """
        if handed.problem:
            raise Unusable(handed.problem)
        return take(handed.parts, find(self.terms.exercises))

    def _digest(self, handed: Handed) -> str:
        try:
            return digest(self.read(handed), handed.notes)
        except Unusable as problem:
            return digest(None, handed.notes, str(problem))

    def _graded(self, pool: Graders, submissions: Sequence[Handed]) -> Iterator[Record]:
        """Run the units, with only some of them in memory at a time; a unit whose judge dies is tried again."""
        waiting = iter(submissions)
        running: dict[Future[Record], tuple[Handed, Written, int]] = {}
        room = 4 * (os.cpu_count() or 1)
        while True:
            while len(running) < room and (handed := next(waiting, None)) is not None:
                try:
                    written = self.read(handed)
                except Unusable as problem:
                    why = str(problem)
                    mark = digest(None, handed.notes, why)
                    yield Record(handed.student, mark, handed.notes, why, details=problem.details)
                    continue
                running[pool.submit(handed.student, written, self.terms.task, handed.notes)] = (handed, written, 1)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                handed, written, tries = running.pop(future)
                try:
                    yield future.result()
                except Exception as error:
                    if tries < TRIES:
                        again = pool.submit(handed.student, written, self.terms.task, handed.notes)
                        running[again] = (handed, written, tries + 1)
                        continue
                    yield _ungraded(handed, written, error)

    def _file(self, student: str) -> Path:
        return self.out / "students" / f"{file_name(student)}.json"

    def _records(self) -> Iterator[Record]:
        """The records of an earlier run; one that is damaged counts as none."""
        for path in sorted((self.out / "students").glob("*.json")):
            try:
                record = Record.of_document(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, RecursionError, AttributeError, GraderError):
                continue
            if path == self._file(record.student):
                yield record


def _ungraded(handed: Handed, written: Written, error: Exception) -> Record:
    """The record of a submission that no judge could grade: without points, and not for good."""
    why = printable(f"{type(error).__name__}: {error}")
    return Record(
        handed.student,
        "",
        (*handed.notes, *written.notes),
        f"it could not be graded, {TRIES} times, which says nothing about it ({why}). Run the command again: --resume",
    )


def suite_fingerprint(entries: Sequence[Entry]) -> str:
    """Return what decides all results: the checks and the references."""
    texts = [path.read_text(encoding="utf-8") for entry in entries for path in (entry.suite, entry.solution)]
    texts += [(ROOT / "exercises" / "syllabus.toml").read_text(encoding="utf-8")]
    return fingerprint(0, texts)[:16]


def _read_terms(path: Path) -> Terms:
    try:
        data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data["batch"] != VERSION:
            raise GraderError(
                f"{path} was written by another version ({data['batch']}): grade again, to another --out."
            )
        return Terms(data["seed"], tuple(data["exercises"]), Budget(**data["budget"]), data["suite"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GraderError(f"{path} is damaged ({error}): grade again, to another --out.") from None
