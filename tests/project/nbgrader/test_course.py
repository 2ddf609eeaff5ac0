"""Building a course: the same bytes each time, all points in it, nothing hidden or solved, and edits are left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[nbgrader]'")

from grader.content.stubs import generated
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.nb.content import content, scheme
from grader.nb.module import module_of
from grader.nb.prose import sections
from grader.staff.nbgrader.course import course_files, write_course
from grader.staff.nbgrader.notebook import Style, notebook
from grader.staff.release.leaks import leaks

STYLES: tuple[Style, ...] = ("files", "cells")


def cells(entry: Entry, style: Style) -> list[dict[str, Any]]:
    found = json.loads(notebook(content(entry), style))["cells"]
    assert isinstance(found, list)
    return found


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("style", STYLES)
def test_two_builds_are_the_same(tmp_path: Path, style: Style) -> None:
    for name in ("one", "two"):
        write_course(tmp_path / name, load(), style)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    before = tree(tmp_path / "one")
    write_course(tmp_path / "one", load(), style)
    assert tree(tmp_path / "one") == before


@pytest.mark.parametrize("style", STYLES)
def test_nothing_hidden_or_solved_is_handed_out(tmp_path: Path, style: Style) -> None:
    write_course(tmp_path, load(), style)
    assert list(leaks(tmp_path / "source", load())) == []
    for entry in load():
        text = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "source" / entry.stem).iterdir())
        for info in checks_of(entry.suite):
            if info.hidden:
                assert info.name not in text
                assert info.says not in text
        rules = [line for line in scheme(entry).splitlines() if len(line) > 15]
        assert not [line for line in rules if line in text]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.label)
def test_the_points_are_those_of_the_checks(entry: Entry, style: Style) -> None:
    points = 0
    for cell in cells(entry, style):
        about = cell["metadata"].get("nbgrader", {})
        if about.get("grade") and cell["cell_type"] == "code":
            points += about["points"]
            assert "".join(cell["source"]) == f'check("{about["grade_id"].removeprefix("check-")}")'
    assert points == sum(info.points for info in checks_of(entry.suite))


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.label)
def test_every_exercise_has_a_question_with_a_marking_scheme(entry: Entry) -> None:
    question = content(entry).question
    assert question is not None
    text = scheme(entry)
    points = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("- "))
    assert points == question.points, f"{points} points in the scheme, {question.points} for the question"


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.label)
def test_cells_untouched_give_the_stub(entry: Entry) -> None:
    assert module_of(entry, notebook(content(entry), "cells")).text == generated(entry)


def test_ids_are_unique_and_valid() -> None:
    for entry in load():
        for style in STYLES:
            ids = [cell["id"] for cell in cells(entry, style)]
            assert len(ids) == len(set(ids))


def test_an_edited_file_is_left_alone(tmp_path: Path) -> None:
    entries = find(["01"])
    write_course(tmp_path, entries)
    config = tmp_path / "nbgrader_config.py"
    config.write_text(config.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    assert write_course(tmp_path, entries).edited == ("nbgrader_config.py",)
    assert write_course(tmp_path, entries).edited == ("nbgrader_config.py",)  # it is remembered
    assert config.read_text(encoding="utf-8").endswith("# mine\n")


def test_a_change_of_style_takes_the_stubs_away(tmp_path: Path) -> None:
    entries = find(["01"])
    write_course(tmp_path, entries, "files")
    write_course(tmp_path, entries, "cells")
    names = {path.name for path in (tmp_path / "source" / entries[0].stem).iterdir()}
    assert names == {f"{entries[0].stem}.ipynb"}
    assert set(dict(course_files(entries, "cells"))) | {"generated.json"} == set(tree(tmp_path))


def test_an_edited_stub_of_the_other_style_is_named_each_time(tmp_path: Path) -> None:
    """It would be handed out, and nobody but its author may remove it."""
    entries = find(["01"])
    write_course(tmp_path, entries, "files")
    name = f"source/{entries[0].stem}/{entries[0].stub.name}"
    (tmp_path / name).write_text("# mine\n", encoding="utf-8")
    for _ in range(2):
        assert write_course(tmp_path, entries, "cells").edited == (name,)
    assert (tmp_path / name).read_text(encoding="utf-8") == "# mine\n"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(GraderError, match="no course"):
        write_course(tmp_path, find(["01"]))


def test_a_lesson_as_markdown() -> None:
    lesson = "A title.\n\nOne\n---\nText of 3 * 4 < $5 ::\n\n   indented\n\n      more\n\nAfter.\n\n>>> 1 + 1\n2\n"
    title, one = sections(lesson)
    assert title.title == "A title."
    assert "```text\nindented\n\n   more\n```" in one.markdown
    assert "\\$5\n\n```text" in one.markdown
    assert "After.\n\n```pycon\n>>> 1 + 1\n2\n```" in one.markdown
