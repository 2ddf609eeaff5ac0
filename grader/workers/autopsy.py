"""What ended a process that ran code under test, from what the interpreter wrote down last."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping

from grader.files import shown
from grader.probing.outcome import Failure


def autopsy(trace: str, code: int, limit: float, what: str, files: Mapping[str, str], time: str = "") -> Failure:
    """What ended a process that ran code under test, from what the interpreter wrote down last.

    Args:
        trace: what it wrote; it begins with "Timeout" when the process had to be stopped.
        code: its exit code, or minus a signal's number.
        limit: how many seconds it was given.
        what: what it was doing.
        files: the learner's own files: the names that stand in the trace, and the real ones.
        time: "of processor time", if that is what ran out.
    """
    line = next(
        (
            f" at {shown(files[file])}:{number}"
            for file, number in re.findall(r'^  File "(.+?)", line (\d+)', trace, re.MULTILINE)
            if file in files
        ),
        "",
    )
    if trace.startswith("Timeout") or "\nTimeout (" in trace:
        hint = f" It was{line}: does that loop end?" if line else " Does every loop end?"
        return Failure("timeout", "", message=f"Stopped after {limit:g} seconds {time}({what}).{hint}")
    ended = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    return Failure("died", "", message=f"The Python process that runs your code {ended}{line} ({what}).")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
