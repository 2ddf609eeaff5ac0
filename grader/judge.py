"""The judge: it runs a check's probe on two assemblies and compares what came back."""

from __future__ import annotations

import inspect
import os
import random
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Never

import numpy as np

from grader.assembly import Assembly, Exercise
from grader.checks import Check
from grader.comparison import Comparison
from grader.errors import MissingName, ReferenceBroken
from grader.observation import freeze, thaw
from grader.output import OutputFlood, Tape
from grader.random import Random, derive
from grader.results import Status

Guard = Callable[[float], Any]  # a context manager that stops what runs too long
LINES_SHOWN = 12


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one check."""

    status: Status
    message: str = ""
    seconds: float = 0.0


@contextmanager
def no_limit(_seconds: float) -> Iterator[None]:
    """The guard for a debugger: no limit at all."""
    yield


class Judge:
    """Judges the checks of one exercise: `learner` is the assembly under test, `reference` the one to compare with."""

    def __init__(self, stem: str, learner: Assembly, reference: Assembly, seed: int, guard: Guard = no_limit) -> None:
        self.stem = stem
        self.learner = learner
        self.reference = reference
        self.seed = seed
        self.guard = guard

    def load(self, limit: float) -> Verdict:
        """Import the learner's module: the first rung of the ladder."""
        return self._attempt(lambda: self.learner.module(self.stem), limit)[0]

    def judge(self, check: Check, limit: float) -> Verdict:
        """Run one check and say what came of it; the learner's side may take `limit` seconds.

        Raises:
            ReferenceBroken: the probe fails on the reference.
        """
        want = self.expected(check)
        verdict, got = self._attempt(lambda: self.observe(check, self.learner.exercise(self.stem)), limit)
        if verdict.status != "pass":
            return verdict
        message = self.compare(check, got, want)
        if message is None:
            return verdict
        return Verdict("fail", message + verdict.message, verdict.seconds)

    def observe(self, check: Check, exercise: Exercise) -> Any:
        """Run the probe in a clean state and freeze what it returns."""
        seed = derive(self.seed, self.stem, check.__name__)
        _reset(seed)
        return freeze(check.probe(exercise, Random(seed)))

    def expected(self, check: Check) -> Any:
        """The reference's observation."""
        try:
            return self.observe(check, self.reference.exercise(self.stem))
        except Exception as error:
            detail = "".join(traceback.format_exception(error))
            raise ReferenceBroken(f"{self.stem}::{check.__name__} fails on the reference itself:\n{detail}") from error

    def compare(self, check: Check, got: Any, want: Any) -> str | None:
        """The first thing that is wrong with an observation, in words; None if all is well."""
        comparison = Comparison(check.tolerance, check.axes)
        message = comparison.structure(got, want) if check.compare != "nothing" else None
        if message is None and check.explanation is not None:
            message = self._explain(check, got, want)
        if message is None and check.compare == "values":
            message = comparison.values(got, want)
        return message

    def _explain(self, check: Check, got: Any, want: Any) -> str | None:
        assert check.explanation is not None
        arguments: list[Any] = [thaw(got), thaw(want)]
        if len(inspect.signature(check.explanation).parameters) == 3:
            arguments.append(self.reference.exercise(self.stem))
        try:
            with np.errstate(all="ignore"):
                return next(iter(check.explanation(*arguments) or ()), None)
        except Exception as error:
            if check.compare == "values":
                return None  # the comparison of values has the last word
            return f"What your code returned can't be judged: {type(error).__name__}: {error}"

    def _attempt(self, call: Callable[[], Any], limit: float) -> tuple[Verdict, Any]:
        """Call into the learner's code. The verdict is a pass if the call comes back; its message holds the prints."""
        tape = Tape()
        result, error = None, None
        started = time.perf_counter()
        with _kept_state(), tape.recording():
            try:
                with self.guard(limit):
                    result = call()
            except BaseException as caught:
                error = caught
        seconds = time.perf_counter() - started
        if isinstance(error, KeyboardInterrupt):
            raise error
        if tape.flooded and not isinstance(error, OutputFlood):
            error = OutputFlood(tape.limit)
        if error is None:
            return Verdict("pass", tape.excerpt(), seconds), result
        return self._blame(error, tape, seconds), None

    def _blame(self, error: BaseException, tape: Tape, seconds: float) -> Verdict:
        frames = list(self._own_frames(error.__traceback__))
        where = f" at {frames[-1].spot}" if frames else ""
        if isinstance(error, NotImplementedError) and frames and "NotImplementedError" in frames[-1].line:
            return Verdict("todo", f"Not written yet: {frames[-1].spot}", seconds)
        if isinstance(error, MissingName):
            return Verdict("error", str(error), seconds)
        if isinstance(error, OutputFlood):
            where = f" at {shown(tape.flooded_at)}" if tape.flooded_at and not frames else where
            return Verdict("error", f"{error}{where}. Take the print out, or out of the loop.", seconds)
        if isinstance(error, SystemExit | GeneratorExit):
            return Verdict("error", f"Your code ends the program (exit, quit, sys.exit or os._exit){where}.", seconds)
        if isinstance(error, SyntaxError) and (error.filename or "") in self._files():
            return Verdict("error", _syntax(error), seconds)
        kind = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if not frames:
            return Verdict(
                "fail", f"What your code returned can't be used: {kind}{_nudge(error)}{tape.excerpt()}", seconds
            )
        told = frames if len(frames) <= 6 else [*frames[:2], Frame("", "...", ""), *frames[-3:]]
        lines = [
            f"  {frame.spot}{frame.function}\n      {frame.line}" if frame.line else f"  {frame.spot}" for frame in told
        ]
        return Verdict("error", "\n".join([kind, *lines]) + tape.excerpt(), seconds)

    def _files(self) -> dict[str, str]:
        return {self.learner.filename(stem): source.origin for stem, source in self.learner.sources.items()}

    def _own_frames(self, tb: TracebackType | None) -> Iterator[Frame]:
        files = self._files()
        own = {file for file, origin in files.items() if origin != "reference"}
        for summary in traceback.extract_tb(tb):
            if summary.filename in own:
                yield Frame(f", in {summary.name}", f"{shown(summary.filename)}:{summary.lineno}", summary.line or "")


@dataclass(frozen=True)
class Frame:
    """One line of a traceback in the learner's own code."""

    function: str
    spot: str
    line: str


def shown(filename: str) -> str:
    """A path as a learner would type it: relative to the folder they are in, if it is below it."""
    try:
        relative = os.path.relpath(filename)
    except ValueError:  # another drive
        return filename
    return filename if relative.startswith("..") else relative


def first_own_line(trace: str, files: Iterable[str]) -> str:
    """The innermost line of the learner's own in a dump that the interpreter made when it stopped, or ''."""
    import re

    own = set(files)
    for file, line in re.findall(r'^  File "(.+?)", line (\d+)', trace, re.MULTILINE):
        if file in own:
            return f"{shown(file)}:{line}"
    return ""


def _syntax(error: SyntaxError) -> str:
    lines = [f"{type(error).__name__}: {error.msg} at {shown(error.filename or '')}:{error.lineno}"]
    if error.text:
        text = error.text.rstrip("\n")
        body = text.lstrip()
        lines.append(f"      {body}")
        if error.offset:
            lines.append(" " * (6 + max(0, error.offset - 1 - (len(text) - len(body)))) + "^")
    return "\n".join(lines)


def _nudge(error: BaseException) -> str:
    text = str(error)
    if "NoneType" in text:
        return ". Is a `return` missing?"
    if "has no attribute" in text:
        return ". Compare the names with those in the docstring."
    return ""


def _reset(seed: int) -> None:
    """Seed every global generator, so that a probe repeats whatever ran before it."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


@contextmanager
def _kept_state() -> Iterator[None]:
    """Undo what code under test does to the state of the process by accident."""
    folder, exit_now = Path.cwd(), os._exit
    recursion = sys.getrecursionlimit()
    os._exit = _refused_exit  # an exit is an error like any other, with a line to show
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        os._exit = exit_now
        os.chdir(folder)
        sys.setrecursionlimit(recursion)
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_grad_enabled(True)
            torch.set_default_dtype(torch.float32)
            if torch.get_default_device().type != "cpu":
                torch.set_default_device(None)
            if torch.get_num_threads() != 1:
                torch.set_num_threads(1)


def _refused_exit(status: int) -> Never:
    raise SystemExit(status)
