"""What a learner sees on a failure: all of a public check, and nothing that gives a hidden one away."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import find, load
from grader.grading import Grading
from grader.judging.calls import CALLS_KEPT, Calls, describe
from grader.judging.comparison import Comparison, Difference
from grader.judging.definitions import defined_at
from grader.judging.judge import Judge
from grader.judging.reference import Code
from grader.judging.side_by_side import beside
from grader.probing.assembly import Assembly, Source
from grader.probing.observation import freeze
from grader.results import CheckResult, Evidence, ExerciseResult, Named, WrongTurn
from grader.screens.console import Printer, hyperlinks
from grader.screens.failure import FailureScreen, for_make
from grader.screens.run import Report
from grader.screens.watch import Course, Screen
from grader.store import Store
from grader.workers.here import import_suite
from tests.project.conftest import Folder

(EX,) = find(["01"])
RIGHT = "def softmax("
SOLUTION = Source.read(EX.solution, "reference")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grader.grading.Store", lambda: Store(tmp_path / "store"))
    monkeypatch.setattr(Grading, "_diagnose", lambda *_: None)  # no diagnosis: it has tests of its own


def grade(folder: Folder, body: str) -> ExerciseResult:
    """Grade ex01 with `body` put at the beginning of its softmax."""
    folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", body, 1))
    with Grading(folder.path) as grading:
        return grading.grade(EX)


def screen(result: ExerciseResult, folder: Path = Path("exercises"), everything: bool = False, **options: bool) -> str:
    out = io.StringIO()
    printer = Printer(plain=True, file=out)
    FailureScreen(printer, folder, **options).show(
        load()[[e.stem for e in load()].index(result.stem)], result, everything
    )
    return out.getvalue()


def failing(result: ExerciseResult, hidden: bool) -> list[CheckResult]:
    found = [check for check in result.checks if check.status in ("fail", "error") and check.hidden == hidden]
    assert found
    return found


def made(**options: object) -> ExerciseResult:
    """A result with one failing check, made by hand."""
    check = CheckResult("ex01_softmax::test_x", "it holds", False, "fail", 0, 1, "no, it does not")
    for name, value in options.items():
        setattr(check, name, value)
    return ExerciseResult("ex01_softmax", "fail", 0, 1, [], [check])


def test_a_wrong_value_is_shown_with_the_line_the_input_and_both_rows(folder: Folder):
    result = grade(folder, "return x * 1.5")
    path = folder.path / EX.stub.name
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if text.startswith(RIGHT))
    text = screen(result, folder.path)
    assert f"{path}:{line}  softmax" in text
    assert "yours" in text
    assert "expected" in text
    assert "^" in text
    assert "softmax(x" not in text
    assert "make hint EX=01 NAME=softmax" in text
    text = screen(result, folder.path, everything=True)
    assert "softmax(x" in text
    assert "(seed 0)" in text
    assert "float64" in text
    assert f"-m pytest tests/{EX.suite.name}::" in text.replace("\\", "/")


def test_an_error_is_shown_at_the_line_that_raises(folder: Folder):
    result = grade(folder, "raise KeyError('mine')")
    path = folder.path / EX.stub.name
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "raise KeyError('mine')" in text)
    assert failing(result, hidden=False)[0].evidence.spot == f"{path}:{line}"


def test_prints_are_shown_and_marked_as_the_learners(folder: Folder):
    text = screen(grade(folder, "print('my own line'); return x"))
    assert "Your code printed:" in text
    assert "| my own line" in text


@pytest.mark.parametrize(("rest", "status"), [("", "pass"), ("raise NotImplementedError", "todo")])
def test_prints_are_shown_while_in_progress_and_on_a_pass(
    folder: Folder, capsys: pytest.CaptureFixture[str], rest: str, status: str
):
    text = (
        folder.solve("01").read_text().replace("### BEGIN SOLUTION", "print('shape', 4711)\n    ### BEGIN SOLUTION", 1)
    )
    head, mark, tail = text.rpartition("### BEGIN SOLUTION")
    folder.write("01", f"{head}{rest}\n    {mark}{tail}\nprint('at the import')\n")
    with Grading(folder.path) as grading:
        result = grading.grade(EX)
    assert result.status == status
    seen = Screen(folder.path, plain=True, seed=0, keys=False)
    seen.verdict(EX, result, 0.1, Course(3, 17, None))
    out = capsys.readouterr().out
    assert "Your code printed:" in out
    assert "| at the import" in out
    assert "| shape 4711" in out


LEAKS = {  # the word is put together when the code runs, since its own lines are shown as they stand
    "prints": "print('LE' + 'AK', x); return x * 2",
    "an error's text": "raise ValueError('LE' + f'AK {x}')",
    "an error from a library": "return float('LE' + f'AK {x}')",
    "another error": "raise TypeError('LE' + 'AK')",
    "memory": "raise MemoryError('LE' + 'AK')",
    "an exit": "raise SystemExit('LE' + 'AK')",
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_hidden_check_shows_neither_its_input_nor_what_the_code_says_of_it(folder: Folder, name: str):
    """... unless the checks are the learner's own, who may be told what their code says."""
    edit = ("### BEGIN SOLUTION", LEAKS[name])
    text = SOLUTION.text.replace(*edit, 1)
    hidden = [info.name for info in checks_of(EX.suite) if info.hidden]
    suite = import_suite(EX.suite)
    told = {True: "", False: ""}
    learner = Source(EX.stem, folder.path / EX.stub.name, text, "learner")
    with Code(Assembly({EX.stem: SOLUTION})) as code, Assembly({EX.stem: learner}) as assembly:
        for owned in told:
            judge = Judge(EX.stem, assembly, code, 0, owned=owned)
            verdicts = [judge.judge(getattr(suite, each), 20, hidden=True) for each in hidden]
            assert any(verdict.status in ("fail", "error") for verdict in verdicts)
            assert all(verdict.evidence.inputs == verdict.evidence.beside == [] for verdict in verdicts)
            told[owned] = json.dumps([verdict.document() for verdict in verdicts])
    assert "LEAK" not in told[False]
    assert ("LEAK" in told[True]) is (name not in ("an exit",))


def test_an_error_that_should_name_the_input_does_not_name_it_for_a_hidden_check():
    def probe(text: str) -> object:
        from grader.probing.observation import raised

        def call() -> None:
            raise ValueError(text)

        return freeze(raised(call, mentions=[4711, "d_model"]))

    open_, secret = Comparison(), Comparison(secret=True)
    got, want = probe("LEAK"), probe("d_model 4711")
    assert "4711" in str(open_.values(got, want))
    told = str(secret.values(got, want))
    assert "4711" not in told
    assert "LEAK" not in told
    assert secret.values(want, want) is None


def test_a_shape_error_names_the_axes():
    comparison = Comparison(axes={"weights": "batch query key"})
    got, want = freeze({"weights": np.zeros((2, 7, 5))}), freeze({"weights": np.zeros((2, 5, 7))})
    assert "axis 1 (query) and axis 2 (key) changed places" in str(comparison.structure(got, want))


def test_two_rows_stand_under_each_other_and_the_mark_under_the_first_difference():
    want = np.arange(24.0).reshape(2, 12)
    got = want.copy()
    got[1, 9] = -1000.0
    header, mine, theirs, mark = beside(Difference("out", (1, 9), got, want), ["row", "column"])
    assert header == "out[1, 6:12]  (row 1, along column)"
    at = mine.index("-1000")
    assert mark == " " * at + "^" * len("-1000")
    assert theirs[at : at + 5].strip() == "21"


def test_a_single_number_needs_no_mark():
    assert beside(Difference("", (), np.array(1.5), np.array(2.0))) == ["yours     1.5", "expected  2"]


def test_one_mistake_has_the_stage_and_the_rest_is_named_with_where_to_find_it(folder: Folder):
    result = grade(folder, "return x * 1.5")
    text, reasons = screen(result), FailureScreen.reasons(result)
    assert len(reasons) > 2
    assert "This check alone:" not in text
    assert "All there is to see: make test EX=01 ARGS=--all" in text
    assert screen(result, everything=True).count("This check alone:") == len(reasons)
    out = io.StringIO()
    FailureScreen(Printer(plain=True, file=out), folder.path).rest(EX, result)
    assert out.getvalue().count("This check alone:") == 1
    assert f"Also, among {len(reasons) - 1} more:" in out.getvalue()


def test_who_waits_for_it_is_said():
    users = [entry.label for entry in load() if EX.stem in entry.needs]
    assert f"{', '.join(users)} use it" in screen(made(), everything=True)


def test_a_known_wrong_turn_is_named_with_a_nudge_and_where_to_read():
    turn = WrongTurn("x", "you add one", "What is the sum?", ("page 3",))
    misconception = Named("one", (turn,))
    text = screen(made(misconception=misconception), everything=True)
    assert "It looks as if you add one." in text
    assert "What is the sum?" in text
    assert "page 3" in text
    numbers = Evidence(beside=["yours     1", "expected  2"], numbers=True)
    for evidence, sentence, other in (
        (Evidence(), "no, it does not", "It looks as if you add one."),
        (numbers, "It looks as if you add one.", "no, it does not"),
    ):
        text = screen(made(misconception=misconception, evidence=evidence))
        assert sentence in text
        assert other not in text, "one thing in two wordings"
        assert "What is the sum?" in text


def test_in_a_watch_the_next_step_is_to_save():
    assert "make test" not in screen(made(), watching=True)
    assert "Fix it, then: make test" in screen(made())


def test_another_folder_and_seed_are_in_every_command(tmp_path: Path):
    out = io.StringIO()
    FailureScreen(Printer(plain=True, file=out), tmp_path, seed=7).show(EX, made(), everything=True)
    commands = [line for line in out.getvalue().splitlines() if "make test" in line or "pytest" in line]
    assert len(commands) == 2
    assert all("--exercises" in line and "--seed 7" in line for line in commands)


def test_calls_are_noted_by_the_parameters_names_and_never_for_a_hidden_check(reference: Callable):
    assembly = reference("ex01_softmax")._assembly
    for secret in (False, True):
        calls = Calls(secret)
        with calls.of(assembly, "ex01_softmax") as ex:
            for _ in range(CALLS_KEPT + 2):
                ex.softmax(np.ones((2, 3)), axis=0)
        assert calls.names == ["softmax"]
        assert calls.count == CALLS_KEPT + 2
        assert calls.lines.count("softmax(x, axis)") == (0 if secret else CALLS_KEPT)
        assert any("(2, 3) float64  1 1 1" in line for line in calls.lines) is not secret


def test_noting_calls_leaves_the_classes_as_they_were(reference: Callable):
    exercise = reference("ex02_tokenizers")
    before = dict(vars(exercise.CharTokenizer))
    calls = Calls()
    with calls.of(exercise._assembly, "ex02_tokenizers") as ex:
        assert ex.CharTokenizer("hello").encode("ole")
        assert isinstance(ex.BPETokenizer.train("abab", 257), exercise.BPETokenizer)
    assert dict(vars(exercise.CharTokenizer)) == before
    assert calls.names[-1] == "BPETokenizer.train"
    assert "CharTokenizer.encode(text)" in calls.lines
    assert calls.count == 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((2, 0)), "(2, 0) float64"),
        (np.array([True, False]), "(2,) bool  True False"),
        ("x" * 100, repr("x" * 100)[:50] + " ..."),
        (None, "None"),
        (len, "the function len"),
    ],
)
def test_values_in_a_line(value: object, words: str):
    assert describe(value) == words


def test_a_definition_is_found_by_its_name():
    text = "import x\n\ndef f():\n    pass\n\nclass A:\n    def g(self):\n        pass\n"
    assert [defined_at(text, name) for name in ("f", "A", "A.g", "A.none", "none")] == [3, 6, 7, 6, 0]


@pytest.mark.parametrize(
    ("environment", "links"),
    [
        ({}, False),
        ({"TERM_PROGRAM": "WezTerm"}, True),
        ({"TERM_PROGRAM": "vscode"}, False),
        ({"VTE_VERSION": "7603"}, True),
        ({"VTE_VERSION": "4000"}, False),
        ({"WT_SESSION": "1"}, True),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "WezTerm"}, False),
        ({"TERM_PROGRAM": "WezTerm", "SSH_CONNECTION": "1 2 3 4"}, False),
        ({"TERM": "dumb", "FORCE_HYPERLINK": "1"}, True),
        ({"TERM_PROGRAM": "WezTerm", "FORCE_HYPERLINK": "0"}, False),
    ],
)
def test_links_only_where_the_terminal_has_them(environment: dict[str, str], links: bool):
    assert hyperlinks(environment) is links


def colours(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "TERM_PROGRAM", "FORCE_HYPERLINK", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    FailureScreen(Printer(file=out), Path("exercises")).show(EX, made(evidence=Evidence("exercises/a.py:3")))
    return out.getvalue()


def test_colour_and_links_follow_the_terminal(monkeypatch: pytest.MonkeyPatch):
    full = colours(monkeypatch, FORCE_COLOR="1", TERM="xterm-256color", TERM_PROGRAM="WezTerm")
    assert "\x1b]8;" in full
    assert "\x1b[3" in full
    assert "exercises/a.py:3" in full
    assert "\x1b" not in colours(monkeypatch)
    assert "\x1b]8;" not in colours(monkeypatch, FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b[3" not in colours(monkeypatch, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color")
    assert "\x1b" not in colours(monkeypatch, FORCE_COLOR="1", TERM="dumb", TERM_PROGRAM="WezTerm")


def test_a_mark_never_stands_alone():
    for line in screen(made()).splitlines():
        if line.startswith("  x "):
            assert "(fail" in line or "1 fails" in line


def test_in_a_release_it_is_said_that_hidden_checks_are_still_to_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    passed = ExerciseResult(EX.stem, "pass", 20, 20, [], [])
    Report(Path("exercises"), plain=True).row(passed)
    assert "hidden" not in capsys.readouterr().out
    monkeypatch.setattr("grader.screens.run.withheld", lambda _: 5)
    Report(Path("exercises"), plain=True).row(passed)
    assert "public checks passed; 5 hidden checks run when it is graded" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, typed",
    [
        ((), ""),
        (("--all",), " ARGS=--all"),
        (("--seed", "3"), ' ARGS="--seed 3"'),
        (("--exercises", "my work"), """ ARGS="--exercises 'my work'\""""),
        (("--exercises", "it's $5"), None),
    ],
)
def test_options_with_a_path_that_holds_anything_can_be_typed_after_make(
    options: tuple[str, ...], typed: str | None, tmp_path: Path
):
    if typed is not None:
        assert for_make(options) == typed
    (tmp_path / "Makefile").write_text("all:\n\t@printf '%s\\n' $(ARGS)\n")
    done = subprocess.run(
        f"make{for_make(options)}", shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert tuple(done.stdout.splitlines()) == (options or ("",))
