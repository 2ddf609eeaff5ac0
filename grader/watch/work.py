"""The thread that grades, one exercise after the other, while the loop listens."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from grader import stubs
from grader.errors import GraderError
from grader.grading import Grading
from grader.progress import record
from grader.results import ExerciseResult
from grader.suite import checks_of
from grader.syllabus import ROOT, Entry, load
from grader.verdicts import engine
from grader.watch.events import Begin, Crash, Event, Graded, Trouble
from grader.watch.warm import Pool

ENGINE = ("grader/*.py", "grader/watch/*.py")
CHANGED = "The project itself has changed on disk (an update?). To use what is new: quit, and start the watch again."
CONTENT = ("tests/test_*.py", "tests/misconceptions/*", "solutions/*.py", "exercises/syllabus.toml")


State = tuple[str, tuple[str, ...]]  # what decides a result: a fingerprint, and what is borrowed


class Work:
    """Grades what it is asked to. Every answer is an event; an exercise that is asked for is always answered."""

    def __init__(self, exercises: Path, seed: int, pool: Pool, report: Callable[[Event], None]) -> None:
        self.exercises = exercises
        self.seed = seed
        self._pool = pool
        self._report = report
        self._jobs: queue.SimpleQueue[Callable[[], Event]] = queue.SimpleQueue()
        self._known: dict[str, tuple[State, ExerciseResult]] = {}  # the last result, and what it depends on
        self._engine, self._content = _marks(ENGINE), _marks(CONTENT)
        engine()  # the one that runs here goes into each fingerprint
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def find_beginning(self, after: Entry | None) -> None:
        """Look for the next exercise that does not pass, from the start again after the last; answered by `Begin`."""
        self._jobs.put(lambda: self._beginning(after))

    def grade(self, entry: Entry, anew: bool) -> None:
        """Grade an exercise: `anew`, or only if it was begun and something that it depends on has changed."""
        self._jobs.put(lambda: self._grade(entry, anew))

    def _run(self) -> None:
        try:
            while True:
                self._report(self._jobs.get()())
                self._pool.refill()
        except BaseException as error:
            self._report(Crash(error))

    def _grading(self) -> Grading:
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
        return Grading(self.exercises, self.seed, self._pool.take)

    def _beginning(self, after: Entry | None) -> Event:
        entries = load()
        place = 0 if after is None else entries.index(after) + 1
        try:
            with self._grading() as grading:
                found = next((e for e in (*entries[place:], *entries[:place]) if not grading.passes(e)), None)
        except GraderError as error:
            return Trouble(str(error))
        return Begin(found.stem if found is not None else "")

    def _grade(self, entry: Entry, anew: bool) -> Event:
        try:
            with self._grading() as grading:
                source = grading.learner.get(entry.stem)
                if not anew and (source is None or stubs.is_untouched(entry, source.text)):
                    return Graded(entry.stem, None)
                state = grading.fingerprint(entry), tuple(grading.sources(entry)[1])
                if not anew and entry.stem in self._known and self._known[entry.stem][0] == state:
                    return Graded(entry.stem, None)
                result = grading.grade(entry)
                self._known[entry.stem] = state, result
                return Graded(entry.stem, result, tuple(record([result], self.exercises, grading.learner)))
        except GraderError as error:
            return Trouble(str(error), entry.stem)


def _marks(patterns: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """What tells whether files of the project have changed."""
    marks = {}
    for path in (path for pattern in patterns for path in ROOT.glob(pattern)):
        with contextlib.suppress(OSError):  # deleted just now
            stat = path.stat()
            marks[str(path)] = stat.st_mtime_ns, stat.st_size
    return marks
