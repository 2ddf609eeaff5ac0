"""Results in the formats of other systems: each as its documentation asks, and with nothing that should not show."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import xmlschema

from grader.cli.staff.publishing import FORMATS, VISIBILITIES
from grader.content.syllabus import find
from grader.errors import GraderError
from grader.nb.feedback import LIMIT, feedback
from grader.results import STATUSES, CheckResult, Evidence, ExerciseResult, Named, Result, Status, WrongTurn
from grader.staff.exports.formats import read, written
from grader.staff.exports.gradescope import Visibility, gradescope, refusal
from grader.staff.exports.junit import junit
from grader.staff.exports.package import write_package
from grader.staff.exports.prairielearn import prairielearn
from tests.project.conftest import run

SCHEMAS = Path(__file__).with_name("schemas")
TURN = WrongTurn("no-scale", "the scores are not divided by sqrt(d)", "How large do they get?", ("Section 3.2.1",))


def check(name: str, status: Status, hidden: bool = False, message: str = "", **more: Any) -> CheckResult:
    points = 2 if status == "pass" else 0
    return CheckResult(f"ex05_attention::test_{name}", f"{name} holds", hidden, status, points, 2, message, **more)


@pytest.fixture
def result() -> Result:
    """Every status, hidden and public; a misconception; text that XML can't hold."""
    evidence = Evidence(
        "exercises/ex05_attention.py:3", "attend", ["attend(query)", "  query  (4,)"], ["yours  1", "expected  2"]
    )
    checks = [check(status, status, message="" if status == "pass" else f"is {status}") for status in STATUSES]
    checks += [check(f"h_{status}", status, hidden=True, message=f"is {status}") for status in STATUSES]
    checks.append(
        check("named", "fail", message="<&>\x1b[31m \x00 ]]> ü", misconception=Named("one", (TURN,)), evidence=evidence)
    )
    untouched = ExerciseResult.of("ex06_masks", [replace(check("todo", "todo"), id="ex06_masks::test_todo")], [])
    return Result(7, [ExerciseResult.of("ex05_attention", checks, ["ex01_softmax"]), untouched], "full")


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text())


# ---- the result document --------------------------------------------------------------------------------------------


def test_a_document_can_be_read_back(result: Result):
    assert Result.of_document(json.loads(json.dumps(result.document()))) == result


@pytest.mark.parametrize("change", [{"schema": 2}, {"exercises": [{}]}, {"exercises": None}, {"seed": ...}])
def test_what_is_no_result_document_is_refused(result: Result, change: dict[str, Any]):
    document = {key: value for key, value in (result.document() | change).items() if value is not ...}
    with pytest.raises(GraderError):
        Result.of_document(document)


# ---- gradescope -----------------------------------------------------------------------------------------------------


def test_gradescope_gets_a_test_for_each_check(result: Result):
    document = gradescope(result)
    jsonschema.validate(document, schema("gradescope"), jsonschema.Draft202012Validator)
    tests = document["tests"]
    assert len(tests) == sum(len(exercise.checks) for exercise in result.exercises)
    assert document["score"] == sum(test["score"] for test in tests) == result.points
    assert sum(test["max_score"] for test in tests) == result.max_points
    assert [test["status"] == "passed" for test in tests] == [test["score"] > 0 for test in tests]
    assert len({test["number"] for test in tests}) == len(tests)


@pytest.mark.parametrize("hidden", get_args(Visibility))
def test_gradescope_shows_hidden_checks_when_it_is_told_to(result: Result, hidden: Visibility):
    document = gradescope(result, hidden)
    jsonschema.validate(document, schema("gradescope"))
    checks = [check for exercise in result.exercises for check in exercise.checks]
    for found, test in zip(checks, document["tests"], strict=True):
        assert test["visibility"] == (hidden if found.hidden else "visible")
    assert document["stdout_visibility"] == "hidden"


def test_the_command_line_knows_the_same_visibilities():
    assert get_args(Visibility) == VISIBILITIES


def test_a_submission_that_cannot_be_graded_gets_no_points_and_a_reason():
    document = refusal("There is no file.")
    jsonschema.validate(document, schema("gradescope"))
    assert (document["score"], document["output"]) == (0, "There is no file.")


# ---- prairielearn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("show_hidden", [False, True])
def test_prairielearn_gets_a_share_and_all_points(result: Result, show_hidden: bool):
    document = prairielearn(result, show_hidden)
    jsonschema.validate(document, schema("prairielearn"), jsonschema.Draft202012Validator)
    assert document["score"] == pytest.approx(result.points / result.max_points)
    assert sum(test["points"] for test in document["tests"]) == result.points
    assert sum(test["max_points"] for test in document["tests"]) == result.max_points
    assert ("h_fail" in json.dumps(document)) == show_hidden


def test_prairielearn_takes_no_attempt_for_untouched_stubs(result: Result):
    document = prairielearn(Result(0, result.exercises[1:]))
    jsonschema.validate(document, schema("prairielearn"))
    assert document["gradable"] is False
    assert document["format_errors"]


def test_a_flood_of_output_stays_below_prairielearns_megabyte(result: Result):
    result.exercises[0].checks[2] = check("flood", "fail", message="é" * 5_000_000)
    assert len(json.dumps(prairielearn(result))) < 100_000
    assert len(feedback(result.exercises[0].checks[2])) <= LIMIT + 4


# ---- junit and csv --------------------------------------------------------------------------------------------------


def test_junit_fits_its_schema_and_counts_right(result: Result):
    text = junit(result)
    xmlschema.XMLSchema(str(SCHEMAS / "junit.xsd")).validate(text)
    root = ET.fromstring(text)
    suite = root[0]
    cases = suite.findall("testcase")
    kinds = {name: len(suite.findall(f"testcase/{name}")) for name in ("failure", "error", "skipped")}
    assert kinds == {"failure": 3, "error": 4, "skipped": 4}
    assert [int(suite.attrib[key]) for key in ("failures", "errors", "skipped")] == list(kinds.values())
    assert int(suite.attrib["tests"]) == len(cases) == len(result.exercises[0].checks)
    values = {each.attrib["name"]: each.attrib["value"] for each in suite.findall("properties/property")}
    assert (values["points"], values["points:test_pass"], values["borrowed"]) == ("4", "2 of 2", "ex01_softmax")


def test_text_that_xml_cannot_hold_is_replaced(result: Result):
    failure = ET.fromstring(junit(result))[0].findall("testcase/failure")[-1]
    assert failure.text is not None
    assert failure.text.startswith("<&>\N{REPLACEMENT CHARACTER}[31m \N{REPLACEMENT CHARACTER} ]]> ü")


def test_the_feedback_names_the_misconception_and_shows_the_numbers(result: Result):
    text = feedback(result.exercises[0].check("test_named"))
    for part in (f"It looks as if {TURN.says}.", TURN.nudge, "expected  2", "attend(query)", "ex05_attention.py:3"):
        assert part in text
    assert feedback(result.exercises[0].check("test_pass")) == ""


def test_csv_has_a_row_for_each_check(result: Result):
    rows = list(csv.DictReader(written("ada", result, "csv", "hidden").splitlines()))
    assert {row["student"] for row in rows} == {"ada"}
    assert sum(int(row["points"]) for row in rows) == result.points
    assert [row["check"] for row in rows[:2]] == ["test_pass", "test_fail"]


# ---- the commands ---------------------------------------------------------------------------------------------------


def test_a_file_is_written_in_each_format_and_nothing_else_is_needed(result: Result, tmp_path: Path):
    result.write(tmp_path / "r.json")
    for target in FORMATS:
        done = run("export", tmp_path / "r.json", "--to", target, "--out", tmp_path / target)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / target).read_text("utf-8") == written("r", result, target, "after_published")


def test_the_record_of_a_student_in_a_batch_is_read_too(result: Result, tmp_path: Path):
    path = tmp_path / "ada.json"
    record = {"record": 1, "student": "ada", "problem": "", "notes": [], "result": result.document()}
    path.write_text(json.dumps(record))
    assert read(path) == ("ada", result)
    path.write_text(json.dumps(record | {"result": None, "problem": "the archive can't be read"}))
    with pytest.raises(GraderError, match="the archive can't be read"):
        read(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}'])
def test_a_file_that_is_no_result_exits_2_with_a_line(tmp_path: Path, text: str):
    (tmp_path / "r.json").write_text(text)
    done = run("export", tmp_path / "r.json", "--to", "junit")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "r.json" in done.stderr


# ---- the autograder -------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The autograder unpacked as on Gradescope; the environment is this one's."""
    write_package(tmp_path / "autograder.zip", find(["ex01", "ex05"]), "hidden")
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        archive.extractall(tmp_path / "source")
        for name in ("setup.sh", "run_autograder"):
            (tmp_path / "source" / name).chmod(archive.getinfo(name).external_attr >> 16)
    (tmp_path / "source" / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    (tmp_path / "results").mkdir()
    (tmp_path / "submission").mkdir()
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="Gradescope runs on Linux")
def test_the_autograder_grades_what_was_handed_in(machine: Path):
    solution = find(["ex01"])[0].solution.read_text("utf-8")
    (machine / "submission" / "week1").mkdir()
    (machine / "submission" / "week1" / "ex01_softmax.py").write_text(solution, encoding="utf-8")
    command = [machine / "source" / "run_autograder"]
    environment = os.environ | {"AUTOGRADER_ROOT": str(machine)}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Isolation: " in done.stdout
    document = json.loads((machine / "results" / "results.json").read_text("utf-8"))
    jsonschema.validate(document, schema("gradescope"))
    passed = {test["tags"][0] for test in document["tests"] if test["status"] == "passed"}
    failed = {test["tags"][0] for test in document["tests"] if test["status"] == "failed"}
    assert (passed, failed) == ({"ex01_softmax"}, {"ex05_attention"})
    assert {test["visibility"] for test in document["tests"]} == {"visible", "hidden"}


@pytest.mark.skipif(sys.platform != "linux", reason="Gradescope runs on Linux")
def test_the_autograder_has_an_answer_for_an_empty_submission(machine: Path):
    command = [machine / "source" / "run_autograder"]
    environment = os.environ | {"AUTOGRADER_ROOT": str(machine)}
    subprocess.run(command, env=environment, capture_output=True, check=True, timeout=300)
    document = json.loads((machine / "results" / "results.json").read_text("utf-8"))
    jsonschema.validate(document, schema("gradescope"))
    assert document["score"] == 0
    assert "Nothing could be graded" in document["output"]


def test_the_zip_is_the_same_each_time_and_has_what_gradescope_looks_for(tmp_path: Path):
    for name in ("a.zip", "b.zip"):
        write_package(tmp_path / name, find(["ex01"]), "hidden", pip="--index-url 'https://wheels.example/x y'")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        setup = archive.read("setup.sh").decode()
        assert [archive.getinfo(name).external_attr >> 16 & 0o111 for name in ("setup.sh", "run_autograder")] == [
            0o111
        ] * 2
    assert {"solutions/ex01_softmax.py", "tests/test_ex01_softmax.py", "constraints.txt"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/project")]
    assert "--index-url 'https://wheels.example/x y' torch" in setup
    with pytest.raises(GraderError, match="exists already"):
        write_package(tmp_path / "a.zip", find(["ex01"]), "hidden")


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
def test_the_scripts_are_valid_shell(machine: Path):
    for name in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", machine / "source" / name], check=True)
