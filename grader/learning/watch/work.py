"""The thread that grades, one exercise after the other, while the loop listens."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grader.content import stubs
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import ROOT
from grader.grading import Grading
from grader.learning.watch.events import Begin, Crash, Dropped, Event, Graded, Noticed, Trouble
from grader.progress import record
from grader.results import CheckResult, ExerciseResult
from grader.store import engine
from grader.workers.pool import Fork, Pool
from grader.workers.process import Interrupted, Worker, WorkerDied, WorkerProcess

ENGINE = ("grader/**/*.py",)
CHANGED = "The project itself has changed on disk (an update?). To use what is new: quit, and start the watch again."
CONTENT = ("tests/test_*.py", "tests/misconceptions/*", "solutions/*.py", "exercises/syllabus.toml")


State = tuple[str, tuple[str, ...]]  # what decides a result: a fingerprint, and what is borrowed


class Job:
    """Something to do with workers from a pool, until it is done or nobody waits for it any more."""

    def __init__(self, pool: Pool, do: Callable[[Job], Event], dropped: Dropped) -> None:
        self._pool = pool
        self._do = do
        self._dropped = dropped
        self._lock = threading.Lock()
        self._workers: list[WorkerProcess | Fork] = []
        self.interrupted = False
        self.done = False

    def run(self) -> Event:
        """Do it. The answer is `Dropped` if it was interrupted, be it before it began."""
        try:
            return self._dropped if self.interrupted else self._do(self)
        except Interrupted:
            return self._dropped
        finally:
            self.done = True

    def interrupt(self) -> None:
        """Stop it, from any thread."""
        with self._lock:
            self.interrupted = True
            for worker in self._workers:
                worker.kill()

    def launch(self) -> Worker:
        """A worker that nobody has used before.

        Raises:
            GraderError: no worker can be warmed up.
            Interrupted: the job was; so does every question to one of its workers.
        """
        worker = self._pool.take()
        with self._lock:
            self._workers.append(worker)
        return Interruptible(self, worker)


class Interruptible(Worker):
    """A worker of a job."""

    def __init__(self, job: Job, worker: WorkerProcess | Fork) -> None:
        self._job = job
        self._worker = worker

    def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Send a request and wait for its answer; see `Worker.ask`.

        Raises:
            Interrupted: nobody waits for it any more.
        """
        try:
            if not self._job.interrupted:
                return self._worker.ask(request, deadline)
        except WorkerDied:
            if not self._job.interrupted:
                raise
        raise Interrupted

    def close(self) -> None:
        """End it."""
        self._worker.close()


class Work:
    """Does what it is asked to, one job after the other; every job is answered by an event. Use it in a `with`."""

    def __init__(self, exercises: Path, seed: int, pool: Pool, report: Callable[[Event], None]) -> None:
        self.exercises = exercises
        self.seed = seed
        self._pool = pool
        self._report = report
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._asked: list[Job] = []  # those that may not be done
        self._known: dict[str, tuple[State, ExerciseResult]] = {}  # the last result, and what it depends on
        self._engine, self._content = _marks(ENGINE), _marks(CONTENT)
        engine()  # the one that runs here goes into each fingerprint
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Work:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.interrupt()

    def find_beginning(self, after: Entry | None) -> None:
        """Look for the next exercise that does not pass, from the start again after the last; answered by `Begin`.

        A bonus comes after all others, unless a bonus is where it goes on from.
        """
        self._put(lambda job: self._beginning(job, after), Dropped())

    def grade(self, entry: Entry, anew: bool) -> None:
        """Grade an exercise: `anew`, or only if it was begun and something that it depends on has changed."""
        self._put(lambda job: self._grade(job, entry, anew), Dropped(entry.stem))

    def interrupt(self) -> None:
        """Stop what is being done, and drop what was asked for before now; it is answered by `Dropped`."""
        for job in self._asked:
            job.interrupt()

    def _put(self, do: Callable[[Job], Event], dropped: Dropped) -> None:
        job = Job(self._pool, do, dropped)
        self._asked = [*(job for job in self._asked if not job.done), job]
        self._jobs.put(job)

    def _run(self) -> None:
        try:
            while True:
                self._report(self._jobs.get().run())
                self._pool.refill()
        except BaseException as error:
            self._report(Crash(error))

    def _grading(self, job: Job) -> Grading:
        """A grading of the files as they are now.

        Raises:
            GraderError: the folder is gone.
        """
        if self._engine and _marks(ENGINE) != self._engine:
            self._engine = {}
            self._report(Trouble(CHANGED))
        content = _marks(CONTENT)
        if content != self._content:  # checks or solutions: what is warm knows the old ones
            self._content = content
            for cached in (load, checks_of, stubs.generated):
                cached.cache_clear()
            self._pool.renew()
        return Grading(self.exercises, self.seed, job.launch, noticed=self._noticed)

    def _noticed(self, check: CheckResult) -> None:
        self._report(Noticed(check.id.partition("::")[0], check.message))

    def _beginning(self, job: Job, after: Entry | None) -> Event:
        entries = load()
        place = 0 if after is None else entries.index(after) + 1
        try:
            with self._grading(job) as grading:
                order = [*entries[place:], *entries[:place]]
                if after is None or not after.bonus:
                    order.sort(key=lambda entry: entry.bonus)
                found = next((entry for entry in order if not grading.passes(entry)), None)
        except GraderError as error:
            return Trouble(str(error))
        return Begin(found.stem if found is not None else "")

    def _grade(self, job: Job, entry: Entry, anew: bool) -> Event:
        try:
            with self._grading(job) as grading:
                source = grading.learner.get(entry.stem)
                if not anew and (source is None or stubs.is_untouched(entry, source.text)):
                    return Graded(entry.stem, None)
                state = grading.fingerprint(entry), tuple(grading.chosen(entry).borrowed)
                if not anew and entry.stem in self._known and self._known[entry.stem][0] == state:
                    return Graded(entry.stem, None)
                result = grading.grade(entry)
                self._known[entry.stem] = state, result
                return Graded(entry.stem, result, tuple(record([result], self.exercises, grading.learner)))
        except GraderError as error:
            return Trouble(str(error), entry.stem)


def _marks(patterns: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Return what tells whether files of the project have changed."""
    marks = {}
    for path in (path for pattern in patterns for path in ROOT.glob(pattern)):
        with contextlib.suppress(OSError):  # deleted just now
            stat = path.stat()
            marks[str(path)] = stat.st_mtime_ns, stat.st_size
    return marks
