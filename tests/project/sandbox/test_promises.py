"""The page on the sandbox: each promise has two layers, files that hold it, and tests that attack it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from grader.files import ROOT

PAGE = ROOT / "docs" / "sandbox.md"
HEAD = ["promise", "layer", "second layer", "file", "test"]
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("|")
]
PROMISES = ROWS[2:]
FILES, TESTS = ROOT / "grader" / "sandbox", ROOT / "tests" / "project" / "sandbox"


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def has_tests(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in tree.body)


def test_the_table_is_there():
    assert ROWS[0] == HEAD
    assert len(PROMISES) > 15
    assert len({row[0] for row in PROMISES}) == len(PROMISES)


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row[0])
def test_a_promise_has_two_layers_the_files_that_hold_it_and_tests(row: list[str]):
    promise, layer, second, files, tests = row
    assert promise
    assert layer
    assert second
    assert layer != second
    assert names(files)
    assert names(tests)
    for name in names(files):
        assert (FILES / name).exists(), name
    for name in names(tests):
        assert has_tests(TESTS / name), name


@pytest.mark.parametrize("path", sorted(TESTS.glob("test_attacks_*.py")), ids=lambda path: path.name)
def test_each_file_of_attacks_belongs_to_a_promise(path: Path):
    assert any(path.name in names(row[4]) for row in PROMISES)


def test_a_table_with_a_gap_is_noticed():
    with pytest.raises(AssertionError, match="nowhere"):
        test_a_promise_has_two_layers_the_files_that_hold_it_and_tests(
            ["It is safe", "a wall", "a moat", "`runner.py`, `nowhere.py`", "`test_wire.py`"]
        )
