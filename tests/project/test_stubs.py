"""Stubs come from the solutions alone, and what somebody wrote is never overwritten unasked."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from grader.content import stubs
from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import digest

EX = load()[0]


@pytest.fixture
def handed_out(tmp_path: Path) -> Path:
    stubs.write(tmp_path)
    return tmp_path


def states(folder: Path) -> set[str]:
    return {stub.state for stub in stubs.survey(folder)}


def test_a_region_becomes_an_error_at_its_own_indentation():
    text = "def f(x):\n    ### BEGIN SOLUTION\n    y = x\n    return y\n    ### END SOLUTION\n\n\nz = 1\n"
    made = stubs.make_stub(text)
    assert "return y" not in made
    assert made.endswith("\n\n\nz = 1\n")
    with pytest.raises(NotImplementedError):
        exec(compile(made + "f(1)", "stub", "exec"), {})


@pytest.mark.parametrize(
    "text",
    [
        "### BEGIN SOLUTION\nx = 1\n",
        "x = 1\n### END SOLUTION\n",
        "### BEGIN SOLUTION\n### END SOLUTION\n",
        "### BEGIN SOLUTION\nx = 1\n### BEGIN SOLUTION\n### END SOLUTION\n",
    ],
)
def test_markers_that_do_not_pair_up_are_an_error(text: str):
    with pytest.raises(GraderError):
        stubs.make_stub(text)


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.stem)
def test_a_stub_keeps_everything_but_the_regions(entry: Entry):
    solution, stub = ast.parse(entry.solution.read_text()), ast.parse(stubs.generated(entry))
    assert ast.get_docstring(solution) == ast.get_docstring(stub)
    signatures = [
        [ast.unparse(node.args) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name[0] != "_"]
        for tree in (solution, stub)
    ]
    assert signatures[1] == [kept for kept in signatures[0] if kept in signatures[1]]
    assert "SOLUTION" not in stubs.generated(entry)


def test_writing_twice_changes_nothing(handed_out: Path):
    before = {path: path.read_bytes() for path in handed_out.iterdir()}
    assert stubs.write(handed_out) == ([], [])
    assert {path: path.read_bytes() for path in handed_out.iterdir()} == before
    assert states(handed_out) == {"current"}


def test_an_edited_exercise_stops_everything_and_stays_as_it_is(handed_out: Path):
    mine = handed_out / EX.stub.name
    mine.write_text("# my own work\n")
    (handed_out / load()[1].stub.name).unlink()
    with pytest.raises(GraderError, match=EX.stem):
        stubs.write(handed_out)
    assert mine.read_text() == "# my own work\n"
    assert not (handed_out / load()[1].stub.name).exists()


def test_force_keeps_a_backup_of_what_it_replaces(handed_out: Path):
    mine = handed_out / EX.stub.name
    for attempt in ("# first\n", "# second\n"):
        mine.write_text(attempt)
        _, (backup,) = stubs.write(handed_out, force=True)
        assert backup.read_text() == attempt
        assert mine.read_text() == stubs.generated(EX)
    assert len(list((handed_out / stubs.BACKUPS).iterdir())) == 2


def test_a_stub_that_is_merely_old_is_replaced(handed_out: Path):
    old = "# the stub of last year\n"
    (handed_out / EX.stub.name).write_text(old)
    record = (handed_out / stubs.RECORD).read_text()
    (handed_out / stubs.RECORD).write_text(record.replace(digest(stubs.generated(EX)), digest(old)))
    written, backups = stubs.write(handed_out)
    assert [stub.entry for stub in written] == [EX]
    assert backups == []
    assert states(handed_out) == {"current"}


def test_windows_line_ends_are_no_edit(handed_out: Path):
    path = handed_out / EX.stub.name
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert states(handed_out) == {"current"}


def test_a_leak_is_found(handed_out: Path):
    path = handed_out / EX.stub.name
    assert stubs.leaks(handed_out) == []
    path.write_text(path.read_text() + "### BEGIN SOLUTION\n")
    (leak,) = stubs.leaks(handed_out)
    assert leak.startswith(str(path))


def test_a_damaged_record_is_a_clear_error(handed_out: Path):
    (handed_out / stubs.RECORD).write_text("{")
    with pytest.raises(GraderError, match="damaged"):
        stubs.survey(handed_out)
