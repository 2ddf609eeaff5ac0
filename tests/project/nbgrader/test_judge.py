"""When the judge refuses, and grading again after checks were mended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[nbgrader]'")

from grader.files import ROOT
from grader.sandbox.levels import Level, probe
from tests.project.nbgrader.conftest import ENTRY, SEED, Course, solution

LEVEL = probe()
# A check that rejects right code: it looks at the structure alone, and its explanation has a `not` too few.
CHECK = '@check("softmax leaves its argument as it is", points=1, after=test_softmax_values)'
LOOK = '    if not close(got["x"], want["x"]):\n        yield "after softmax'
MISTAKES = ((CHECK, CHECK.replace("after", 'compare="structure", after')), (LOOK, LOOK.replace("not ", "")))
full = pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing))


def test_below_full_isolation_nothing_is_graded(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = Level("reduced", (), ("this kernel has no Landlock",))
    monkeypatch.setattr("grader.staff.nbgrader.steps.reading.probe", lambda: weak)
    course.hand_in("ada", solution())
    result = course.api.autograde(course.name, "ada")
    assert not result["success"]
    assert "isolation: reduced: this kernel has no Landlock" in result["log"] + result.get("error", "")
    assert not (course.root / "autograded").exists()
    course.autograde("ada", course.opened(SubmissionReader={"allow_unsandboxed": True}))
    assert course.points("ada") > 0


@full
def test_a_graded_cell_of_ones_own_is_refused(course: Course) -> None:
    import nbformat

    path = course.root / "source" / course.name / f"{course.name}.ipynb"
    book = nbformat.read(path, as_version=4)
    cell = nbformat.v4.new_code_cell("assert True", id="mine")
    about = {"schema_version": 3, "grade_id": "mine", "grade": True, "solution": False, "locked": True, "task": False}
    cell.metadata["nbgrader"] = about | {"points": 5}
    book.cells.append(cell)
    nbformat.write(book, path)
    course.generate()
    course.hand_in("ada", solution())
    result = course.api.autograde(course.name, "ada")
    assert not result["success"]
    assert "'mine' that is none of the exercise's" in result["log"]


class Project:
    """A copy of the project whose checks can be mended."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("grader", "exercises", "solutions"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "backups"))
        (root / "tests").mkdir()
        for path in (ROOT / "tests").glob("test_ex*.py"):
            shutil.copy(path, root / "tests")
        self.course = root / "course"

    def run(self, *command: str) -> str:
        paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
        environment = os.environ | {"PYTHONPATH": str(self.root), "PATH": os.pathsep.join(paths)}
        folder = self.course if self.course.exists() else self.root
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def mend(self, old: str, new: str) -> None:
        path = self.root / "tests" / ENTRY.suite.name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")

    def points(self) -> tuple[float, float]:
        from nbgrader.api import Gradebook

        with Gradebook(f"sqlite:///{self.course / 'gradebook.db'}") as gradebook:
            submission = gradebook.find_submission(ENTRY.stem, "ada")
            return submission.score, submission.max_score


@full
def test_regrade_after_a_check_was_mended_and_one_was_added(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    grade = ("nbgrader", "autograde", ENTRY.stem, "--force")
    project.run("grader", "notebooks", ENTRY.label, "--out", str(project.course))
    for right, wrong in MISTAKES:  # a check with a mistake in it is handed out
        project.mend(right, wrong)
    config = project.course / "nbgrader_config.py"
    config.write_text(config.read_text(encoding="utf-8") + f"c.JudgeSubmission.seed = {SEED}\n", encoding="utf-8")
    project.run("nbgrader", "generate_assignment", ENTRY.stem)
    shutil.copytree(project.course / "release" / ENTRY.stem, project.course / "submitted" / "ada" / ENTRY.stem)
    handed_in = project.course / "submitted" / "ada" / ENTRY.stem / ENTRY.stub.name
    handed_in.write_text(solution(), encoding="utf-8")
    told = project.run(*grade)
    before, most = project.points()
    assert before == most - 1 - 4, told  # the question is not answered

    # Mended, the check gives its point back.
    for right, wrong in MISTAKES:
        project.mend(wrong, right)
    told = project.run(*grade)
    assert project.points() == (before + 1, most), told

    # A further check: it is refused until the notebook says what it is worth, then everybody has it.
    project.mend(
        "### END HIDDEN TESTS",
        '@check("the shares of two equal scores are equal", points=2)\n'
        "def test_equal_scores(ex: Exercise, rng: Random):\n"
        "    return ex.softmax(np.zeros(2))\n\n\n### END HIDDEN TESTS",
    )
    assert "was made for other checks: it gives 15 points for 'hidden', now 17" in project.run(*grade)
    project.run("grader", "notebooks", ENTRY.label, "--out", str(project.course))
    project.run("nbgrader", "generate_assignment", ENTRY.stem, "--force")
    told = project.run(*grade)
    assert project.points() == (before + 3, most + 2), told
