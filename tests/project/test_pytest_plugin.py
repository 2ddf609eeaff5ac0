"""A check is a plain pytest test, and pytest's own options work on it."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import find, load
from grader.files import ROOT
from tests.project.conftest import Folder

(EX,) = find(["01"])


def run_pytest(folder: Folder, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            str(EX.suite),
            "--exercises",
            str(folder.path),
            "-p",
            "no:cacheprovider",
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        input=stdin,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
        timeout=300,
        check=False,
    )


@pytest.fixture
def wrong(folder: Folder) -> Folder:
    folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", "return x * 1.5", 1))
    return folder


def test_a_right_solution_passes_every_test(folder: Folder):
    folder.solve("01")
    done = run_pytest(folder)
    assert done.returncode == 0
    assert f"{len(checks_of(EX.suite))} passed" in done.stdout


def test_untouched_stubs_are_skipped(folder: Folder):
    done = run_pytest(folder, "-rs")
    assert done.returncode == 0
    assert f"{len(checks_of(EX.suite))} skipped" in done.stdout
    assert "Not started" in done.stdout


def test_a_failure_shows_the_sentence_and_the_message_and_no_traceback(wrong: Folder):
    done = run_pytest(wrong)
    assert done.returncode == 1
    assert checks_of(EX.suite)[0].says in done.stdout
    assert "expected" in done.stdout
    assert "Traceback" not in done.stdout
    assert "grader/" not in done.stdout.replace("\\", "/").replace(str(ROOT), "")


def test_k_selects_and_x_stops(wrong: Folder):
    name = checks_of(EX.suite)[-1].name
    assert "1 passed" in run_pytest(wrong, "-k", name).stdout or "1 failed" in run_pytest(wrong, "-k", name).stdout
    assert "1 failed" in run_pytest(wrong, "-x").stdout


def test_junit_carries_points(wrong: Folder, tmp_path: Path):
    run_pytest(wrong, f"--junitxml={tmp_path / 'junit.xml'}")
    cases = ET.parse(tmp_path / "junit.xml").findall(".//testcase//property[@name='max_points']")
    most = [int(case.attrib["value"]) for case in cases]
    assert most == [info.points for info in checks_of(EX.suite)]


def test_xdist_gives_the_same_verdicts(wrong: Folder):
    alone, shared = run_pytest(wrong, "-q"), run_pytest(wrong, "-q", "-n", "2")
    assert alone.stdout.split("\n")[-2].split(" in ")[0] == shared.stdout.split("\n")[-2].split(" in ")[0]


def test_pdb_stops_in_the_learners_own_code(folder: Folder):
    source = folder.solve("01").read_text()
    folder.write("01", source.replace("### BEGIN SOLUTION", "my_variable = 41 + 1; raise KeyError('here')", 1))
    done = run_pytest(folder, "--pdb", "-x", stdin="p my_variable\nq\n")
    assert "KeyError: 'here'" in done.stdout
    assert "42" in done.stdout


def test_pdb_stops_in_the_probe_on_a_wrong_value_with_both_results(wrong: Folder):
    done = run_pytest(wrong, "--pdb", "-x", stdin="p 'sum', round(float(yours.sum() / expected.sum()), 3)\nw\nq\n")
    assert "('sum', " in done.stdout
    assert f"{checks_of(EX.suite)[0].name}()" in done.stdout
    assert "-> return" in done.stdout or "return " in done.stdout
    assert "expected" in done.stdout


@pytest.mark.parametrize(
    ("call", "debug"),
    [
        ("breakpoint()", True),
        ("import pdb; pdb.set_trace()", False),
        ("print('got', input('tell me: '))", True),
        ("print('got', input('tell me: '))", False),
    ],
)
def test_a_debugger_and_an_input_work_at_a_terminal(folder: Folder, call: str, debug: bool):
    pexpect = pytest.importorskip("pexpect")
    folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", f"mine = 41 + 1; {call}", 1))
    grader = ["grader", "test", "01", "--debug"]
    plain = ["pytest", str(EX.suite), "-x", "-p", "no:cacheprovider"]
    child = pexpect.spawn(
        sys.executable,
        ["-m", *(grader if debug else plain), "--exercises", str(folder.path)],
        cwd=str(ROOT), encoding="utf-8", timeout=120, dimensions=(40, 120),
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
    )  # fmt: skip
    if "input" in call:
        child.expect("tell me: ")
        child.sendline("a line")
        child.expect("got a line")
    else:
        child.expect("(Pdb)")
        child.sendline("p 'mine is', mine")
        child.expect(r"\('mine is', 42\)")
    child.close(force=True)


def test_without_a_terminal_a_debugger_is_told_as_one(folder: Folder):
    folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", "breakpoint()", 1))
    done = run_pytest(folder, "-x")
    assert "calls a debugger" in done.stdout
    assert "--debug" in done.stdout


def test_trace_steps_into_the_check(wrong: Folder):
    name = checks_of(EX.suite)[0].name
    done = run_pytest(wrong, "--trace", "-k", name, stdin="s\ns\nn\nw\nq\n")
    assert "s steps into the check" in done.stdout
    assert f"{EX.suite.name}(" in done.stdout
    assert f"{name}()" in done.stdout


def test_a_folder_that_is_not_there_is_a_usage_error(folder: Folder):
    folder.path = folder.path / "nowhere"
    done = run_pytest(folder)
    assert done.returncode == 4
    assert "There is no folder" in done.stdout + done.stderr


def collected(*arguments: str) -> list[str]:
    """The tests that pytest finds in the project, run as an editor's test explorer runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.parametrize("arguments", [(), (".",), ("tests",)], ids=["nothing named", "the root", "the tests"])
def test_pytest_collects_the_checks_of_the_exercises_alone(arguments: tuple[str, ...]):
    found = collected(*arguments)
    assert {line.partition("::")[0] for line in found} == {f"tests/{entry.suite.name}" for entry in load()}
    assert len(found) == sum(len(checks_of(entry.suite)) for entry in load())


@pytest.mark.parametrize("path", ["tests/project/test_files.py", "tests/project/lab", "tests/project/test_files.py::"])
def test_the_projects_own_tests_are_collected_where_they_are_named(path: str):
    assert all(line.startswith("tests/project/") for line in collected(path.removesuffix("::")))
