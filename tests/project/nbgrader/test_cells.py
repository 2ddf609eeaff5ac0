"""STYLE=cells: the learner's code in cells of the notebook; the same checks, the same points."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[nbgrader]'")

from grader.files import ROOT
from grader.nb.cells import PREFIX
from grader.sandbox.levels import probe
from tests.project.nbgrader.conftest import ENTRY, SECONDS, SEED, Course, solution, wrong
from tests.project.nbgrader.submissions import about, broken

LEVEL = probe()
pytestmark = pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing))


def filled(notebook: dict[str, Any], module: str) -> dict[str, Any]:
    """The notebook with the functions of a module in its cells."""
    found = {
        node.name: ast.get_source_segment(module, node) for node in ast.parse(module).body if hasattr(node, "name")
    }

    def fill(cells: list[dict[str, Any]]) -> None:
        for cell in cells:
            name = about(cell).get("grade_id", "").removeprefix(PREFIX)
            if name in found:
                cell["source"] = found[name]

    return broken(notebook, fill)


def test_same_points_as_files(tmp_path: Path) -> None:
    files, cells = Course(tmp_path / "files"), Course(tmp_path / "cells", "cells")
    blank = {}
    for course in (files, cells):
        course.generate()
        blank[course.root.name] = course.notebook()
        assert not list((course.root / "release").rglob("*.py")) or course is files
    students = {"right": solution(), "wrong": wrong()}
    for student, code in students.items():
        files.hand_in(student, code)
        cells.hand_in(student, notebook=filled(blank["cells"], code))
    cells.hand_in("untouched")
    files.hand_in("untouched")
    for student in (*students, "untouched"):
        for course in (files, cells):
            course.autograde(student)
        assert cells.grades(student) == files.grades(student), student
    assert files.points("right") > files.points("wrong") > 0
    page = cells.feedback("wrong")
    assert "of the cell of `" in page  # where to look: a line of a cell, not of a file that nobody has
    assert f"{ENTRY.stem}.py:" not in page
    out = tmp_path / "batch"
    command = [sys.executable, "-m", "grader", "grade", str(cells.root / "submitted"), "--out", str(out), "--plain"]
    command += ["--only", ENTRY.label, "--seed", str(SEED), "--seconds", str(SECONDS)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for student in (*students, "untouched"):
        record = json.loads((out / "students" / f"{student}.json").read_text(encoding="utf-8"))
        assert record["result"]["points"] == cells.points(student)


def test_damage_costs_what_it_must(tmp_path: Path) -> None:
    """A cell that was deleted is not written; a copy with other code, further down, does not count."""
    course = Course(tmp_path / "course", "cells")
    course.generate()
    right = filled(course.notebook(), solution())

    def lose(cells: list[dict[str, Any]]) -> None:
        cells[:] = [cell for cell in cells if about(cell).get("grade_id") != "solution-perplexity"]

    def copy(cells: list[dict[str, Any]]) -> None:
        cells.extend([dict(cell, source="raise SystemExit", id=f"{cell['id']}-2") for cell in cells])

    course.hand_in("lost", notebook=broken(right, lose))
    course.hand_in("copied", notebook=broken(right, copy))
    course.hand_in("reordered", notebook=broken(right, list.reverse))
    course.hand_in("right", notebook=right)
    for student in ("lost", "copied", "reordered", "right"):
        course.autograde(student)
    assert course.grades("copied") == course.grades("reordered") == course.grades("right")
    assert 0 < course.points("lost") < course.points("right")
