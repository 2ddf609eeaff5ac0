"""Warm workers: a worker that is ready before it is asked for, and a fresh one for each run."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Any

from grader.errors import GraderError
from grader.workers.process import Worker, WorkerDied, WorkerProcess, kill_group
from grader.workers.warm import ONCE

WARM_UP = 120.0  # seconds that a worker may take to import everything
GOODBYE = 5.0  # seconds in which a copy has to end
RUNS = itertools.count(1)  # their numbers


class WarmWorker(WorkerProcess):
    """A worker that warms up while nobody waits for it."""

    def __init__(self, once: bool = False) -> None:
        super().__init__("grader.workers.warm", *([ONCE] if once else []))
        self._forks: bool | None = None

    @property
    def warming(self) -> bool:
        """Whether it is still importing, as far as anybody has looked."""
        return self._forks is None

    def forks(self) -> bool:
        """Return whether it serves each run with a copy of itself; waits until it is warm.

        Raises:
            WorkerDied: it ended before it was warm.
        """
        if self._forks is None:
            self._forks = bool(self.receive(WARM_UP)["forks"])
        return self._forks


class Fork(Worker):
    """One run's copy of a warm worker."""

    def __init__(self, parent: WarmWorker) -> None:
        self._parent = parent
        self._run = next(RUNS)
        self._lock = threading.Lock()
        self._begun = False  # the copy is made with the first request
        self._copy = 0  # its process, while it runs
        self.killed = False
        self.alive = True

    def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Send a request to the copy; see `Worker.ask`."""
        answer = self._parent.ask(request | {"run": self._run}, deadline)
        if not self._begun:
            self._begun = True
            with self._lock:
                self._copy = self._parent.serving = answer["copy"]
            if self.killed:
                self.kill()
            answer = self._parent.receive(deadline, request.get("limit"))
        if "ended" in answer:
            with self._lock:
                self._copy = 0
            self.alive = False
            raise WorkerDied(answer["ended"], self._parent.trace(), self._parent.cause())
        return answer

    def kill(self) -> None:
        """End the copy from any thread; whoever waits for its answer gets `WorkerDied`."""
        self.killed = True
        with self._lock:
            if self._copy:
                kill_group(self._copy)

    def close(self) -> None:
        """End the copy; its parent waits for the next run."""
        if self.alive and self._begun:
            with contextlib.suppress(WorkerDied):
                self.ask({"do": "end"}, GOODBYE)
        self.alive = False


class Pool:
    """Hands out a warm worker for each run. Use it as a context manager.

    Without `forks`, each run has a process of its own that was started beforehand, as where forks are not safe.
    """

    def __init__(self, forks: bool = True) -> None:
        self._once = not forks
        self._lock = threading.Lock()
        self._spare: WarmWorker | None = None
        self._lent: WarmWorker | None = None
        self._fork: Fork | None = None
        self._aside: WarmWorker | None = None  # for what runs beside a run: the known mistakes, recorded once
        self._beside: Fork | None = None
        self._closed = False

    def __enter__(self) -> Pool:
        self.refill()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            for worker in (self._spare, self._lent, self._aside):
                if worker is not None:
                    worker.close()

    def refill(self) -> None:
        """Start the next spare worker unless there is one: after a run, so that it does not slow the run down.

        The one aside goes when it is done. One whose run was interrupted stays: it is not to import everything again.
        """
        with self._lock:
            if self._aside is not None and self._beside is not None and not self._beside.killed:
                self._aside.close()
                self._aside = self._beside = None
            if not self._closed and (self._spare is None or not self._spare.alive):
                self._spare = WarmWorker(self._once)

    def renew(self) -> None:
        """Replace the spare worker by one that imports everything anew."""
        with self._lock:
            if self._spare is not None:
                self._spare.close()
                self._spare = None
        self.refill()

    def take(self) -> WorkerProcess | Fork:
        """A worker that nobody has used before: another one while the warm one serves a run, or has served one.

        Raises:
            GraderError: no worker can be warmed up.
        """
        if self._fork is not None and self._fork.alive:
            return self._take_aside()
        if self._spare is not None and not self._spare.alive:
            self.refill()
        spare = self._spare
        if spare is None:  # it was lent, and the next is started when the run is over
            return WorkerProcess()
        try:
            forks = spare.forks()
        except WorkerDied as death:
            last = death.trace.strip().splitlines()[-1:] or [f"exit code {death.code}"]
            raise GraderError(f"The process that runs your code can't start: {last[0]}") from None
        if forks:
            self._fork = Fork(spare)
            return self._fork
        with self._lock:
            self._spare, self._lent = None, spare
        return spare

    @property
    def warming(self) -> bool:
        """Whether the next run has to wait until everything is imported."""
        spare = self._spare
        return spare is not None and spare.warming

    def _take_aside(self) -> WorkerProcess | Fork:
        """A copy of another warm worker, whose import goes on when whoever wants it is interrupted."""
        if self._once or (self._beside is not None and self._beside.alive):
            return WorkerProcess()
        with self._lock:
            if self._aside is None or not self._aside.alive:
                self._aside = WarmWorker()
            aside = self._aside
        try:
            if not aside.forks():
                return WorkerProcess()
        except WorkerDied:
            return WorkerProcess()
        self._beside = Fork(aside)
        return self._beside
