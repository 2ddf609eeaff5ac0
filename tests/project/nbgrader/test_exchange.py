"""How work goes out and comes back: the exchange, archives of a learning platform, deadlines and late work."""

from __future__ import annotations

import getpass
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[nbgrader]'")

from grader.sandbox.levels import probe
from tests.project.nbgrader.conftest import Course, done, solution, wrong

LEVEL = probe()
pytestmark = pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A student's own folder, in which the student works."""
    folder = tmp_path / "home"
    folder.mkdir()
    before = Path.cwd()
    monkeypatch.chdir(folder)
    yield folder
    os.chdir(before)


def test_release_fetch_submit_collect_autograde(course: Course, home: Path) -> None:
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.exchange import ExchangeFactory

    exchange = course.root / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)
    api = course.api
    done(api.release_assignment(course.name))
    config = api.config.copy()
    config.CourseDirectory.root = str(home)
    config.CourseDirectory.assignment_id = course.name
    student = {"coursedir": CourseDirectory(config=config), "config": config, "authenticator": api.authenticator}
    factory = ExchangeFactory(config=config)
    factory.FetchAssignment(**student).start()
    assert {path.name for path in (home / course.name).iterdir()} == {f"{course.name}.ipynb", f"{course.name}.py"}
    (home / course.name / f"{course.name}.py").write_text(solution(), encoding="utf-8")
    factory.Submit(**student).start()
    done(api.collect(course.name))
    name = getpass.getuser()
    assert (course.folder(name) / "timestamp.txt").exists()
    course.autograde(name)
    with api.gradebook as gradebook:
        (notebook,) = gradebook.find_submission(course.name, name).notebooks
        assert notebook.score == notebook.max_score - 4  # nobody has answered the question
    course.feedback(name)
    done(api.release_feedback(course.name))
    assert len(list((exchange / "stubformer" / "feedback").glob("*.html"))) == 1


def test_zip_collect(course: Course) -> None:
    from nbgrader.apps import ZipCollectApp

    archive = course.root / "downloaded" / course.name / "archive"
    archive.mkdir(parents=True)
    released = course.root / "release" / course.name / f"{course.name}.ipynb"
    for student, code in (("ada", solution()), ("bob", wrong())):
        with zipfile.ZipFile(archive / f"{student}_{course.name}.zip", "w") as file:
            file.write(released, f"{student}/{student}_attempt_2027-01-30-10-00-00_{course.name}.ipynb")
            file.writestr(f"{student}/{student}_attempt_2027-01-30-10-00-00_{course.name}.py", code)
    config = course.api.config.copy()
    config.CourseDirectory.assignment_id = course.name
    config.FileNameCollectorPlugin.named_regexp = (
        r".*/(?P<student_id>[^_/]+)_attempt_(?P<timestamp>[0-9\-]+)_(?P<file_id>\w+)\.(ipynb|py)$"
    )
    app = ZipCollectApp(config=config, parent=None)
    app.coursedir = course.api.coursedir
    app.coursedir.assignment_id = course.name
    app.extra_args = []
    app.config.merge(config)
    here = Path.cwd()
    os.chdir(course.root)
    try:
        app.start()
    finally:
        os.chdir(here)
    for student in ("ada", "bob"):
        assert (course.folder(student) / f"{course.name}.py").exists()
        course.autograde(student)
    assert course.points("ada") > course.points("bob") > 0


def late(course: Course, **settings: dict[str, Any]) -> tuple[float, float]:
    """The points and the penalty of a right submission that came an hour after midnight."""
    if not course.folder("ada").exists():
        folder = course.hand_in("ada", solution())
        (folder / "timestamp.txt").write_text("2027-02-01 01:00:00 UTC", encoding="utf-8")
    api = course.opened(**settings)
    course.autograde("ada", api)
    with api.gradebook as gradebook:
        submission = gradebook.find_submission(course.name, "ada")
        return submission.score, submission.late_submission_penalty


def test_deadlines_of_the_configuration_and_late_penalties(course: Course) -> None:
    due = {"deadlines": {course.name: "2027-02-01 00:00:00 UTC"}}
    points, penalty = late(course, Deadlines=due)
    assert (points > 0, penalty) == (True, 0)
    zero = {"penalty_method": "zero"}
    assert late(course, Deadlines=due, LateSubmissionPlugin=zero) == (points, points)
    extended = {"deadlines": {course.name: "2027-02-02 00:00:00 UTC"}}
    assert late(course, Deadlines=extended, LateSubmissionPlugin=zero) == (points, 0)


def test_links_are_not_followed(course: Course) -> None:
    secret = course.root / "secret.txt"
    secret.write_text("the marks of everybody", encoding="utf-8")
    folder = course.hand_in("eve", wrong())
    (folder / "mine.txt").symlink_to(secret)
    course.autograde("eve")
    course.feedback("eve")
    for name in ("autograded", "feedback"):
        for path in (course.root / name / "eve").rglob("*"):
            assert path.is_dir() or b"the marks of everybody" not in path.read_bytes()


def test_html_in_an_answer_is_shown_and_not_run(course: Course) -> None:
    from tests.project.nbgrader.submissions import answer

    text = "I think \ud800 <script>alert(1)</script> that <img src=x onerror=alert(1)> `a < b`."
    course.hand_in("eve", wrong(), answer(course.notebook(), text))
    course.autograde("eve")
    page = course.feedback("eve")
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "alert(1)" in page


def test_a_copy_of_the_notebook_under_another_name_counts(course: Course) -> None:
    folder = course.hand_in("ada", solution())
    shutil.move(folder / f"{course.name}.ipynb", folder / f"{course.name} (1).ipynb")
    course.autograde("ada")
    assert course.points("ada") > 0
