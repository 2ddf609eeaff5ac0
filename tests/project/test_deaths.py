"""A worker that dies at any moment costs what it was doing and nothing else."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.content.syllabus import find
from grader.grading import Grading
from grader.probing.assembly import Assembly
from grader.probing.outcome import attempt
from grader.results import ExerciseResult
from grader.store import Store
from grader.workers.process import Worker, WorkerDied, WorkerProcess
from tests.project.conftest import Folder

WRONG = ("    ### BEGIN SOLUTION", "    return x")  # in the first function


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grader.grading.Store", lambda: Store(tmp_path / "store"))


class Mortal(Worker):
    """A worker that dies when it is asked for something for the n-th time."""

    def __init__(self, fatal: Callable[[dict[str, Any]], bool]) -> None:
        self.worker = WorkerProcess()
        self.fatal = fatal

    def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        if self.fatal(request):
            self.worker.kill()
        return self.worker.ask(request, deadline)

    def close(self) -> None:
        self.worker.close()


def grade(folder: Folder, fatal: Callable[[dict[str, Any]], bool] = lambda _: False) -> ExerciseResult:
    def launch() -> Worker:
        return Mortal(fatal)

    with Grading(folder.path, launch=launch) as grading:
        return grading.grade(find(["01"])[0])


def once(what: str, place: int = 0) -> Callable[[dict[str, Any]], bool]:
    """Fatal at one request: the n-th of its kind."""
    count = iter(range(1000))
    return lambda request: request["do"] == what and next(count) == place


def told(result: ExerciseResult) -> list[tuple[str, str, object]]:
    return [(check.name, check.status, check.misconception) for check in result.checks]


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A learner's folder with a mistake that has a name."""
    path = tmp_path_factory.mktemp("exercises")
    folder = Folder(path)
    source = find(["01"])[0].solution.read_text(encoding="utf-8")
    edit = "return exponentials / exponentials.sum(axis=axis, keepdims=True)"
    assert source.count(edit) <= 1
    folder.write("01", source.replace("keepdims=True)", "keepdims=True) * 2", 1))
    return folder


@pytest.fixture(scope="module")
def unharmed(mistaken: Folder) -> ExerciseResult:
    result = grade(mistaken)
    assert {check.status for check in result.checks} == {"pass", "fail"}
    return result


@pytest.mark.parametrize("what, place", [("check", 1), ("check", 3), ("diagnose", 0)])
def test_a_death_between_two_requests_changes_nothing(
    mistaken: Folder, unharmed: ExerciseResult, what: str, place: int
):
    """Something that an earlier check left behind (an alarm, a thread) ends the process later."""
    assert told(grade(mistaken, once(what, place))) == told(unharmed)


def test_a_second_death_in_the_worker_that_takes_over_changes_nothing(mistaken: Folder, unharmed: ExerciseResult):
    """An alarm that is set at the import comes again, the sooner the busier the machine is."""
    count = iter(range(1000))
    assert told(grade(mistaken, lambda request: request["do"] == "check" and next(count) in (1, 2))) == told(unharmed)


def test_an_alarm_that_is_left_behind_ends_nothing_else():
    with Assembly({}) as code:
        outcome = attempt(lambda: signal.setitimer(signal.ITIMER_REAL, 60), code)
    assert outcome.failure is None
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_diagnosis_that_always_dies_names_nothing(mistaken: Folder, unharmed: ExerciseResult):
    result = grade(mistaken, lambda request: request["do"] == "diagnose")
    assert [check.status for check in result.checks] == [check.status for check in unharmed.checks]
    assert not any(check.misconception for check in result.checks)


def test_a_check_that_always_dies_is_told_and_the_others_are_run(mistaken: Folder, unharmed: ExerciseResult):
    name = unharmed.checks[2].name
    result = grade(mistaken, lambda request: request.get("name") == name)
    assert result.check(name).status == "error"
    assert "SIGKILL" in result.check(name).message
    assert [c.status for c in result.checks if c.name != name] == [c.status for c in unharmed.checks if c.name != name]


def test_a_death_at_the_import_is_told(mistaken: Folder):
    result = grade(mistaken, lambda request: request["do"] == "open")
    assert "SIGKILL" in result.checks[0].message


def test_an_alarm_that_was_set_at_the_import_ends_no_report(folder: Folder):
    folder.solve(
        "01",
        ("import numpy as np\n", "import numpy as np\nimport signal\n\nsignal.alarm(1)\n"),
    )
    result = grade(folder)
    assert {check.status for check in result.checks} <= {"pass", "error"}
    assert all("SIGALRM" in check.message for check in result.checks if check.status == "error")


def test_a_dead_worker_says_so():
    worker = Mortal(lambda _: True)
    with pytest.raises(WorkerDied):
        worker.ask({"do": "nothing"}, 10)
    worker.close()
