"""Calling into code under test: what came back or how it failed, and what it printed, as plain data for the judge.

This runs wherever the code under test runs, in a sandbox as well; putting it into words is the judge's business.
"""

from __future__ import annotations

import bdb
import os
import random
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Never

import numpy as np

if TYPE_CHECKING:  # a sandbox has no such module, and nobody looks there
    from grader.probing.failing import Failing, Look

from grader.errors import MissingName
from grader.probing.assembly import Assembly, Exercise, unqualified
from grader.probing.observation import freeze, loaded_torch
from grader.probing.prints import OutputFlood, Tape
from grader.probing.random import Random

Guard = Callable[[float], Any]  # a context manager that stops what runs too long
Probe = Callable[[Exercise, Random], Any]
Kind = Literal["raised", "missing", "flood", "exit", "debugger", "syntax", "memory", "timeout", "died"]

TEXT_LIMIT = 4000  # characters of an error's own message that are kept
PLACES_KEPT = 20
OUT_OF_MEMORY = ("DefaultCPUAllocator", "Unable to allocate", "std::bad_alloc")


@dataclass(frozen=True)
class Place:
    """A line of the code under test: the stem of its file, the line's number, and the function around it."""

    stem: str
    line: int
    function: str = ""


@dataclass(frozen=True)
class Failure:
    """The failure of a call.

    `kind` says in which way ("timeout" and "died" are found by whoever waits for the process); `type`, `bases` and
    `message` are the exception's, `places` the lines of the learner's own on the way to it, from the outside in. For a
    syntax error, `text` is the line and `offset` the column. `failing` is what stood in the last of these lines, and
    `meant` the name that was probably meant, both where somebody looks for them: not in a sandbox.
    """

    kind: Kind
    type: str
    bases: tuple[str, ...] = ()
    message: str = ""
    places: tuple[Place, ...] = ()
    text: str = ""
    offset: int = 0
    failing: Failing | None = None
    meant: str = ""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call: the frozen observation, or a failure; the first lines that it printed; the time."""

    value: Any = None
    failure: Failure | None = None
    printed: str = ""
    seconds: float = 0.0


@contextmanager
def no_limit(_seconds: float) -> Iterator[None]:
    """The guard for a debugger: no limit at all."""
    yield


def observe(probe: Probe, exercise: Exercise, seed: int) -> Any:
    """Run a probe in a clean state and freeze what it returns."""
    _reset(seed)
    return freeze(probe(exercise, Random(seed)))


def attempt(
    call: Callable[[], Any], code: Assembly, guard: Guard = no_limit, limit: float = 0.0, look: Look | None = None
) -> Outcome:
    """Call into code under test; whatever it does short of ending the process comes back as an outcome.

    Args:
        call: what to call.
        code: the code under test.
        guard: stops what runs too long.
        limit: after how many seconds.
        look: looks at what stands in the line that raised an error.
    """
    tape = Tape()
    result, error = None, None
    started = time.perf_counter()
    with _kept_state(), tape.recording():
        try:
            with guard(limit):
                result = call()
        except BaseException as caught:
            error = caught
    seconds = time.perf_counter() - started
    if isinstance(error, KeyboardInterrupt):
        raise error
    if tape.flooded and not isinstance(error, OutputFlood):
        error = OutputFlood(tape.limit)
    failure = None if error is None else _failure(error, tape, code, look)
    return Outcome(None if failure else result, failure, tape.excerpt(), seconds)


def _failure(error: BaseException, tape: Tape, code: Assembly, look: Look | None) -> Failure:
    stems = {code.filename(stem): stem for stem, source in code.sources.items()}
    own = {file: stem for file, stem in stems.items() if code.sources[stem].origin != "reference"}
    name, bases, message = type(error).__name__, tuple(base.__name__ for base in type(error).__mro__), _text(error)
    places = tuple(_places(error.__traceback__, own))
    if len(places) > PLACES_KEPT:  # a recursion
        places = (*places[: PLACES_KEPT // 2], *places[-PLACES_KEPT // 2 :])
    if isinstance(error, OutputFlood):
        file, _, line = tape.flooded_at.rpartition(":")
        flood = (Place(own[file], int(line)),) if file in own else ()
        return Failure("flood", name, bases, message, places or flood)
    if isinstance(error, bdb.BdbQuit):  # a debugger found nobody to ask
        return Failure("debugger", name, bases, message, places)
    if isinstance(error, SystemExit):
        return Failure("exit", name, bases, message, places)
    if isinstance(error, SyntaxError) and (error.filename or "") in stems:
        broken = Place(stems[error.filename or ""], error.lineno or 1)
        return Failure("syntax", name, bases, error.msg, (broken,), error.text or "", error.offset or 0)
    if isinstance(error, MissingName):
        return Failure("missing", name, bases, message, places)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(s in message for s in OUT_OF_MEMORY)):
        return Failure("memory", name, bases, message, places)
    if look is None:
        return Failure("raised", name, bases, message, places)
    last = _last(error.__traceback__, own)
    text = "" if last is None else code.sources[own[last.tb_frame.f_code.co_filename]].text
    stood, meant = look(error, last, text)
    return Failure("raised", name, bases, message, places, failing=stood, meant=meant)


def _last(tb: TracebackType | None, own: dict[str, str]) -> TracebackType | None:
    """The innermost part of a traceback that is in one of the learner's own files."""
    found = None
    while tb is not None:
        if tb.tb_frame.f_code.co_filename in own:
            found = tb
        tb = tb.tb_next
    return found


def _places(tb: TracebackType | None, own: dict[str, str]) -> Iterator[Place]:
    for summary in traceback.extract_tb(tb):
        if summary.filename in own:
            yield Place(own[summary.filename], summary.lineno or 0, summary.name)


def _text(error: BaseException) -> str:
    try:
        return unqualified(str(error)[:TEXT_LIMIT])
    except Exception:
        return ""  # an exception class of the learner's own, with a __str__ that fails


def _reset(seed: int) -> None:
    """Seed every global generator, so that a probe repeats whatever ran before it.

    `torch.manual_seed` would do the same, and take as long as most probes: it prepares for devices that none uses.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch = loaded_torch()
    if torch is not None:
        torch.default_generator.manual_seed(seed)


@contextmanager
def _kept_state() -> Iterator[None]:
    """Undo what code under test does to the state of the process by accident."""
    folder, exit_now = Path.cwd(), os._exit
    recursion = sys.getrecursionlimit()
    os._exit = _refuse_to_exit(os.getpid(), exit_now)  # an exit is an error like any other, with a line to show
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        os._exit = exit_now
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm that is left behind would end what comes next
        os.chdir(folder)
        sys.setrecursionlimit(recursion)
        torch = loaded_torch()
        if torch is not None:
            torch.set_grad_enabled(True)
            torch.set_default_dtype(torch.float32)
            if torch.get_default_device().type != "cpu":
                torch.set_default_device(None)
            if torch.get_num_threads() != 1:
                torch.set_num_threads(1)


def _refuse_to_exit(process: int, exit_now: Callable[[int], Never]) -> Any:
    """An `os._exit` that ends no process but those that code under test has made (by a DataLoader, say)."""

    def refused(status: int) -> Never:
        if os.getpid() != process:
            exit_now(status)
        raise SystemExit(status)

    return refused
