"""The command line as learners meet it: exit codes, the result document, and output that any terminal can show."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from grader.cli.app import own_exercises
from grader.content.syllabus import LEVELS, find, load
from grader.errors import GraderError
from grader.files import ROOT
from grader.results import SCHEMA_FILE, STATUSES
from tests.project.conftest import Folder, run

SCHEMA = json.loads(SCHEMA_FILE.read_text())


def test_untouched_stubs_exit_0_and_say_where_to_begin(folder: Folder):
    done = run("test", "--exercises", folder.path)
    assert done.returncode == 0
    assert f"0 of {len([entry for entry in load() if not entry.bonus])} exercises" in done.stdout
    assert "Begin with" in done.stdout
    assert load()[0].stub.name in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_output_that_cannot_be_written_is_an_error_in_a_line(folder: Folder):
    command = [sys.executable, "-m", "grader", "test", "1", "--exercises", str(folder.path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "Error: the output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stub_that_was_not_touched_names_the_line_to_begin_at(folder: Folder, tmp_path: Path):
    run("test", "1", "--exercises", folder.path, "--json", tmp_path / "result.json")
    (exercise,) = json.loads((tmp_path / "result.json").read_text())["exercises"]
    spot, _, line = exercise["checks"][0]["evidence"]["spot"].rpartition(":")
    assert "NotImplementedError" in Path(ROOT, spot).read_text().splitlines()[int(line) - 1]


def test_a_failure_exits_1_and_shows_what_is_wrong(folder: Folder):
    folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", "return x", 1))
    done = run("test", "1", "--exercises", folder.path)
    assert done.returncode == 1
    assert "0 of 1 exercise," in done.stdout
    assert "Fix it, then: make test EX=01" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["test", "99"], "'99' is not an exercise"),
        (["test", "ex05_atention"], "Did you mean ex05_attention"),
        (["test", "--exercises", "nowhere"], "There is no folder nowhere"),
        (["test", "--exercises", "docs"], "holds none of the exercises"),
        (["test", "--json", "nowhere/r.json", "01"], "there is no folder nowhere"),
        (["test", "--seed", "x"], "not a valid integer"),
        (["test", "--bogus"], "No such option"),
        (["hint", "77"], "is not an exercise"),
        (["hint", "01", "sotfmax"], "has no hint for 'sotfmax'"),
        (["bogus"], "No such command"),
    ],
)
def test_wrong_usage_exits_2_with_one_clear_line(arguments: list[str], says: str):
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["1", "01", "ex01", "ex01_softmax", "softmax", "exercises/ex01_softmax.py"])
def test_an_exercise_can_be_named_in_many_ways(folder: Folder, name: str):
    done = run("test", name, "--exercises", folder.path)
    assert done.returncode == 0
    assert "0 of 1 exercise," in done.stdout


def test_the_json_document_fits_its_schema_in_every_state(folder: Folder, tmp_path: Path):
    folder.solve("01")
    folder.write("02", "def broken(:\n")
    folder.solve("05", ("/ math.sqrt(q.size(-1))", ""))
    run("test", "01", "02", "05", "06", "--exercises", folder.path, "--json", tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(document, SCHEMA, jsonschema.Draft202012Validator)
    assert [exercise["status"] for exercise in document["exercises"]] == ["pass", "error", "fail", "todo"]
    assert document["points"] == sum(exercise["points"] for exercise in document["exercises"])
    for exercise in document["exercises"]:
        assert exercise["points"] == sum(check["points"] for check in exercise["checks"])


def test_the_schema_refuses_what_is_not_a_result():
    assert SCHEMA["$defs"]["status"]["enum"] == list(STATUSES)
    good = {"schema": 1, "seed": 0, "isolation": "here", "points": 0, "max_points": 0, "exercises": []}
    jsonschema.validate(good, SCHEMA)
    for bad in (good | {"schema": 2}, good | {"points": -1}, good | {"more": 1}, {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, SCHEMA)


@pytest.mark.parametrize(
    ("options", "environment"),
    [(["--plain"], {}), ([], {"PYTHONIOENCODING": "cp1252"}), ([], {"PYTHONIOENCODING": "ascii"})],
)
def test_plain_output_and_streams_that_are_not_utf8_stay_ascii(
    folder: Folder, options: list[str], environment: dict[str, str]
):
    folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", "return 'é'", 1))
    done = run("test", "01", "--exercises", folder.path, *options, cwd=ROOT, **environment)
    assert done.returncode == 1
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout


def test_colour_can_be_forced_and_refused(folder: Folder):
    forced = run("test", "01", "--exercises", folder.path, FORCE_COLOR="1", TERM="xterm-256color")
    refused = run("test", "01", "--exercises", folder.path, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color")
    assert "\x1b[" in forced.stdout
    assert "\x1b[3" not in refused.stdout
    assert run("test", "01", "--exercises", folder.path).stdout.count("\x1b") == 0


def test_it_runs_from_any_folder(folder: Folder):
    done = run("test", "01", "--exercises", "exercises", cwd=folder.path.parent)
    assert done.returncode == 0
    assert "exercises/ex01_softmax.py" in done.stdout.replace("\\", "/")


def test_hints_come_in_three_tiers():
    texts = [run("hint", "05", "attend", "--tier", tier).stdout for tier in (1, 2, 3)]
    assert len(set(texts)) == 3
    assert "TIER=2 NAME=attend" in texts[0]


def test_stubs_can_be_checked_and_are_refused_when_edited(folder: Folder):
    assert run("stubs", "--exercises", folder.path).returncode == 0  # takes note of what it finds current
    assert run("stubs", "--check", "--leaks", "--exercises", folder.path).returncode == 0
    mine = folder.write("01", "# mine\n")
    checked, refused = run("stubs", "--check", "--exercises", folder.path), run("stubs", "--exercises", folder.path)
    assert (checked.returncode, refused.returncode) == (1, 2)
    assert "ex01_softmax.py" in checked.stderr
    assert "Edited by hand" in refused.stderr
    assert mine.read_text() == "# mine\n"


def test_ex01_alone_loads_no_torch(folder: Folder):
    folder.solve("01", ("import numpy as np\n", "import numpy as np\nimport sys\nassert 'torch' not in sys.modules\n"))
    done = run("test", "01", "--exercises", folder.path)
    assert done.returncode == 0
    assert "1 of 1 exercise," in done.stdout


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("5", ["ex05"]),
        ("ex05_attention", ["ex05"]),
        ("exercises/ex05_attention.py", ["ex05"]),
        ("tests/test_ex05_attention.py", ["ex05"]),
        ("05,07", ["ex05", "ex07"]),
        ("01-03", ["ex01", "ex02", "ex03"]),
        ("ex03-ex04, 1", ["ex01", "ex03", "ex04"]),
        ("attend", ["ex05"]),
        ("GPT", ["ex13"]),
        ("masked_softmax", ["ex06"]),
        ("softmax", ["ex01"]),
        ("encoder", ["ex10"]),
    ],
)
def test_names_mean_what_they_say(name: str, labels: list[str]):
    assert [entry.label for entry in find([name])] == labels


def test_a_range_that_runs_backwards_is_refused():
    with pytest.raises(GraderError, match="runs backwards"):
        find(["9-8"])


def test_the_project_is_found_from_anywhere_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT / "tests")
    assert own_exercises() == ROOT / "exercises"
    monkeypatch.chdir(ROOT)
    assert own_exercises() == Path("exercises")
    monkeypatch.chdir(tmp_path)  # elsewhere it is a folder beside
    assert own_exercises() == Path("exercises")


def test_what_to_begin_with_is_what_progress_names(folder: Folder):
    folder.solve("01")
    begin = run("test", "00-02", "--exercises", folder.path).stdout.splitlines()[-1]
    assert re.search(r"Begin with .*ex02_tokenizers\.py", begin), "after the last pass, and then what was skipped"
    folder.write("00", folder.solve("00").read_text().replace("np.tanh(", "np.sin("))
    go_on = run("test", "00-02", "--exercises", folder.path).stdout.splitlines()[-1]
    assert re.search(r"Go on with .*ex00_rnn\.py", go_on), "what was begun comes first"


def test_the_list_says_about_how_long_each_exercise_takes_and_how_steep_it_is():
    printed = run("list").stdout
    for entry in load():
        assert 20 <= entry.minutes <= 240, entry.label
        assert entry.minutes % 15 == 0, "nobody knows it to the minute"
        assert entry.level in LEVELS, entry.label
        assert re.search(rf"^ *{entry.label} .*  {entry.effort}$", printed, re.MULTILINE)
    assert replace(load()[0], minutes=75, level="steep").effort == "1 h 15 min, steep"
    assert replace(load()[0], minutes=0, level="").effort == ""
