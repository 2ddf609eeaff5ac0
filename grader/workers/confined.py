"""Work on what other people wrote, in a process with limits of memory, processor time and wall time.

A request that breaks the process, or that takes more than it may, has a reason and no answer; the next one has a
process of its own.
"""

from __future__ import annotations

import atexit
import signal
import sys
import threading
import warnings
from typing import Any

from grader.workers.process import WorkerDied, WorkerProcess
from grader.workers.serving import Answer, serve

MEMORY = 640 << 20  # bytes on top of what the process has when it comes up
CPU = 20.0  # seconds of processor time for one request
WALL = 300.0  # seconds: a machine may be busy
TRIES = 2  # a process can be ended by something else
BREAKS = "it is damaged, or made in a way that nothing here can read"
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE) + (
    () if sys.platform == "win32" else (signal.SIGBUS,)
)


class Unanswered(Exception):
    """There is no answer to a request, since it takes too much or breaks the process; the message says what it takes.

    `words` is what a program said of it, for instructors.
    """

    def __init__(self, why: str, words: str = "") -> None:
        super().__init__(why)
        self.words = words or why


class Ended(Unanswered):
    """Somebody else has ended the process, each time: that says nothing about the request."""


class Confined:
    """A module that answers requests in a process of its own; it is started with the first request."""

    def __init__(self, module: str, cpu: float = CPU) -> None:
        self._module = module
        self._cpu = cpu
        self._worker: WorkerProcess | None = None
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            Unanswered: it took too much, or broke.
            Ended: the process is ended by somebody else, whatever is asked.
        """
        with self._lock:
            for _ in range(TRIES):
                try:
                    answer = self._ask(request)
                except WorkerDied as death:
                    self._worker = None
                    if sys.platform != "win32" and death.code == -signal.SIGXCPU:
                        raise Unanswered(f"it takes more than {self._cpu:g} seconds of processor time") from None
                    if death.cause == "wall":
                        raise Unanswered(f"it takes more than {WALL:g} seconds") from None
                    code = death.code
                    continue
                if "exceeds" in answer:
                    raise Unanswered(answer["exceeds"])
                if "broken" in answer:
                    raise Unanswered(BREAKS, answer["broken"])
                return answer
            if -code in CRASHES:
                raise Unanswered(BREAKS, f"the process that read it crashed (signal {-code})")
            raise Ended(f"the process that reads it was ended ({-code if code < 0 else code}), which is nobody's fault")

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._worker is None:
            self._worker = WorkerProcess(self._module, str(self._cpu))
        return self._worker.ask(request, WALL)


def serve_confined(answer: Answer) -> None:
    """Be such a process: answer requests until there are no more."""
    cpu = float(sys.argv[1])

    def careful(request: dict[str, Any]) -> dict[str, Any]:
        _limit_processor_time(cpu)
        try:
            return answer(request)
        except MemoryError:
            return {"exceeds": f"it takes more than {MEMORY >> 20} MiB of memory"}
        except RecursionError:
            return {"exceeds": "it is nested too deeply"}

    warnings.simplefilter("ignore")  # of a source there can be one for each line
    _limit_memory()
    serve(careful)


def _limit_memory() -> None:
    if sys.platform == "linux":
        import os
        import resource

        with open("/proc/self/statm") as file:  # noqa: PTH123 - /proc, read in one go
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def _limit_processor_time(seconds: float) -> None:
    """Let this process have so many seconds from here on; then it is ended."""
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = int(used.ru_utime + used.ru_stime + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
