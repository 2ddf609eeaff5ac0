"""What is missing in a submission: its notebook, its file, the traces of the exchange. Nobody vanishes for it."""

from __future__ import annotations

import csv
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[nbgrader]'")

from grader.content.suite import checks_of
from grader.sandbox.levels import probe
from grader.sandbox.runner import Budget, JudgeDied
from grader.staff.batch.record import Record
from grader.staff.batch.unit import close, grade_submission
from grader.staff.nbgrader import judging
from tests.project.nbgrader.conftest import ENTRY, Course, done, solution

LEVEL = probe()
pytestmark = pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing))
TOTAL = sum(info.points for info in checks_of(ENTRY.suite))


def graded(course: Course, student: str) -> str:
    """The notebook of a submission after autograde, as text."""
    path = course.root / "autograded" / student / course.name / f"{course.name}.ipynb"
    return path.read_text(encoding="utf-8")


def test_a_submission_without_a_notebook_is_graded_and_has_its_row(course: Course, tmp_path: Path) -> None:
    right = course.hand_in("ada", solution())
    (right / f"{course.name}.ipynb").unlink()
    nothing = course.hand_in("bob")
    for path in nothing.iterdir():
        path.unlink()
    (nothing / "notes.txt").write_text("sorry", encoding="utf-8")
    other = course.hand_in("cleo", solution())
    shutil.move(other / f"{course.name}.ipynb", other / "Untitled.ipynb")
    (other / "Untitled.ipynb").write_text('{"cells": [], "nbformat": 4}', encoding="utf-8")
    for student in ("ada", "bob", "cleo"):
        course.autograde(student)
    assert course.points("ada") == course.points("cleo") == TOTAL
    assert course.points("bob") == 0
    assert "No notebook was handed in" in graded(course, "ada")
    assert "It holds notes.txt" in graded(course, "bob")
    assert course.grades("ada")["in-your-own-words"] == 0
    with course.api.gradebook as gradebook:
        from nbgrader.plugins import CsvExportPlugin

        CsvExportPlugin(to=str(tmp_path / "grades.csv")).export(gradebook)
    with (tmp_path / "grades.csv").open(newline="", encoding="utf-8") as file:
        scores = {row["student_id"]: float(row["raw_score"]) for row in csv.DictReader(file)}
    assert scores == {"ada": TOTAL, "bob": 0, "cleo": TOTAL}


def test_a_file_under_another_name_is_named(course: Course) -> None:
    folder = course.hand_in("ada")
    (folder / f"{course.name}.py").rename(folder / "softmax.py")
    course.autograde("ada")
    text = graded(course, "ada")
    assert f"There is no {course.name}.py in what was handed in. It holds softmax.py." in text


def test_feedback_on_what_came_without_the_exchange_stops_nobody_elses(course: Course) -> None:
    (course.root / "exchange").mkdir()
    (course.root / "exchange").chmod(0o777)
    course.hand_in("ada", solution())
    with_traces = course.hand_in("bob", solution())
    (with_traces / "timestamp.txt").write_text("2027-02-01 01:00:00.000000 UTC", encoding="utf-8")
    (with_traces / "submission_secret.txt").write_text("secret", encoding="utf-8")
    for student in ("ada", "bob"):
        course.autograde(student)
        course.feedback(student)
    done(course.api.release_feedback(course.name))
    assert len(list((course.root / "exchange" / "stubformer" / "feedback").glob("*.html"))) == 2
    assert not (course.folder("ada") / "timestamp.txt").exists()  # else it would count as handed in at that time


def test_records_and_seeds_are_for_the_instructor_alone(course: Course) -> None:
    course.hand_in("ada", solution())
    course.autograde("ada")
    judged = course.root / "judged"
    for path in (judged, *judged.rglob("*"), course.root / "gradebook.db"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("deaths", [judging.TRIES - 1, judging.TRIES])
def test_a_judge_that_dies_is_asked_again_and_then_nobody_gets_a_zero(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(deaths))

    def dying(*arguments: Any) -> Record:
        if next(left, None) is not None:
            raise JudgeDied("The judge ended.")
        return grade_submission(*arguments)

    monkeypatch.setattr(judging, "grade_submission", dying)
    folder = tmp_path / "ada" / ENTRY.stem
    folder.mkdir(parents=True)
    shutil.copy(ENTRY.solution, folder / ENTRY.stub.name)
    request = {"submitted": str(tmp_path), "student": "ada", "assignment": ENTRY.stem, "stem": ENTRY.stem}
    told = judging.answer(request | {"seed": 7, "budget": asdict(Budget())})
    close()
    if deaths < judging.TRIES:
        assert [exercise["status"] for exercise in told["record"]["result"]["exercises"]] == ["pass"]
    else:
        assert "says nothing about the submission" in told["broken"]
        assert "record" not in told
