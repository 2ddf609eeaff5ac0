"""Worker processes as their parent sees them: started, asked, and cleared away when they are gone."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from typing import IO, Any

from grader.files import ROOT
from grader.probing.stopwatch import LOOK, RanOut, Rest, ran_out

SETTINGS = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"}  # Agg draws on no screen

GOODBYE = 5.0  # seconds in which a process has to end that is told to


class WorkerDied(Exception):
    """The worker ended or was ended; `trace` is what the interpreter wrote down last, `cause` what had run out."""

    def __init__(self, code: int, trace: str, cause: RanOut | None = None) -> None:
        super().__init__(trace)
        self.code = code
        self.trace = trace
        self.cause = cause or ran_out(code, trace)


class Interrupted(Exception):
    """Nobody waits for what is being done any more."""


class Worker(ABC):
    """Something that answers requests until it dies or is closed."""

    @abstractmethod
    def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Send a request and wait for its answer, `deadline` seconds at most.

        Raises:
            WorkerDied: the worker ended, or had to be ended, before it answered.
        """

    @abstractmethod
    def close(self) -> None:
        """End it."""


class WorkerProcess(Worker):
    """A process of its own that serves requests, one JSON document a line.

    `close` ends it for good, and with it what code under test has started in there.
    """

    def __init__(self, module: str = "grader.workers.here", *arguments: str, may_rest: bool = False) -> None:
        """
        Args:
            module: what it runs.
            arguments: its arguments.
            may_rest: it may wait for others for as long as it takes; else for no longer than a request's `limit`.
        """
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],  # no file of the folder stands for a library
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=os.environ | SETTINGS | {"PYTHONPATH": str(ROOT)},
            encoding="utf-8",
            start_new_session=True,  # a group of its own, which can be killed as a whole
        )
        self._closed = False
        self._may_rest = may_rest
        self._rested = False  # it was ended since it had waited for too long
        self.serving = self._process.pid  # the process that answers: this one, or a copy of it
        self._answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pump, args=(self._process.stdout, self._answers), daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Send a request and wait for its answer; see `Worker.ask`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # the pipe is broken, or closed by us
            raise self._death() from None
        return self.receive(deadline, None if self._may_rest else request.get("limit"))

    def receive(self, deadline: float, rest: float | None = None) -> dict[str, Any]:
        """The next answer; while it is waited for, the process may itself wait for `rest` seconds at most.

        Raises:
            WorkerDied: as for `ask`.
        """
        line = self._next_line(deadline, rest)
        if line is None:
            raise self._death()
        try:
            return dict(json.loads(line))
        except ValueError:  # a copy of it was killed while it wrote
            self.kill()
            raise self._death() from None

    def _next_line(self, deadline: float, rest: float | None) -> str | None:
        """Return what it writes next; None if it ends instead, or is ended."""
        watch, stop = Rest(self.serving), time.monotonic() + deadline
        while (left := stop - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=min(left, LOOK if rest is not None else left))
            if rest is not None and watch.look() > rest:
                self._rested, rest = True, None
                stop = time.monotonic() + GOODBYE
                with contextlib.suppress(OSError):
                    os.kill(self.serving, signal.SIGPROF)  # it writes down where it stands
        self.kill()
        raise self._death("wall")

    def cause(self) -> RanOut | None:
        """Return what we ended it for since the last call, if we did."""
        rested, self._rested = self._rested, False
        return "rest" if rested else None

    def kill(self) -> None:
        """End the process from any thread; whoever waits for its answer gets `WorkerDied`."""
        if not self._closed:  # else its number may be another's by now
            self._process.kill()
            kill_group(self._process.pid)

    def trace(self) -> str:
        """Return what the interpreter wrote to stderr since the last call; it is forgotten then."""
        try:
            self._stderr.seek(0)
            text = self._stderr.read(1 << 20).decode("utf-8", "replace")
            self._stderr.seek(0)  # the worker writes where we stand: it shares this place in the file
            self._stderr.truncate()
        except ValueError:  # closed by another thread, which ends everything
            return ""
        return text

    def close(self) -> None:
        """End the process."""
        self.kill()
        self._closed = True
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._stderr.close()

    def _death(self, cause: RanOut | None = None) -> WorkerDied:
        death = WorkerDied(self._process.wait(), self.trace(), self.cause() or cause)
        self.close()
        return death


class Kept(Worker):
    """A worker that stays when somebody is done with it; `end` ends it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.dead = False

    def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """As in `Worker`."""
        try:
            return self._worker.ask(request, deadline)
        except WorkerDied:
            self.dead = True
            raise

    def close(self) -> None:
        """Nothing yet: the next one who asks needs it."""

    def end(self) -> None:
        """End it."""
        self._worker.close()


def kill_group(leader: int) -> None:
    """End every process of a group; there may be none left."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def _pump(stream: IO[str], answers: queue.Queue[str | None]) -> None:
    """Hand the worker's lines over to the queue, then None when there are no more.

    This thread closes the stream, too: for another one to do so would be to wait for this one, which waits for
    whoever holds the other end.
    """
    with stream, contextlib.suppress(ValueError, OSError):
        for line in stream:
            answers.put(line)
    answers.put(None)
