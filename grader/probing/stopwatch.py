"""How long code under test may take: so much processor time, and behind that a generous time by the clock.

A machine that is busy with something else makes nobody's code slow. What waits for ever uses no processor time: whoever
has started the process sees to that (`Rest`), and the clock has the last word.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

RanOut = Literal["cpu", "rest", "wall"]  # processor time, time spent waiting, time by the clock

LOOK = 0.1  # seconds between two looks at a process


def generous(seconds: float) -> float:
    """The time by the clock that code may take which may use so many seconds of processor time."""
    return 10 * seconds + 60


@contextmanager
def stopwatch(seconds: float) -> Iterator[None]:
    """End the process when the block has used up so many seconds; the interpreter writes down where it stands.

    It does so itself, even inside of a loop in C.
    """
    faulthandler.dump_traceback_later(seconds if sys.platform == "win32" else generous(seconds), exit=True, file=2)
    if sys.platform != "win32":  # which counts no processor time for us
        faulthandler.register(signal.SIGPROF, file=2, all_threads=True, chain=True)
        signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def interruption(seconds: float) -> Iterator[None]:
    """Raise an error in the block when it has used up so many seconds; end the process if that does not help.

    Raises:
        TimeoutError: the time is over.
    """

    def interrupt(_signal: int, _frame: object) -> None:
        raise TimeoutError

    if sys.platform == "win32":
        with stopwatch(seconds):
            yield
        return
    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        with stopwatch(2 * seconds):
            yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def ran_out(code: int, trace: str) -> RanOut | None:
    """Return what a process had used up that ended by itself, by its exit code and what it wrote last."""
    if sys.platform != "win32" and code in (-signal.SIGPROF, -signal.SIGXCPU):
        return "cpu"
    return "wall" if trace.startswith("Timeout") or "\nTimeout (" in trace else None


class Rest:
    """The time that a process has waited for something other than a processor, as seen from outside.

    It waits while all of its threads do: one that waits for the work of the others does not.
    """

    def __init__(self, pid: int) -> None:
        self.seconds = 0.0
        self._threads = Path(f"/proc/{pid}/task")
        self._last = time.monotonic()

    def look(self) -> float:
        """Look again; to be called often. Where the system does not tell (it is no Linux), nothing waits."""
        now = time.monotonic()
        states = set(self._states())
        if states and states <= set("STt"):
            self.seconds += now - self._last
        self._last = now
        return self.seconds

    def _states(self) -> Iterator[str]:
        """The letter of what each thread does now, as proc(5) has it."""
        with suppress(OSError):  # no Linux, or the process has ended
            for thread in self._threads.iterdir():
                with suppress(OSError, IndexError):  # this thread has ended
                    yield (thread / "stat").read_text().rpartition(")")[2].split()[0]
