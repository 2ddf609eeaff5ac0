"""An exercise imports any earlier one, by whatever name; a module that is not there is told with what can be done."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import find, load
from grader.grading import Grading
from grader.judging.reference import reference_assembly
from grader.results import ExerciseResult
from grader.sandbox.runner import IsolatedRunner
from grader.workers.runner import Runner
from grader.written import imported
from tests.project.conftest import Folder

HEADER = "from __future__ import annotations\n"
STEMS = ("ex01_softmax", "ex02_tokenizers", "helper")


@pytest.fixture(scope="module")
def runners() -> Iterator[tuple[Runner, IsolatedRunner]]:
    """What runs checks here, and in the sandbox."""
    with Runner(0) as here, IsolatedRunner(0) as isolated:
        yield here, isolated


def everywhere(folder: Folder, runners: tuple[Runner, IsolatedRunner], ex: str) -> ExerciseResult:
    """The result of an exercise, which is the same here and in the sandbox."""
    found = []
    for runner in runners:
        with Grading(folder.path, runner=runner) as grading:
            found.append(grading.grade(find([ex])[0]))
    here, isolated = found
    assert [check.status for check in here.checks] == [check.status for check in isolated.checks]
    assert here.borrowed == isolated.borrowed
    return here


def first(result: ExerciseResult) -> str:
    """The first message of a result."""
    return next((check.message for check in result.checks if check.message), "")


WAYS = {
    "relative": "from .ex01_softmax import softmax as earlier",
    "relative, the module": "from . import ex01_softmax\nearlier = ex01_softmax.softmax",
    "absolute": "from ex01_softmax import softmax as earlier",
    "absolute, the module": "import ex01_softmax\nearlier = ex01_softmax.softmax",
    "an editor's": "from exercises.ex01_softmax import softmax as earlier",
    "an editor's, the module": "import exercises.ex01_softmax\nearlier = exercises.ex01_softmax.softmax",
    "an editor's, by another name": "import exercises.ex01_softmax as e\nearlier = e.softmax",
    "from the folder": "from exercises import ex01_softmax\nearlier = ex01_softmax.softmax",
    "through a helper": "from helper import softmax as earlier",
    "by a string": "import importlib\nearlier = importlib.import_module('.ex01_softmax', __package__).softmax",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("solved", [True, False], ids=["one's own", "borrowed"])
def test_an_earlier_exercise_can_be_imported_although_it_is_not_among_the_needs(
    folder: Folder, runners: tuple[Runner, IsolatedRunner], way: str, solved: bool
):
    assert "ex01_softmax" not in find(["08"])[0].needs
    if solved:
        folder.solve("01", ("def softmax(", "def mine(): ...\n\n\ndef softmax("))
    (folder.path / "helper.py").write_text("from .ex01_softmax import softmax\n")
    line = f"{WAYS[way]}\nimport sys\nassert {solved} == hasattr(sys.modules[earlier.__module__], 'mine')\n"
    folder.solve("08", (HEADER, HEADER + line))
    result = everywhere(folder, runners, "08")
    assert (result.status, first(result)) == ("pass", "")
    assert result.borrowed == ([] if solved else ["ex01_softmax"])


def test_only_what_is_imported_is_graded_first(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    """Attention that does without exercise 1 does not wait for it, and what it never asks for is not graded."""
    for ex in ("01", "02", "06"):
        folder.solve(ex)
    folder.solve("07", ("from ex06_masks import masked_softmax\n", "from solved import masked_softmax\n"))
    solution = find(["06"])[0].solution.read_text(encoding="utf-8")
    (folder.path / "solved.py").write_text(solution, encoding="utf-8")
    graded: list[str] = []
    with Grading(folder.path) as grading:
        plain = grading.grade
        monkeypatch.setattr(grading, "grade", lambda entry: graded.append(entry.label) or plain(entry))  # type: ignore[func-returns-value]
        (entry,) = find(["07"])
        assert set(grading.chosen(entry).sources) == {"solved", "ex07_multi_head"}
    assert graded == []


def test_what_the_checks_take_from_another_exercise_is_there(folder: Folder):
    folder.solve("14", ("from ex13_gpt import GPT\n", "GPT = object\n"))
    with Grading(folder.path) as grading:
        chosen = grading.chosen(find(["14"])[0])
    assert "ex13_gpt" in chosen.sources
    assert "ex13_gpt" in chosen.borrowed


ABSENT = {
    "a later one": ("from .ex11_decoder import Decoder", "ex11_decoder does not come before ex08_residual_norm"),
    "a later one, absolutely": ("import ex11_decoder", "ex11_decoder does not come before ex08_residual_norm"),
    "a name that is not quite right": ("from .ex1_softmax import softmax", "Is ex01_softmax meant to be it?"),
    "a member of the folder": ("from . import ex05_atention", "Is ex05_attention meant to be it?"),
    "another library": ("import pytest", "the standard library, NumPy, PyTorch and Matplotlib"),
    "the engine": ("from grader.judging.judge import Judge", "the standard library, NumPy, PyTorch and Matplotlib"),
    "the solutions": ("from solutions.ex01_softmax import softmax", "the standard library, NumPy, PyTorch"),
}


@pytest.mark.parametrize("what", ABSENT)
def test_what_is_not_there_is_told_with_what_can_be_imported(
    folder: Folder, runners: tuple[Runner, IsolatedRunner], what: str
):
    line, says = ABSENT[what]
    path = folder.solve("08", (HEADER, f"{HEADER}{line}\n"))
    number = path.read_text(encoding="utf-8").splitlines().index(line) + 1
    message = first(everywhere(folder, runners, "08"))
    assert says in message
    assert f"ex08_residual_norm.py:{number}" in message
    assert "assembly" not in message


def test_an_import_that_is_expected_to_fail_fails_alike(folder: Folder, runners: tuple[Runner, IsolatedRunner]):
    folder.solve(
        "08",
        (HEADER, f"{HEADER}try:\n    import pytest\nexcept ImportError:\n    pytest = None\nassert pytest is None\n"),
    )
    assert everywhere(folder, runners, "08").status == "pass"


def test_no_name_of_the_inside_is_in_a_message(folder: Folder, runners: tuple[Runner, IsolatedRunner]):
    folder.solve("01", ("def softmax(", "class Odd: ...\n\n\ndef softmax("))
    source = (folder.path / "ex01_softmax.py").read_text(encoding="utf-8")
    at = source.index("### BEGIN SOLUTION")
    folder.write("01", f"{source[:at]}print(Odd)\n    raise ValueError(__name__, Odd)\n    {source[at:]}")
    message = first(everywhere(folder, runners, "01"))
    assert "('ex01_softmax', <class 'ex01_softmax.Odd'>)" in message
    assert "assembly" not in message


def test_matplotlib_works_in_both(folder: Folder, runners: tuple[Runner, IsolatedRunner]):
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
    folder.solve("01", (HEADER, HEADER + plot))
    assert everywhere(folder, runners, "01").status == "pass"


def test_a_file_in_latin_1_with_its_coding_line(folder: Folder, runners: tuple[Runner, IsolatedRunner]):
    path = folder.solve("01")
    text = (
        "# -*- coding: latin-1 -*-\n"
        + path.read_text(encoding="utf-8").replace("softmax", "softmax", 1)
        + "# caf\xe9\n"
    )
    path.write_bytes(text.encode("latin-1", "replace"))
    assert everywhere(folder, runners, "01").status == "pass"


@pytest.mark.parametrize("coding", ["hex", "rot13", "no-such-thing"])
def test_a_coding_that_is_none_is_told(folder: Folder, runners: tuple[Runner, IsolatedRunner], coding: str):
    path = folder.solve("01")
    path.write_text(f"# coding: {coding}\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    result = everywhere(folder, runners, "01")
    assert result.status == "error"
    assert "UTF-8" in first(result)


FOUND = {
    "from .ex01_softmax import softmax": {"ex01_softmax"},
    "def f():\n    from . import helper, ex02_tokenizers": {"helper", "ex02_tokenizers"},
    "import exercises.ex01_softmax as e, helper.x": {"ex01_softmax", "helper"},
    "from exercises import helper": {"helper"},
    "from exercises.ex02_tokenizers import *": {"ex02_tokenizers"},
    "'''like ex01_softmax'''\nx = 'helper'": set(),
    "__import__('ex01_softmax')": {"ex01_softmax"},
    "exec('from .helper import x')": {"helper"},
    "import importlib\nimportlib.import_module('.ex%02d' % 1, __package__)": set(STEMS),
    "model.eval()": set(),
    "def f(:": set(),
}


@pytest.mark.parametrize("text", FOUND)
def test_imports_are_read_from_the_text(text: str):
    assert imported(text, STEMS) == FOUND[text]


def test_everything_is_earlier_for_the_last_one(folder: Folder):
    """Whatever the table of needs says: the last exercise may import every other one."""
    *others, last = load()
    text = "".join(f"from . import {entry.stem}\n" for entry in others)
    path = folder.path / last.stub.name
    path.write_text(path.read_text(encoding="utf-8").replace(HEADER, HEADER + text), encoding="utf-8")
    with Grading(folder.path) as grading:
        assert set(grading.chosen(last).borrowed) == {entry.stem for entry in others}
    assert checks_of(last.suite)


def test_the_reference_uses_its_own_pieces_wherever_one_is(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    """In the learner's folder their files can be imported by name, too; the reference does not take one for its own."""
    folder.write("01", "def softmax(x, axis=-1):\n    return x * 0\n")
    monkeypatch.syspath_prepend(folder.path)
    with reference_assembly() as assembly:
        assert assembly.module("ex05_attention").softmax is assembly.module("ex01_softmax").softmax
        assert assembly.module("ex05_attention").softmax(np.zeros(2))[0] == 0.5


def test_every_stub_runs_by_itself(folder: Folder):
    """Under a *Run* button or a debugger, `python exercises/ex05_attention.py` finds the earlier ones beside it."""
    run = "import runpy, sys; [runpy.run_path(path, run_name='__main__') for path in sys.argv[1:]]"
    files = [str(folder.path / entry.stub.name) for entry in load()]
    done = subprocess.run(
        [sys.executable, "-c", run, *files],
        cwd=folder.path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
