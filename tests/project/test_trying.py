"""`make try` and `make shell`: the lesson's example on the learner's own code, and a prompt with all that is built."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grader.content.syllabus import find
from grader.errors import GraderError
from grader.files import ROOT
from grader.learning.trying import Transcript, by_hand, opened
from tests.project.conftest import Folder


def transcript(folder: Folder, ex: str) -> Transcript:
    (entry,) = find([ex])
    with opened(folder.path, entry) as built:
        return by_hand(entry, built.assembly)


def typed(folder: Folder, *command: str, keys: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grader", *command, "--exercises", folder.path, "--plain"],
        cwd=ROOT, input=keys, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_right_code_comes_out_as_in_the_lesson(folder: Folder):
    folder.solve("05")
    told = transcript(folder, "05")
    assert 0 < told.examples == told.right
    assert ("code", ">>> attend(query, keys, values).round(2)  # (2,) @ (2, 1) -> (1,)") in told.lines
    assert ("result", "array([12.69])") in told.lines
    assert not any(kind in ("wrong", "note") for kind, _ in told.lines)
    assert "keys" in told.variables


def test_only_the_worked_example_is_told(folder: Folder):
    folder.solve("05")
    lines = [line for _, line in transcript(folder, "05").lines]
    assert not any("rng.normal" in line for line in lines), "that stands in another section"


def test_what_differs_is_shown_beside_the_lesson(folder: Folder):
    folder.write("05", folder.solve("05").read_text() + "\n\ndef attend(query, keys, values):\n    return values[0]\n")
    told = transcript(folder, "05")
    assert told.right == told.examples - 1
    place = told.lines.index(("wrong", "array([10.])"))
    assert told.lines[place + 1] == ("note", "in the lesson: array([12.69])")


def test_what_is_not_written_is_told_and_the_rest_goes_on(folder: Folder):
    text = folder.solve("05").read_text()
    folder.write("05", f"{text}\n\ndef scaled_dot_product_attention(*_):\n    raise NotImplementedError\n")
    told = transcript(folder, "05")
    notes = [line for kind, line in told.lines if kind == "note"]
    assert set(notes) == {"(this is still to be written)", "(this waits for the above)"}
    assert ("result", "array([12.69])") in told.lines


def test_an_error_is_told_in_a_line(folder: Folder):
    folder.write(
        "05", folder.solve("05").read_text() + "\n\ndef attend(query, keys, values):\n    return keys @ values\n"
    )
    assert any(kind == "wrong" and line.startswith("ValueError: ") for kind, line in transcript(folder, "05").lines)


def test_the_prompt_has_the_examples_variables_and_what_was_built(folder: Folder):
    folder.solve("02")
    folder.solve("05")
    done = typed(folder, "try", "05", keys="attend(query, keys, values).shape\nlen(BPETokenizer([]).vocab)\n")
    assert done.returncode == 0, done.stderr
    assert "lines come out as in the lesson" in done.stdout
    assert "With the reference's ex01_softmax, since yours does not pass yet." in done.stdout
    assert "(1,)" in done.stdout
    assert "256" in done.stdout
    assert "ex01  softmax" not in done.stdout, "that is the reference's"


def test_the_shell_has_what_passes_and_survives_errors(folder: Folder):
    folder.solve("01")
    folder.write("02", "x = 1")
    done = typed(folder, "shell", keys="1 / 0\nprint(softmax(np.zeros(2)))\nexit()\n")
    assert done.returncode == 0
    assert "[0.5 0.5]" in done.stdout
    assert "ZeroDivisionError" in done.stderr
    assert "BPETokenizer" not in done.stdout


def test_a_shell_without_anything_built_says_what_to_do(folder: Folder):
    done = typed(folder, "shell", keys="")
    assert done.returncode == 2
    assert "None of your exercises passes yet" in done.stderr


def test_nothing_to_try_yet(folder: Folder):
    with pytest.raises(GraderError, match=r"Nothing is written in .*ex05_attention\.py yet"):
        transcript(folder, "05")


def test_a_file_that_can_not_be_imported_is_told_with_the_line(folder: Folder):
    folder.write("01", "import math\nx = (\n")
    with pytest.raises(GraderError, match=r"ex01_softmax\.py:2 can't be imported: SyntaxError"):
        transcript(folder, "01")
