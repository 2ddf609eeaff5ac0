"""Whatever a learner's file does, it gets a clear message at its own line, and everything else is still graded."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader import verdict_cache as verdicts
from grader.content.suite import checks_of
from grader.content.syllabus import find
from grader.grading import Grading, assemble
from grader.results import CheckResult, ExerciseResult
from grader.store import Store
from grader.workers import runner
from tests.project.conftest import Folder

SOFTMAX = "def softmax("
HEADER = "from __future__ import annotations\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grader.grading.Store", lambda: Store(tmp_path / "store"))


def grade(folder: Folder, *names: str) -> list[ExerciseResult]:
    with Grading(folder.path) as grading:
        return grading.run(find(names)).exercises


def first(result: ExerciseResult) -> CheckResult:
    return next(check for check in result.checks if check.status != "pass")


def line_of(path: Path, piece: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if piece in line)


def test_untouched_stubs_are_to_do(folder: Folder):
    results = grade(folder)
    assert {result.status for result in results} == {"todo"}
    assert {check.status for result in results for check in result.checks} == {"todo"}


def test_a_stub_with_a_comment_added_is_still_to_do(folder: Folder):
    path = folder.path / "ex01_softmax.py"
    path.write_text(path.read_text() + "# looking at it\n")
    (result,) = grade(folder, "01")
    assert (result.status, result.points) == ("todo", 0)
    assert "Not written yet" in result.checks[0].message


def test_half_of_an_exercise_earns_its_points_and_stays_to_do(folder: Folder):
    text = folder.solve("01").read_text()
    at = text.index("### BEGIN", text.index("def log_softmax"))
    folder.write("01", text[:at] + "raise NotImplementedError\n    " + text[at:])
    (result,) = grade(folder, "01")
    assert result.status == "todo"
    assert 0 < result.points < result.max_points


def test_a_missing_file_is_to_do(folder: Folder):
    (folder.path / "ex01_softmax.py").unlink()
    (result,) = grade(folder, "01")
    assert result.status == "todo"
    assert "There is no file" in result.checks[0].message


BREAKAGES = {  # what is put in front of, or into, ex01's softmax: (edit, status, what the message says)
    "a syntax error": ((SOFTMAX, "def softmax(:\n"), "error", "SyntaxError"),
    "an import error": ((HEADER, HEADER + "import no_such_module\n"), "error", "No module named 'no_such_module'"),
    "a relative import of nothing": ((HEADER, HEADER + "from .nowhere import x\n"), "error", "nowhere"),
    "an error at import": ((HEADER, HEADER + "1 / 0\n"), "error", "ZeroDivisionError"),
    "an exit at import": ((HEADER, HEADER + "import sys\nsys.exit(0)\n"), "error", "ends the program"),
    "a hard exit at import": ((HEADER, HEADER + "import os\nos._exit(0)\n"), "error", "ends the program"),
    "a loop at import": ((HEADER, HEADER + "while True: pass\n"), "timeout", "does that ever end"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_module_that_cannot_be_imported(folder: Folder, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runner, "IMPORT_LIMIT", 1.0)
    edit, status, says = BREAKAGES[name]
    path = folder.solve("01", edit)
    folder.solve("02")
    broken, fine = grade(folder, "01", "02")
    assert (broken.status, broken.points) == (status, 0)
    assert says in broken.checks[0].message
    line = path.read_text()[: path.read_text().index(edit[1].removeprefix(HEADER).strip())].count("\n") + 1
    if "\n" in edit[1].removeprefix(HEADER).strip():
        line += 1
    assert f"ex01_softmax.py:{line}" in broken.checks[0].message
    assert {check.status for check in broken.checks[1:]} == {"blocked"}
    assert fine.status == "pass"


IN_A_CALL = {  # the first statement of softmax: (code, status, what the message says)
    "an exception": ("raise KeyError('mine')", "error", "KeyError: 'mine'"),
    "an exit": ("raise SystemExit", "error", "ends the program"),
    "a hard exit": ("import os; os._exit(3)", "error", "ends the program"),
    "a loop": ("while True: pass", "timeout", "does that ever end"),
    "a loop in C": ("import itertools; sum(itertools.repeat(1))", "timeout", "does that ever end"),
    "a crash": ("import ctypes; ctypes.string_at(0)", "error", "ended"),
    "a kill": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "error", "SIGTERM"),
    "megabytes of prints": ("while True: print('x' * 1000)", "error", "more than 1 MiB"),
    "a question": ("input('your name? ')", "error", "EOFError"),
    "endless recursion": ("return softmax(x, axis)", "error", "RecursionError"),
    "nothing returned": ("return None", "fail", "is None; expected a NumPy array"),
    "a wrong type": ("return 'softmax'", "fail", "is a string; expected a NumPy array"),
}


@pytest.mark.parametrize("name", IN_A_CALL)
def test_a_call_that_goes_wrong(folder: Folder, name: str, monkeypatch: pytest.MonkeyPatch):
    code, status, says = IN_A_CALL[name]
    source = folder.solve("01").read_text()
    at = source.index("### BEGIN SOLUTION")
    path = folder.write("01", source[:at] + code + "\n    " + source[at:])
    folder.solve("02")
    few = checks_of(find(["01"])[0].suite)[:2]
    quick = [type(info)(**{**vars(info), "limit": 1.0}) for info in few]
    monkeypatch.setattr("grader.grading.checks_of", lambda suite: quick if "ex01" in suite.name else checks_of(suite))
    broken, fine = grade(folder, "01", "02")
    failed = first(broken)
    assert failed.status == status
    assert says in failed.message
    if status != "fail" and name != "a kill":
        assert f"ex01_softmax.py:{line_of(path, code)}" in failed.message
    assert fine.status == "pass"


def test_a_missing_name_is_an_error_that_names_it(folder: Folder):
    folder.write("01", folder.solve("01").read_text().replace("def perplexity", "def perplexty"))
    (result,) = grade(folder, "01")
    missing = [check for check in result.checks if check.status == "error"]
    assert missing
    assert "defines no `perplexity`. Is `perplexty` meant to be it?" in missing[0].message


def test_a_file_that_is_not_text(folder: Folder):
    (folder.path / "ex01_softmax.py").write_bytes(b"x = '\xff'")
    folder.solve("02")
    broken, fine = grade(folder, "01", "02")
    assert broken.status == "error"
    assert "is not UTF-8" in broken.checks[0].message
    assert fine.status == "pass"


def test_prints_are_shown_beside_a_failure_without_control_characters(folder: Folder):
    source = folder.solve("01").read_text()
    at = source.index("### BEGIN SOLUTION")
    folder.write("01", source[:at] + "print('look: \\x1b[31mred'); return x\n    " + source[at:])
    assert first(grade(folder, "01")[0]).evidence.printed == ["look: ?[31mred"]


HELPED = """def busy(n):
    for step in range(n):
        pass
    return n


def softmax(x, axis=-1):
    while True:
        busy(100_000_000)
"""


def test_an_endless_loop_is_named_as_soon_as_one_check_has_run_out_of_time(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    """... and it is the loop that does not end, though the time was spent in what it calls."""
    path = folder.write("01", HELPED)
    few = checks_of(find(["01"])[0].suite)[:3]
    quick = [type(info)(**{**vars(info), "limit": 1.0}) for info in few]
    monkeypatch.setattr("grader.grading.checks_of", lambda suite: quick if "ex01" in suite.name else checks_of(suite))
    noticed: list[CheckResult] = []
    with Grading(folder.path, noticed=noticed.append) as grading:
        result = grading.grade(find(["01"])[0])
    assert [check.status for check in result.checks] == ["timeout"] * 3
    assert noticed == [result.checks[0]]
    told = result.checks[0].message
    assert f"called in the loop that begins at {path}:{line_of(path, 'while True:')} (`while True:`)" in told
    assert result.checks[0].evidence.spot == f"{path}:{line_of(path, 'while True:')}"
    assert result.checks[0].evidence.name == "softmax"


def test_what_is_forbidden_is_reported_with_its_line_and_counts_nothing(folder: Folder):
    path = folder.solve("01", (HEADER, HEADER + "import scipy.special as s\nf = s.softmax\n"))
    (result,) = grade(folder, "01")
    assert (result.status, result.points) == ("fail", 0)
    assert f":{line_of(path, 'f = s.softmax')} uses scipy.special.softmax" in result.checks[0].message


def test_a_later_exercise_stands_on_the_learners_own_pieces_where_they_pass(folder: Folder):
    folder.solve("01")
    folder.solve("05")
    (result,) = grade(folder, "05")
    assert (result.status, result.borrowed) == ("pass", [])


@pytest.mark.parametrize("kind", ["untouched", "wrong"])
def test_one_mistake_is_not_punished_twice(folder: Folder, kind: str):
    if kind == "wrong":
        source = folder.solve("01").read_text()
        folder.write("01", source.replace("### BEGIN SOLUTION", "return x", 1))
    folder.solve("05")
    (result,) = grade(folder, "05")
    assert (result.status, result.borrowed) == ("pass", ["ex01_softmax"])


def test_a_verdict_is_remembered_until_something_changes(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    folder.solve("01")
    folder.solve("05")
    grade(folder, "01")
    monkeypatch.setattr(verdicts.VerdictCache, "put", lambda *_: pytest.fail("graded again"))
    with Grading(folder.path) as grading:
        assert grading.chosen(find(["05"])[0]).borrowed == []
    monkeypatch.undo()
    folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", "return x", 1))
    with Grading(folder.path) as grading:
        assert grading.chosen(find(["05"])[0]).borrowed == ["ex01_softmax"]


def test_helper_modules_of_the_learners_own_can_be_imported(folder: Folder):
    (folder.path / "helpers.py").write_text("import numpy as np\n")
    folder.solve("01", ("import numpy as np\n", "from .helpers import np\n"))
    (result,) = grade(folder, "01")
    assert result.status == "pass"


def test_the_same_seed_gives_the_same_verdicts_and_messages(folder: Folder):
    folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", "return x", 1))
    one, two = (grade(folder, "01")[0] for _ in range(2))
    assert [(check.status, check.message) for check in one.checks] == [
        (check.status, check.message) for check in two.checks
    ]


def test_an_assembly_takes_what_passes_and_says_what_it_borrowed(folder: Folder):
    folder.solve("01")
    assembled = assemble(folder.path)
    assert "ex01_softmax" not in assembled.borrowed
    assert "ex05_attention" in assembled.borrowed
    with assembled.assembly as assembly:
        assert assembly.module("ex01_softmax").__file__ == str(folder.path / "ex01_softmax.py")


# ---- what is off limits ----------------------------------------------------------------------------------------------


def test_a_stray_file_costs_nothing(folder: Folder):
    folder.solve("01")
    (folder.path / "scratch.py").write_text("import torch\nprint(torch.softmax(torch.ones(2), 0))\n")
    (result,) = grade(folder, "01")
    assert result.status == "pass"
    assert result.notes == []


def test_a_helper_is_under_the_rules_of_what_imports_it(folder: Folder):
    folder.solve("00")
    folder.solve("01", (HEADER, HEADER + "from . import between\n"))
    (folder.path / "between.py").write_text("from .helpers import x\n")
    (folder.path / "helpers.py").write_text("import torch\nx = torch.ones(2)\n")
    free, bound = grade(folder, "00", "01")
    assert free.status == "pass"
    assert (bound.status, bound.points) == ("fail", 0)
    assert "helpers.py:2 uses torch" in bound.checks[0].message


def test_an_earlier_exercise_is_under_the_rules_of_what_imports_it(folder: Folder):
    for ex in ("07", "08", "10"):
        folder.solve(ex)
    folder.solve("09", (HEADER, HEADER + "import torch\nNORM = torch.nn.TransformerEncoderLayer(4, 1)\n"))
    early, late = grade(folder, "09", "10")
    assert early.status == "pass"
    assert (late.status, late.points) == ("fail", 0)
    assert f"ex09_feed_forward.py:{line_of(folder.path / 'ex09_feed_forward.py', 'NORM =')}" in late.checks[0].message
    assert "off limits in ex10" in late.checks[0].message


def test_what_has_no_effect_is_told_and_costs_nothing(folder: Folder):
    text = folder.solve("01", (HEADER, HEADER + "import torch\n")).read_text()
    folder.write("01", text + "\n\nif __name__ == '__main__':\n    print(torch.ones(2))\n")
    (result,) = grade(folder, "01")
    assert result.status == "pass"
    (note,) = [note for note in result.notes if "torch.ones" in note]
    assert "only where the file is run by itself: that costs nothing" in note


def test_a_star_import_loses_to_ones_own_piece(folder: Folder):
    text = folder.solve("08").read_text()
    assert "import torch" in text
    folder.write("08", text.replace("import torch\n", "import torch\nfrom torch.nn import *\n", 1))
    (result,) = grade(folder, "08")
    assert result.status == "pass"
