"""What the project's own tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from grader.content.stubs import generated
from grader.content.syllabus import find, load
from grader.files import ROOT
from grader.judging.reference import reference_assembly
from grader.probing.assembly import Exercise, Source
from tests.project.long_halves import (  # noqa: F401 - hooks of pytest
    pytest_addoption,
    pytest_runtest_makereport,
    pytest_runtest_setup,
)

HERE = Path(__file__).parent
LONGEST = (  # first, so that no worker is left with one of them when the others are done (`--dist loadfile`)
    "test_watch.py",
    "test_unrelated_breakages.py",
    "lab/test_cli.py",
    "test_batch.py",
    "test_clauses.py",
    "test_misconceptions.py",
    "nbgrader/test_judge.py",
    "test_grading.py",
    "test_look.py",
    "sandbox/test_isolated.py",
    "claims/test_ex23.py",
    "test_imports.py",
    "claims/test_ex16.py",
    "claims/test_ex12.py",
    "nbgrader/test_round_trip.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin first; all others keep their order."""
    order = {HERE / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session")
def reference() -> Iterator[Callable[[str], Exercise]]:
    """The reference's exercises by stem."""
    with reference_assembly() as assembly:
        yield assembly.exercise


@pytest.fixture(autouse=True)
def outside_of_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """A make that a test runs is the first one, also where make runs the tests."""
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def own_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A progress file of each test's own: none leaves a trace in that of whoever runs the tests."""
    path = tmp_path / "progress.json"
    monkeypatch.setenv("STUBFORMER_PROGRESS", str(path))
    return path


def run(*arguments: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m grader` in a process of its own, on a screen 100 columns wide."""
    return subprocess.run(
        [sys.executable, "-m", "grader", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"} | environment,
        timeout=300,
        check=False,
    )


def marked(mark: str) -> int:
    """How many processes run that have a text in their environment (Linux)."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            found += mark.encode() in path.read_bytes()  # of one that is over, nothing can be read
    return found


class Folder:
    """A learner's folder: untouched stubs, until a test puts something else there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for entry in load():
            (path / entry.stub.name).write_text(generated(entry), encoding="utf-8")

    def write(self, ex: str, text: str) -> Path:
        """Put a text in the place of an exercise."""
        path = self.path / find([ex])[0].stub.name
        path.write_text(text, encoding="utf-8")
        return path

    def solve(self, ex: str, *edits: tuple[str, str]) -> Path:
        """Put the solution there, with edits (each must fit exactly once)."""
        source = Source.read(find([ex])[0].solution, "learner")
        return self.write(ex, source.edited(edits).text)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A learner's folder of untouched stubs."""
    (tmp_path / "exercises").mkdir()
    return Folder(tmp_path / "exercises")
