"""A course with a real gradebook, and a class that hands in work of every kind."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from grader.content.syllabus import Entry, find
from grader.misconceptions.catalogue import catalogue
from grader.probing.assembly import Source

(ENTRY,) = find(["01"])
SEED = 0
SECONDS = 8  # for one submission: what an endless loop costs


class Course:
    """A course in a folder of its own, used through nbgrader's own interface."""

    def __init__(
        self, root: Path, style: str = "files", copied: Path | None = None, entries: Sequence[Entry] = (ENTRY,)
    ) -> None:
        from grader.staff.nbgrader.course import write_course

        self.root = root
        self.name = entries[0].stem  # the assignment that all methods are about
        if copied is None:
            write_course(root, entries, style)  # type: ignore[arg-type]
        else:
            shutil.copytree(copied, root)
        self.api = self.opened()

    def opened(self, **settings: dict[str, Any]) -> Any:
        """nbgrader with this course's own configuration, and some settings more."""
        from nbgrader.apps import NbGraderAPI
        from traitlets.config import PyFileConfigLoader

        config = PyFileConfigLoader("nbgrader_config.py", path=str(self.root)).load_config()
        config.CourseDirectory.root = str(self.root)
        config.Exchange.root = str(self.root / "exchange")
        config.Exchange.cache = str(self.root / "cache")
        config.JudgeSubmission.seed, config.JudgeSubmission.seconds = SEED, float(SECONDS)
        for section, values in settings.items():
            config[section].update(values)
        return NbGraderAPI(config=config)

    def generate(self) -> None:
        """nbgrader generate_assignment."""
        done(self.api.generate_assignment(self.name))

    def notebook(self) -> dict[str, Any]:
        """The released notebook."""
        path = self.root / "release" / self.name / f"{self.name}.ipynb"
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def folder(self, student: str) -> Path:
        """Where a student's submission lies."""
        return self.root / "submitted" / student / self.name

    def hand_in(self, student: str, code: str | None = None, notebook: dict[str, Any] | str | None = None) -> Path:
        """Put a submission there as `collect` does: what was released, with the student's own changes."""
        folder = self.folder(student)
        shutil.copytree(self.root / "release" / self.name, folder)
        if code is not None:
            (folder / f"{self.name}.py").write_text(code, encoding="utf-8")
        if notebook is not None:
            text = notebook if isinstance(notebook, str) else json.dumps(notebook)
            (folder / f"{self.name}.ipynb").write_text(text, encoding="utf-8")
        return folder

    def autograde(self, student: str, api: Any = None) -> None:
        """nbgrader autograde --force."""
        done((api or self.api).autograde(self.name, student))

    def grades(self, student: str) -> dict[str, Any]:
        """The grades of a submission by cell."""
        with self.api.gradebook as gradebook:
            (notebook,) = gradebook.find_submission(self.name, student).notebooks
            return {grade.name: grade.auto_score for grade in notebook.grades}

    def points(self, student: str) -> float:
        """The points of a submission's checks."""
        return sum(points for name, points in self.grades(student).items() if name.startswith("check-"))

    def feedback(self, student: str) -> str:
        """nbgrader generate_feedback, and what the student reads."""
        done(self.api.generate_feedback(self.name, student))
        return (self.root / "feedback" / student / self.name / f"{self.name}.html").read_text(encoding="utf-8")


def done(result: dict[str, Any]) -> None:
    """Fail with nbgrader's own words if a step of it did not succeed."""
    assert result["success"], f"{result.get('error', '')}\n{result.get('log', '')}"


def solution(*edits: tuple[str, str]) -> str:
    """The reference's code with some pieces replaced."""
    return Source.read(ENTRY.solution, "learner").edited(edits).text


def wrong() -> str:
    """Code with a known mistake."""
    return catalogue(ENTRY)[0].applied(Source.read(ENTRY.solution, "reference")).text


@pytest.fixture(scope="session", autouse=True)
def command_line() -> Iterator[None]:
    """nbgrader starts `alembic` by name, which lies beside the interpreter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        yield


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course whose only assignment is released, to copy: making a gradebook takes seconds."""
    course = Course(tmp_path_factory.mktemp("released") / "course")
    course.generate()
    return course.root


@pytest.fixture
def course(tmp_path: Path, released: Path) -> Course:
    """A course of a test's own."""
    return Course(tmp_path / "course", copied=released)
