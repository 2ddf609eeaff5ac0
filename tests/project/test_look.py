"""`make look`: each experiment draws its picture from the learner's own code, always the same one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.files import ROOT
from grader.grading import Chosen, Grading
from grader.learning import look as looking
from grader.learning.look import look
from tests.project.conftest import Folder

TIMED = ("ex17", "ex21")  # their pictures are of seconds


@pytest.mark.long
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.label) for entry in load()])
def test_an_experiment_draws_the_same_full_picture_each_time(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    filled: list[bool] = []

    def write(figure: Any, path: Path) -> Path:
        filled.extend(axes.has_data() for axes in figure.axes)
        return plain(figure, path)

    plain = looking._write
    monkeypatch.setattr(looking, "_write", write)
    names = ("first",) if entry.label in TIMED else ("first", "again")
    first, *again = (look(entry, ROOT / "solutions", tmp_path / name) for name in names)
    assert first.pictures
    assert filled
    assert all(filled), "an empty picture"
    assert first.borrowed == ()
    for one in first.pictures:
        assert min(plt.imread(one).shape[:2]) > 300
    for each in again:
        for one, other in zip(first.pictures, each.pictures, strict=True):
            assert np.array_equal(plt.imread(one), plt.imread(other))


def test_what_to_see_asks_for_no_change_of_code_that_is_not_at_hand():
    from grader.nb.content import content

    for entry in load():
        experiment = content(entry).experiment
        assert experiment is not None
        assert "run it again" not in experiment.text, f"{entry.label}: that belongs into `vary`"


def command(folder: Folder, out: Path, *ex: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grader", "look", *ex, "--exercises", folder.path, "--out", out, "--plain"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_says_what_is_borrowed_what_to_see_and_where_the_picture_is(folder: Folder, tmp_path: Path):
    folder.solve("05")
    done = command(folder, tmp_path / "out", "05")
    assert done.returncode == 0, done.stderr
    assert "With the reference's ex01_softmax, since yours does not pass yet." in done.stdout
    assert "where does it look?" in done.stdout
    picture = tmp_path / "out" / "ex05_attention.png"
    assert done.stdout.rstrip().endswith(str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_wrong_answer_is_drawn_as_it_is(folder: Folder, tmp_path: Path):
    (entry,) = find(["01"])
    folder.solve("01")
    (right,) = look(entry, folder.path, tmp_path / "right").pictures
    folder.write("01", folder.solve("01").read_text() + "\n\ndef softmax(x):\n    return x * 0 + 0.25\n")
    (wrong,) = look(entry, folder.path, tmp_path / "wrong").pictures
    assert not np.array_equal(plt.imread(right), plt.imread(wrong))


def test_nothing_to_look_at_yet(folder: Folder, tmp_path: Path):
    done = command(folder, tmp_path, "01")
    assert done.returncode == 2
    assert "Nothing is written in" in done.stderr
    assert "ex01_softmax.py" in done.stderr


def test_half_an_exercise_is_told_what_it_lacks(folder: Folder, tmp_path: Path):
    text = folder.solve("01").read_text()
    before, _, rest = text.partition("def cross_entropy(")
    folder.write("01", f"{before}def cross_entropy(*_):\n    raise NotImplementedError\n\n\ndef unused({rest}")
    with pytest.raises(GraderError, match=r"still to be written at .*ex01_softmax\.py:\d+"):
        look(find(["01"])[0], folder.path, tmp_path)


def test_code_that_fails_is_told_the_line_and_the_error(folder: Folder, tmp_path: Path):
    path = folder.write("01", folder.solve("01").read_text() + "\n\ndef softmax(x):\n    return x.nope\n")
    line = path.read_text().count("\n")
    with pytest.raises(GraderError, match=rf"stopped at .*ex01_softmax\.py:{line}: AttributeError: .*nope"):
        look(find(["01"])[0], folder.path, tmp_path)
    assert list(tmp_path.glob("*.png")) == []


def test_without_a_reference_an_earlier_exercise_is_waited_for(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder.solve("05")
    monkeypatch.setattr(Grading, "chosen", lambda *_: Chosen({}, [], ["ex01_softmax"]))
    with pytest.raises(GraderError, match="ex05 is built on your ex01, which does not pass yet"):
        look(find(["05"])[0], folder.path, tmp_path)


def test_a_folder_that_can_not_be_written_is_a_clear_error(folder: Folder, tmp_path: Path):
    folder.solve("01")
    (tmp_path / "taken").write_text("")
    with pytest.raises(GraderError, match="Can't write"):
        look(find(["01"])[0], folder.path, tmp_path / "taken")
