"""What took long and passed is left out until something changes that decides it, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from grader import store
from grader.content.syllabus import find
from grader.files import ROOT
from grader.staff.settled import Settled, content
from tests.project.conftest import run


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.PLACE, str(tmp_path / "store"))


def test_what_is_kept_is_known_until_a_text_changes():
    assert Settled("one", ["a", "b"]).known is None
    Settled("one", ["a", "b"]).keep([3, 2])
    assert Settled("one", ["a", "b"]).known == [3, 2]
    assert Settled("one", ["a", "c"]).known is None
    assert Settled("two", ["a", "b"]).known is None


def test_what_is_kept_is_not_known_to_another_engine(monkeypatch: pytest.MonkeyPatch):
    Settled("one", ["a"]).keep()
    monkeypatch.setattr(store, "engine", lambda: "another")
    assert Settled("one", ["a"]).known is None


def test_an_exercise_is_decided_by_what_it_and_those_before_it_hold():
    (entry,) = find(["05"])
    names = set(content(entry)[::2])
    assert {"solutions/ex05_attention.py", "tests/test_ex01_softmax.py", "exercises/syllabus.toml"} <= names
    assert "tests/misconceptions/ex05_attention.toml" in names
    assert not any("ex06_masks" in name or "ex23_muon" in name for name in names)
    assert {"tests/misconceptions/ex06_masks.toml", "tests/test_ex23_muon.py"} <= set(content()[::2])
    assert not any(name.startswith("tests/project/") for name in content()[::2])


def test_a_long_test_runs_once_with_changed_and_always_without():
    def outcome(*options: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/project/claims/test_ex02.py"]
        done = subprocess.run([*command, *options], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
        return done.stdout.splitlines()[-1]

    assert "1 passed" in outcome("--changed")
    assert "1 skipped" in outcome("--changed")
    assert "1 passed" in outcome()


def test_mistakes_are_not_tried_again_where_nothing_has_changed():
    first = run("mutants", "02", "--changed", "--plain")
    again = run("mutants", "02", "--changed", "--plain")
    assert "rejected by" in first.stdout and "rejected by" not in again.stdout
    assert again.stdout.startswith("As it was when all was right: ex02.")
    assert again.stdout.splitlines()[-2:] == first.stdout.splitlines()[-2:]
