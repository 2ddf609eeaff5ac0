"""An exercise that is built on another: the same points as `python -m grader grade`, whatever was handed in of that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[nbgrader]'")

from grader.content.suite import checks_of
from grader.content.syllabus import Entry, find
from grader.files import ROOT
from grader.misconceptions.catalogue import catalogue
from grader.probing.assembly import Source
from grader.sandbox.levels import probe
from tests.project.nbgrader.conftest import SECONDS, SEED, Course

LEVEL = probe()
pytestmark = pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing))
FIRST, SECOND = find(["01", "05"])
assert FIRST.stem in SECOND.needs


def code(entry: Entry, what: str) -> str:
    """A right solution, or one with a known mistake."""
    right = Source.read(entry.solution, "reference")
    return right.text if what == "right" else catalogue(entry)[0].applied(right).text


# What each student hands in: for the first assignment, for the second, and of the first exercise beside the second.
CLASS = {
    "both-right": ("right", "right", None),
    "first-wrong": ("wrong", "right", None),
    "second-wrong": ("right", "wrong", None),
    "both-wrong": ("wrong", "wrong", None),
    "first-missing": (None, "right", None),
    "mended-since": ("wrong", "right", "right"),
}


def test_same_points_as_the_command(tmp_path: Path) -> None:
    course = Course(tmp_path / "course", entries=(FIRST, SECOND))
    for name in (FIRST.stem, SECOND.stem):
        course.name = name
        course.generate()
    for student, (first, second, beside) in CLASS.items():
        course.name = FIRST.stem
        if first:
            course.hand_in(student, code(FIRST, first))
        course.name = SECOND.stem
        folder = course.hand_in(student, code(SECOND, second))
        if beside:
            (folder / FIRST.stub.name).write_text(code(FIRST, beside), encoding="utf-8")
    ours, borrowed = {}, {}
    for student in CLASS:
        course.autograde(student)
        ours[student] = course.points(student)
        record = json.loads((course.root / "judged" / SECOND.stem / f"{student}.json").read_text(encoding="utf-8"))
        borrowed[student] = bool(record["result"]["exercises"][0]["borrowed"])

    command = [sys.executable, "-m", "grader", "grade", str(course.root / "submitted"), "--out", str(tmp_path / "out")]
    command += ["--only", SECOND.label, "--seed", str(SEED), "--seconds", str(SECONDS), "--jobs", "2", "--plain"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    theirs = {}
    for student in CLASS:
        record = json.loads((tmp_path / "out" / "students" / f"{student}.json").read_text(encoding="utf-8"))
        theirs[student] = record["result"]["points"]
    assert ours == theirs

    total = sum(info.points for info in checks_of(SECOND.suite))
    full_marks = {student for student, points in ours.items() if points == total}
    assert full_marks == {student for student, (_, second, _) in CLASS.items() if second == "right"}
    assert 0 < ours["second-wrong"] == ours["both-wrong"] < total
    assert {student for student, lent in borrowed.items() if lent} == {"first-wrong", "both-wrong", "first-missing"}
