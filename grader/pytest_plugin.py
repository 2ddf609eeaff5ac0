"""Makes every check a plain pytest test: `pytest tests/test_ex05_attention.py`, with -k, -x, --pdb, xdist and the rest.

Checks run in a worker process, where a limit can stop anything. Under --pdb and --trace they run in this one, and, at a
terminal, wherever the code calls a debugger or asks for an input.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest

from grader.checks import Check
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.grading import Grading
from grader.judging.judge import Judge
from grader.judging.reference import here
from grader.judging.verdict import Verdict
from grader.probing.assembly import Assembly, Exercise, Source
from grader.probing.observation import thaw
from grader.probing.outcome import Probe, observe
from grader.probing.prints import marked
from grader.probing.random import Random
from grader.probing.trees import parse
from grader.results import CheckResult

GRADING = pytest.StashKey[Grading]()
TERMINAL = pytest.StashKey[bool]()  # whether somebody sits at one


class CheckFailed(Exception):
    """Carries a check's result to its report."""

    def __init__(self, result: CheckResult) -> None:
        super().__init__(result.message)
        self.result = result


class CheckItem(pytest.Item):
    """One check of one exercise."""

    def __init__(self, *, check: Check, entry: Entry, **options: Any) -> None:
        super().__init__(**options)
        self.check = check
        self.entry = entry
        self.info = next(info for info in checks_of(entry.suite) if info.name == self.name)

    def runtest(self) -> None:
        grading = self.config.stash[GRADING]
        attempt = grading.attempt(self.entry)
        asked = self.config.getoption("usepdb") or self.config.getoption("trace")
        if asked or (self.config.stash[TERMINAL] and any(map(talks, attempt.chosen.sources.values()))):
            obstacle = attempt.first_rungs()
            if obstacle is not None and obstacle.status == "todo":
                pytest.skip(obstacle.message)
            with _at_the_terminal(self.config):
                self._run_in_this_process(attempt.chosen.sources, grading.seed)
            return
        result = attempt.check(self.info)
        self.user_properties += [("says", result.says), ("points", result.points), ("max_points", result.max_points)]
        if attempt.borrowed:
            self.user_properties.append(("borrowed", " ".join(attempt.borrowed)))
        if result.status in ("todo", "blocked"):
            pytest.skip(result.message)
        if result.status != "pass":
            raise CheckFailed(result)

    def _run_in_this_process(self, sources: Any, seed: int) -> None:
        """The same check with nothing caught on the way, so that a debugger stops where the error is."""
        with here(True, self.entry.stretch) as reference, Assembly(sources) as learner:
            judge = Judge(self.entry.stem, learner, reference, seed)
            want = judge.expected(self.check)
            watched = Watched(stepped(self.check.probe) if self.config.getoption("trace") else self.check.probe)
            try:
                got = observe(watched, learner.exercise(self.entry.stem), judge.seed_of(self.check))
            except NotImplementedError as error:
                pytest.skip(f"Not written yet: {error}")
            message = judge.compare(self.check, got, want)
            if message is not None:
                failed = CheckFailed(self._result(Verdict("fail", message)))
                raise failed.with_traceback(watched.stopped({"yours": thaw(got), "expected": thaw(want)}))

    def _result(self, verdict: Verdict) -> CheckResult:
        info = self.info
        return CheckResult(
            f"{self.entry.stem}::{info.name}", info.says, info.hidden, verdict.status, 0, info.points, verdict.message
        )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        error = excinfo.value
        if isinstance(error, CheckFailed):
            result = error.result
            hidden = ", a hidden check" if result.hidden else ""
            told = result.message + marked("\n".join(result.evidence.printed))
            return f"{result.says}  ({result.status}, 0 of {result.max_points} points{hidden})\n\n{told}"
        if isinstance(error, GraderError):
            return str(error)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, inspect.getsourcelines(self.check.probe)[1] - 1, f"{self.entry.label}: {self.info.says}"


class Watched:
    """A probe whose last line can still be looked at when it is over, with what it had in its variables."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._frame: FrameType | None = None

    def __call__(self, exercise: Exercise, rng: Random) -> Any:
        before = sys.getprofile()
        sys.setprofile(self._note)
        try:
            return self._probe(exercise, rng)
        finally:
            sys.setprofile(before)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is inspect.unwrap(self._probe).__code__:
            self._frame = frame

    def stopped(self, more: Mapping[str, Any]) -> TracebackType | None:
        """A traceback that ends where the probe did, with more variables there: what a debugger shows (`--pdb`)."""
        frame = self._frame
        if frame is None:
            return None
        frame.f_locals.update(more)
        return TracebackType(None, frame, frame.f_lasti, frame.f_lineno)


TALKING = ("breakpoint", "input", "set_trace")  # what needs somebody at a terminal


def talks(source: Source) -> bool:
    """Whether a file of the learner's own calls a debugger, or asks for an input."""
    if source.origin == "reference" or not any(name in source.text for name in TALKING):
        return False
    try:
        calls = [node.func for node in ast.walk(parse(source.text)) if isinstance(node, ast.Call)]
    except SyntaxError:
        return False
    return any(getattr(call, "id", getattr(call, "attr", "")) in TALKING for call in calls)


@contextmanager
def _at_the_terminal(config: pytest.Config) -> Iterator[None]:
    """Let what runs print, read and stop as it does in any program; pytest captures nothing meanwhile."""
    manager = config.pluginmanager.getplugin("capturemanager")
    if manager is None:
        yield
        return
    manager.suspend(in_=True)
    try:
        yield
    finally:
        manager.resume()


def stepped(probe: Probe) -> Probe:
    """A probe that a debugger stops in front of (`--trace`)."""

    @functools.wraps(probe)
    def stopped(exercise: Exercise, rng: Random) -> Any:
        pytest.set_trace(header="s steps into the check and into your code, n goes on a line, p NAME shows a value")
        return probe(exercise, rng)

    return stopped


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stubformer")
    group.addoption("--exercises", default="exercises", metavar="DIR", help="the folder with the files to grade")
    group.addoption("--seed", type=int, default=0, help="what all inputs are drawn from")


def pytest_pycollect_makeitem(collector: pytest.Module, name: str, obj: object) -> pytest.Item | None:
    if not isinstance(obj, Check):
        return None
    suites = (each for entry in load() for each in (entry, entry.goals) if each is not None)
    entry = next((each for each in suites if each.suite == collector.path), None)
    if entry is None:
        raise collector.CollectError(f"{collector.path} belongs to no exercise of the syllabus")
    item: CheckItem = CheckItem.from_parent(collector, name=name, check=obj, entry=entry)
    return item


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    if not any(isinstance(item, CheckItem) for item in session.items):
        return (yield)
    folder = session.config.rootpath / session.config.getoption("exercises")
    try:
        grading = Grading(folder, session.config.getoption("seed"))
    except GraderError as error:
        raise pytest.UsageError(str(error)) from None
    with _at_the_terminal(session.config):
        session.config.stash[TERMINAL] = sys.stdin is not None and sys.stdin.isatty()
    with grading:
        session.config.stash[GRADING] = grading
        return (yield)
