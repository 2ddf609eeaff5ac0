"""What ended a process that ran code under test, from what the interpreter wrote down last."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping

from grader.files import shown
from grader.probing.outcome import Failure
from grader.probing.stopwatch import RanOut, generous

SPENT: dict[RanOut, Callable[[float], str]] = {
    "cpu": lambda limit: f"{limit:g} seconds of processor time",
    "rest": lambda limit: f"{limit:g} seconds of waiting for something",
    "wall": lambda limit: f"{generous(limit):g} seconds",
}


def autopsy(trace: str, code: int, limit: float, what: str, files: Mapping[str, str], cause: RanOut | None) -> Failure:
    """Return what ended a process that ran code under test, from what the interpreter wrote down last.

    Args:
        trace: what it wrote.
        code: its exit code, or minus a signal's number.
        limit: how many seconds of processor time it was given.
        what: what it was doing.
        files: the learner's own files: the names that stand in the trace, and the real ones.
        cause: what had run out when it was stopped, if anything had.
    """
    line = next(
        (
            f"{shown(files[file])}:{number}"
            for file, number in re.findall(r'^  File "(.+?)", line (\d+)', trace, re.MULTILINE)
            if file in files
        ),
        "",
    )
    if cause is not None:
        hint = f" It was at {line}: does that ever end?" if line else ""
        return Failure("timeout", "", message=f"Stopped after {SPENT[cause](limit)} ({what}).{hint}")
    ended = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    where = f" at {line}" if line else ""
    return Failure("died", "", message=f"The Python process that runs your code {ended}{where} ({what}).")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
