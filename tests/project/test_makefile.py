"""The Makefile: whatever stands in a variable reaches the command as it is, and help lists what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.files import ROOT

PARTS = ("Makefile", "lab.mk", "capstone.mk", "chat.mk", "race.mk", "author.mk")
HOSTILE = ["$(shell touch hacked)", "x; touch hacked", "`touch hacked`", "$$(touch hacked)"]
TEXTS = ["my course", 'it\'s "so"', "a$b ${HOME}", "ümläut & <b> #", "*", "back\\slash", *HOSTILE]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder, with a space in its name, where everything is set up, and commands write down what they are given."""
    folder = tmp_path / "a folder"
    (folder / "lab").mkdir(parents=True)
    for name in PARTS:
        shutil.copy(ROOT / name, folder / name)
    for name in ("pyproject.toml", "constraints.txt", "lab/corpus-requirements.txt"):
        (folder / name).write_text("")
    (folder / ".venv").mkdir()
    for name in (".core", ".dev", ".jupyter", ".nbgrader"):
        (folder / ".venv" / name).write_text("")
    (folder / "args.py").write_text(
        "import json, os, sys\n"
        "print('ARGS', json.dumps(sys.argv[1:]), json.dumps(os.environ.get('PROMPT', '')), flush=True)\n"
    )
    return folder


def given(folder: Path, *arguments: str, **environment: str) -> tuple[list[str], str]:
    """What the command of a target gets: its arguments, and the prompt."""
    done = subprocess.run(
        ["make", *arguments, f"RUN={sys.executable} args.py"],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (folder / "hacked").exists()
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("ARGS "))
    words, end = json.JSONDecoder().raw_decode(line, 5)
    return words, json.loads(line[end:])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    ("target", "variable", "before"),
    [
        ("release", "OUT", []),
        ("release", "UNTIL", ["--until"]),
        ("release", "WITH", ["--with-solutions"]),
        ("notebooks", "OUT", ["--out"]),
        ("notebooks", "STYLE", ["--style"]),
        ("hint", "NAME", []),
        ("hint", "TIER", ["--tier"]),
        ("solution", "NAME", []),
        ("train", "TASK", ["--task"]),
        ("map", "RUN_NAME", ["--run"]),
        ("certificate", "NAME", ["--for"]),
        ("seeds", "SEEDS", ["--seeds"]),
        ("bench", "ONLY", ["--only"]),
    ],
)
def test_a_variable_reaches_its_command_as_it_is(there: Path, target: str, variable: str, before: list[str], text: str):
    words, _ = given(there, target, f"{variable}={text}")
    assert words[-1 - len(before) :] == [*before, text]


@pytest.mark.parametrize("text", [*TEXTS, "two\nlines"])
def test_a_prompt_reaches_the_model_as_it_is(there: Path, text: str):
    assert given(there, "sample", f"PROMPT={text}") == (["-m", "lab", "sample", "--prompt", text], text)


@pytest.mark.parametrize(
    ("code", "extra", "failed"),
    [
        (0, [], False),
        (1, [], False),
        (2, [], True),
        (1, ["STRICT=1"], True),
        (1, ["CI=true"], True),
        (1, ["CI=false"], False),
        (0, ["STRICT=1"], False),
    ],
)
@pytest.mark.parametrize("target", ["test", "recall", "reset", "solution", "doctor"])
def test_a_red_result_is_no_error_of_makes_unless_a_script_asks(
    there: Path, target: str, code: int, extra: list[str], failed: bool
):
    (there / "ends.py").write_text(f"raise SystemExit({code})")
    clean = {key: value for key, value in os.environ.items() if key not in ("CI", "STRICT")}
    done = subprocess.run(
        ["make", target, "EX=05", f"RUN={sys.executable} ends.py", *extra],
        cwd=there, env=clean, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) is failed
    assert ("Error" in done.stdout + done.stderr) is failed


def test_several_exercises_are_several_words(there: Path):
    assert given(there, "test", "EX=05 it's")[0] == ["-m", "grader", "test", "05", "it's"]
    assert given(there, "update", "KEEP=05 06")[0] == ["-m", "grader", "update", "--keep", "05", "--keep", "06"]
    assert given(there, "test")[0] == ["-m", "grader", "test"]


def test_arguments_are_taken_as_a_shell_takes_them(there: Path):
    assert given(there, "test", "ARGS=--exercises 'my folder'")[0][-2:] == ["--exercises", "my folder"]


def test_the_name_of_the_machine_is_no_name(there: Path):
    assert given(there, "hint", "EX=05", NAME="DESKTOP-1")[0] == ["-m", "grader", "hint", "05"]


@pytest.mark.parametrize("python", ["my python", "python's"])
def test_a_python_may_have_a_space_in_its_path(there: Path, python: str):
    (there / ".venv").rename(there / "gone")
    (there / python).write_text('#!/bin/sh\necho "SET UP $@"\nmkdir -p .venv\n')
    (there / python).chmod(0o755)
    done = subprocess.run(
        ["make", "list", f"PYTHON=./{python}", f"RUN={sys.executable} args.py"],
        cwd=there, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "SET UP -m venv .venv" in done.stdout, done.stderr


def targets(text: str) -> set[str]:
    """What is declared as a target for people."""
    return {name for line in re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE) for name in line.split()}


def test_help_lists_every_target_that_there_is(there: Path):
    def listed() -> set[str]:
        done = subprocess.run(["make"], cwd=there, capture_output=True, text=True, check=True)
        return set(re.findall(r"^make ([a-z0-9]+) ", done.stdout, re.MULTILINE))

    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in PARTS}
    assert listed() == set().union(*map(targets, texts.values())) - {"help", "clean"}
    (there / "author.mk").unlink()
    for name in ("chat.mk", "race.mk", "capstone.mk"):
        (there / name).unlink()
    assert listed() == targets(texts["Makefile"]) - {"help", "clean"} | targets(texts["lab.mk"])
    (there / "lab.mk").unlink()
    assert listed() == targets(texts["Makefile"]) - {"help", "clean"}


def test_no_file_of_the_build_is_marked():
    for name in (*PARTS, "pyproject.toml"):
        assert not re.search(r"(BEGIN|END) (WHOLE|WITH|RELEASE)", (ROOT / name).read_text(encoding="utf-8")), name


def test_a_benchmark_is_imported_when_its_turn_comes():
    code = "import sys, bench.__main__; sys.exit(any(m in sys.modules for m in ('nbformat', 'nbgrader', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_benchmark_has_its_module():
    from bench.__main__ import BENCHMARKS

    assert all((ROOT / "bench" / f"{module}.py").is_file() for module in BENCHMARKS.values())
