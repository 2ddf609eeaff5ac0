"""What ended a process that ran code under test, from what the interpreter wrote down last."""

from __future__ import annotations

import ast
import re
import signal
from collections.abc import Callable, Mapping

from grader.files import shown
from grader.probing.assembly import Source
from grader.probing.outcome import Failure, Place
from grader.probing.stopwatch import RanOut, generous
from grader.probing.trees import parse

SPENT: dict[RanOut, Callable[[float], str]] = {
    "cpu": lambda limit: f"{limit:g} seconds of processor time",
    "rest": lambda limit: f"{limit:g} seconds of waiting for something",
    "wall": lambda limit: f"{generous(limit):g} seconds",
}


def autopsy(
    trace: str, code: int, limit: float, what: str, files: Mapping[str, Source], cause: RanOut | None
) -> Failure:
    """Return what ended a process that ran code under test, from what the interpreter wrote down last.

    Args:
        trace: what it wrote.
        code: its exit code, or minus a signal's number.
        limit: how many seconds of processor time it was given.
        what: what it was doing.
        files: the learner's own files by the names that stand in the trace.
        cause: what had run out when it was stopped, if anything had.
    """
    frames = [  # the innermost first
        (files[file], int(number), function)
        for file, number, function in re.findall(r'^  File "(.+?)", line (\d+) in (.+)$', trace, re.MULTILINE)
        if file in files
    ]
    spots = [f"{shown(str(source.path))}:{line}" for source, line, _ in frames]
    places = tuple(Place(source.stem, line, function) for source, line, function in frames[:1])
    where = f" at {spots[0]}" if frames else ""
    if cause is None:
        ended = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return Failure("died", "", (), f"The Python process that runs your code {ended}{where} ({what}).", places)
    words = f"Stopped after {SPENT[cause](limit)} ({what})."
    if frames:
        words += f" It was{where}"
        for place, (source, line, function) in enumerate(frames):
            begin = loop(source.text, line)
            if begin:
                places = (Place(source.stem, begin, function),)
                if begin != line or place:
                    text = source.text.splitlines()[begin - 1].strip()
                    called = "called in" if place else "in"
                    words += f", {called} the loop that begins at {shown(str(source.path))}:{begin} (`{text}`)"
                break
        words += ": does that ever end?"
    return Failure("timeout", "", (), words, places)


def loop(text: str, line: int) -> int:
    """Return the line on which the innermost `while` around a line begins; 0 if there is none."""
    try:
        tree = parse(text)
    except SyntaxError:
        return 0
    around = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.While) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(around, default=0)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
