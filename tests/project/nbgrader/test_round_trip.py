"""A class that hands in everything: the same points as `python -m grader grade`, and no hidden check in feedback."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[nbgrader]'")

from grader.content.suite import checks_of
from grader.files import ROOT
from grader.sandbox.levels import probe
from tests.project.nbgrader.conftest import ENTRY, SECONDS, SEED, Course
from tests.project.nbgrader.submissions import ATTACKS, hand_in_all

LEVEL = probe()
pytestmark = pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing))
TOTAL = sum(info.points for info in checks_of(ENTRY.suite))


@dataclass(frozen=True)
class Class:
    """A course after autograding, and what the command says of the same submissions."""

    course: Course
    students: list[str]
    batch: Path


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, released: Path) -> Class:
    """Everything that a class handed in, graded both ways."""
    root = tmp_path_factory.mktemp("nbgrader")
    course = Course(root / "course", copied=released)
    students = hand_in_all(course)
    for student in students:
        course.autograde(student)
    command = [sys.executable, "-m", "grader", "grade", str(course.root / "submitted"), "--out", str(root / "batch")]
    command += ["--only", ENTRY.label, "--seed", str(SEED), "--seconds", str(SECONDS), "--jobs", "2", "--plain"]
    subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    return Class(course, students, root / "batch")


def test_same_points_as_the_command(graded: Class) -> None:
    ours, theirs = {}, {}
    for student in graded.students:
        record = json.loads((graded.batch / "students" / f"{student}.json").read_text(encoding="utf-8"))
        theirs[student] = record["result"]["points"] if record["result"] else 0
        ours[student] = graded.course.points(student)
    assert ours == theirs
    assert len(ours) >= 12


def test_what_each_deserves(graded: Class) -> None:
    points = {student: graded.course.points(student) for student in graded.students}
    right = ["right", "variant", "deleted", "duplicated", "reordered", "invalid-json", "no-notebook-at-all"]
    right += ["wrong-kernel", "old-format", "shadows"]
    assert {student: points[student] for student in right} == dict.fromkeys(right, TOTAL)
    nothing = ["untouched", "syntax-error", "loop", "hog", "no-code", "exits"]
    assert {student: points[student] for student in nothing} == dict.fromkeys(nothing, 0)
    assert 0 < points["wrong"] < TOTAL


@pytest.mark.parametrize("attack", [*ATTACKS, "flipped", "forged"])
def test_no_attack_gives_points(graded: Class, attack: str) -> None:
    assert graded.course.points(attack.replace(" ", "-")) in (0, graded.course.points("wrong"))


def test_answers_are_kept(graded: Class) -> None:
    for student in ("right", "deleted", "duplicated", "reordered", "flipped", "old-format"):
        path = graded.course.root / "autograded" / student / ENTRY.stem / f"{ENTRY.stem}.ipynb"
        assert "Where the chance underflows." in path.read_text(encoding="utf-8"), student
        assert graded.course.grades(student)["in-your-own-words"] is None
    assert graded.course.grades("wrong")["in-your-own-words"] == 0  # unanswered


def test_feedback_tells_no_hidden_check(graded: Class) -> None:
    for student in ("wrong", "syntax-error", "loop", "right"):
        page = graded.course.feedback(student)
        for info in checks_of(ENTRY.suite):
            assert (info.says.replace("'", "&#39;") in page or info.says in page) is not info.hidden, (student, info)
            assert info.name not in page
    assert "hidden checks" in graded.course.feedback("wrong")


def test_manual_score_and_comment_arrive(graded: Class) -> None:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{graded.course.root / 'gradebook.db'}") as gradebook:
        names = ("in-your-own-words", ENTRY.stem, ENTRY.stem, "right")
        gradebook.find_grade(*names).manual_score = 3
        gradebook.find_comment(*names).manual_comment = "Well seen, and the gradient?"
        gradebook.db.commit()
    page = graded.course.feedback("right")
    assert "Well seen, and the gradient?" in page
    assert f"{TOTAL + 3}.0" in page.replace(f"{TOTAL + 3}/", f"{TOTAL + 3}.0/")


def test_the_instructor_has_the_whole_result(graded: Class) -> None:
    record = json.loads((graded.course.root / "judged" / ENTRY.stem / "wrong.json").read_text(encoding="utf-8"))
    (exercise,) = record["result"]["exercises"]
    assert exercise["max_points"] == TOTAL
    assert any(check["hidden"] for check in exercise["checks"])


def test_exports(graded: Class, tmp_path: Path) -> None:
    from nbgrader.plugins import CsvExportPlugin

    from grader.staff.nbgrader.exporting import ByCheck, ByQuestion

    def table(plugin: type) -> list[dict[str, str]]:
        path = tmp_path / f"{plugin.__name__}.csv"
        with graded.course.api.gradebook as gradebook:
            plugin(to=str(path), parent=graded.course.api).export(gradebook)
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    students = table(CsvExportPlugin)
    wrong = next(row for row in students if row["student_id"] == "wrong")
    assert float(wrong["raw_score"]) == graded.course.points("wrong")
    cells = [row for row in table(ByQuestion) if row["student_id"] == "wrong"]
    assert sum(float(row["score"]) for row in cells) == graded.course.points("wrong")
    checks = [row for row in table(ByCheck) if row["student_id"] == "wrong"]
    assert len(checks) == len(checks_of(ENTRY.suite))
    assert sum(int(row["points"]) for row in checks) == graded.course.points("wrong")
