"""Limits are of processor time: a busy machine makes nobody's code slow; what waits for ever is ended all the same."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from grader.checks import Check, check
from grader.content.suite import CheckInfo, checks_of
from grader.content.syllabus import find
from grader.files import ROOT
from grader.judging.comparison import Comparison, Mismatch
from grader.judging.judge import Judge
from grader.judging.reference import Code
from grader.probing.assembly import Assembly, Source, read_folder
from grader.probing.observation import freeze
from grader.probing.stopwatch import Rest, generous, interruption
from grader.sandbox import judging
from grader.sandbox.runner import Budget, IsolatedRunner
from grader.workers.runner import Runner

(SOFTMAX,) = find(["01"])
SOURCE = Source.read(SOFTMAX.solution, "learner")
INFO: CheckInfo = checks_of(SOFTMAX.suite)[0]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who waits")


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep a machine busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()


def mine(statement: str) -> dict[str, Source]:
    """Exercise 1 with a statement at the beginning of its first function."""
    before, after = SOURCE.text.split("    ### BEGIN SOLUTION\n", 1)
    text = f"import time\n{before.replace('from __future__ import annotations', '')}    {statement}\n{after}"
    return {SOFTMAX.stem: Source(SOFTMAX.stem, Path(f"{SOFTMAX.stem}.py"), text, "learner")}


@pytest.fixture(params=[Runner, IsolatedRunner], ids=["here", "isolated"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    with request.param(0) as made:
        yield made


def test_slow_code_passes_on_a_busy_machine(runner: Runner):
    """It uses two thirds of its limit, which takes several times as long by the clock."""
    burn = "end = time.process_time() + 0.5\n    while time.process_time() < end: pass"
    assert runner.open(SOFTMAX, mine(burn)).status == "pass"
    with load(8):
        verdict = runner.check(INFO, 4.0)
    assert (verdict.status, verdict.message) == ("pass", "")


STALLS = {
    "a loop": ("while True: pass", "of processor time"),
    "a loop in C": ("import itertools; sum(itertools.repeat(1))", "of processor time"),
    "sleep": ("time.sleep(1000)", "of waiting for something"),
    "a loop that sleeps": ("while True: time.sleep(0.01)", "of waiting for something"),
    "a lock": ("import threading; l = threading.Lock(); l.acquire(); l.acquire()", "of waiting for something"),
}


@pytest.mark.parametrize("what", STALLS)
def test_what_never_ends_is_ended(runner: Runner, what: str):
    statement, says = STALLS[what]
    sources = mine(statement)
    assert runner.open(SOFTMAX, sources).status == "pass"
    started = time.monotonic()
    verdict = runner.check(INFO, 1.0)
    assert time.monotonic() - started < generous(1.0)
    assert verdict.status == "timeout"
    told = verdict.words or verdict.message  # the sandbox keeps it for the instructor
    assert told.startswith(f"Stopped after 1 seconds {says} (the check). It was at ")
    line = sources[SOFTMAX.stem].text.splitlines().index(f"    {statement}") + 1
    assert f"{SOFTMAX.stem}.py:{line}: does that ever end?" in told


def test_a_sleeping_import_is_charged_to_the_budget():
    text = f"import time\ntime.sleep(2)\n{SOURCE.text.replace('from __future__ import annotations', '')}"
    sources = {SOFTMAX.stem: Source(SOFTMAX.stem, SOURCE.path, text, "learner")}
    with IsolatedRunner(0, Budget(wall=3.0)) as runner:
        assert runner.open(SOFTMAX, sources).status == "pass"
        assert runner.open(SOFTMAX, {**sources}).status in ("pass", "timeout")
        assert "has used up its 3 seconds of time" in runner.check(INFO).message


def test_only_waiting_is_rest():
    thread = "import threading, time\ndef {0}(): {1}\nthreading.Thread(target={0}).start()"
    codes = {
        "waits": "import time; time.sleep(60)",
        "waits in two threads": thread.format("nap", "time.sleep(60)"),
        "works": "while True: pass",
        "works in another thread": thread.format("work", "\n    while True: pass"),
    }
    rested = {}
    for name, code in codes.items():
        process = subprocess.Popen([sys.executable, "-c", code])
        rest, started = Rest(process.pid), time.monotonic()
        while rest.look() < 0.3 and time.monotonic() - started < 3:
            time.sleep(0.05)
        process.kill()
        process.wait()
        rested[name] = rest.seconds >= 0.3
    assert rested == {name: name.startswith("waits") for name in codes}


# ---- comparisons ----------------------------------------------------------------------------------------------------


def endless(got: object, want: object) -> Iterator[str]:
    while got is not want:
        pass
    yield "never"


def test_a_comparison_that_does_not_end_is_an_answer_about_that_check(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(judging, "COMPARISON_LIMIT", 0.3)
    asked: list[float] = []

    @contextmanager
    def patience(seconds: float) -> Iterator[None]:
        asked.append(seconds)
        with interruption(seconds):
            yield

    judge = judging.IsolatedJudge.__new__(judging.IsolatedJudge)
    judge._patience = patience
    for compare in ("values", "structure", "nothing"):
        made = check("an example", compare=compare, limit=1.0)(lambda ex, rng: None)
        made.explanation = endless
        found = judge.compare(made, freeze({"a": np.zeros(3)}), freeze({"a": np.arange(3.0)}))
        assert found == "What your code returned can't be compared with what is expected: TimeoutError."
    assert asked == [0.3] * 3


def test_a_comparison_has_seconds_and_a_longer_one_a_tenth_of_what_its_check_may_take():
    asked: list[float] = []

    @contextmanager
    def patience(seconds: float) -> Iterator[None]:
        asked.append(seconds)
        yield

    judge = judging.IsolatedJudge.__new__(judging.IsolatedJudge)
    judge._patience = patience
    for limit in (1.0, 20.0, 300.0):
        assert judge.compare(check("an example", limit=limit)(lambda ex, rng: None), 1, 1) is None
    assert asked == [5.0, 5.0, 30.0]


def test_two_observations_are_compared_once(monkeypatch: pytest.MonkeyPatch):
    """The rows side by side are of the same comparison as the message, so they can't take any time of their own."""
    calls: list[str] = []
    for name in ("structure", "values", "outline", "alike"):
        plain = getattr(Comparison, name)

        def counted(self: Comparison, got: object, want: object, name: str = name, plain=plain) -> Mismatch | None:
            calls.append(name)
            return plain(self, got, want)

        monkeypatch.setattr(Comparison, name, counted)
    sources = mine("return x * 1.5")
    with Code(Assembly(read_folder(ROOT / "solutions", "reference"))) as code, Assembly(sources) as learner:
        from grader.workers.here import import_suite

        made = getattr(import_suite(SOFTMAX.suite), INFO.name)
        assert isinstance(made, Check)
        verdict = Judge(SOFTMAX.stem, learner, code, 0).judge(made, 20)
    assert verdict.evidence.beside
    assert len(calls) == len(set(calls))
