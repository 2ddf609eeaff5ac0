"""Screens at every width: nothing is broken inside of a word or a number, and a verdict fits on one screen."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from grader.cli.app import echo
from grader.content.suite import checks_of
from grader.content.syllabus import find, load
from grader.files import ROOT
from grader.judging.judge import Judge
from grader.judging.reference import Code
from grader.learning import doctor, idioms
from grader.misconceptions.catalogue import catalogue
from grader.probing.assembly import Assembly, read_folder
from grader.progress.standing import Standing
from grader.results import CheckResult, Evidence, ExerciseResult, Named, WrongTurn
from grader.screens import listing, progress
from grader.screens import solution as solutions
from grader.screens.console import Printer
from grader.screens.failure import FailureScreen
from grader.screens.run import Report
from grader.screens.watch import Course, Screen
from grader.workers.here import import_suite

WIDTHS = (60, 80, 100, 140)
BOUNDLESS = 9999
ROWS = 24
JUDGED = ("ex01", "ex05")  # whose known mistakes are really made
SOLUTIONS = read_folder(ROOT / "solutions", "reference")
ESCAPE = re.compile(r"\x1b\[[\d;]*[A-Za-z]|\x1b\]8;[^\x1b]*\x1b\\")


def named(each: object) -> Named:
    return Named("one", (WrongTurn(each.id, each.says, each.nudge, each.links),))  # type: ignore[attr-defined]


@cache
def results() -> tuple[ExerciseResult, ...]:
    """One result for every known mistake: of some exercises as they are judged, of the others made up."""
    return tuple(_results())


def _results() -> Iterator[ExerciseResult]:
    for entry in load():
        infos = checks_of(entry.suite)
        for each in catalogue(entry):
            checks = [CheckResult(f"{entry.stem}::{i.name}", i.says, i.hidden, "blocked", 0, i.points) for i in infos]
            failing = next(_judged(entry.label, each)) if entry.label in JUDGED else None
            place = 0 if failing is None else [check.id for check in checks].index(failing.id)
            told = "`out[0, 3]` is 0.25; expected 0.125 (off by 0.125, allowed 1e-05). All 20 elements differ."
            checks[place] = failing or CheckResult(
                checks[0].id,
                infos[0].says,
                False,
                "fail",
                0,
                1,
                told,
                named(each),
                0.0,
                Evidence("exercises/a.py:9", "f"),
            )
            yield ExerciseResult.of(entry.stem, checks, [])


def _judged(label: str, mistake: object) -> Iterator[CheckResult]:
    """The first check that fails with a mistake in the reference."""
    (entry,) = find([label])
    sources = {stem: SOLUTIONS[stem] for stem in entry.needs}
    sources[entry.stem] = mistake.applied(SOLUTIONS[entry.stem])  # type: ignore[attr-defined]
    suite = import_suite(entry.suite)
    with Code(Assembly(SOLUTIONS)) as code, Assembly(sources) as learner:
        judge = Judge(entry.stem, learner, code, 0, owned=True)
        for info in checks_of(entry.suite):
            verdict = judge.judge(getattr(suite, info.name), info.limit, info.hidden)
            if verdict.status in ("fail", "error"):
                yield CheckResult(
                    f"{entry.stem}::{info.name}", info.says, info.hidden, verdict.status, 0, info.points,
                    verdict.message, named(mistake), 0.1, verdict.evidence,
                )  # fmt: skip
                return


def rendered(result: ExerciseResult, width: int, everything: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    FailureScreen(Printer(file=out), ROOT / "exercises").show(find([result.stem])[0], result, everything)
    return ESCAPE.sub("", out.getvalue()).splitlines()


def test_nothing_is_broken_inside_of_a_word_or_a_number(monkeypatch: pytest.MonkeyPatch):
    for result in results():
        whole = {word for line in rendered(result, BOUNDLESS, True, monkeypatch) for word in line.split()}
        for width in WIDTHS:
            for line in rendered(result, width, True, monkeypatch):
                assert set(line.split()) <= whole | {"...", "\\"}, (width, line)
                assert len(line) <= width or len(line.split()) == 1, (width, line)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_verdict_of_a_watch_fits_on_one_screen(width: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", str(ROWS))
    for result in results():
        (entry,) = find([result.stem])
        screen = Screen(ROOT / "exercises", plain=False, seed=0, keys=True)
        screen.out.console.file = out = io.StringIO()
        for state in (result, ExerciseResult(entry.stem, "pass", 20, 20, [], result.checks)):
            screen.verdict(entry, state, 0.3, Course(5, 17, load()[3]))
            screen.settled()
        text = ESCAPE.sub("", out.getvalue())
        first, _, second = text.partition("[q]uit")
        for each in (first, second):
            lines = each.splitlines()
            assert len(lines) < ROWS, each
            assert max(map(len, lines)) <= width, each


@pytest.mark.parametrize("variant", ["einsum", "guards_and_lists", "lowest_number"])
def test_what_is_idiomatic_is_broken_between_words(
    variant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (entry,) = find(["ex05"])
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    said = {}
    for width in (BOUNDLESS, *WIDTHS):
        monkeypatch.setenv("COLUMNS", str(width))
        idioms.show(entry, ROOT / "tests" / "variants" / entry.stem / f"{variant}.py")
        said[width] = ESCAPE.sub("", capsys.readouterr().out)
        assert said[width].split() == said[BOUNDLESS].split() != [], width
        assert all(len(line) <= width or len(line.split()) == 1 for line in said[width].splitlines()), width


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A terminal of this width."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def test_a_line_that_is_printed_or_compared_keeps_its_mark_where_it_goes_on(
    width: int, capsys: pytest.CaptureFixture[str]
):
    words = " + ".join(f"{number:.3f}" for number in range(30))
    out = Printer()
    out.show(FailureScreen(out, ROOT / "exercises").printed([words]))
    said, *lines = ESCAPE.sub("", capsys.readouterr().out).splitlines()
    assert said == "  Your code printed:"
    assert all(line.startswith("  | ") and len(line) <= width for line in lines)
    assert " ".join(line.removeprefix("  | ") for line in lines) == words
    solutions.show_difference("f", f"if f:\n    {words}", f"if f:\n    {words} + 1")
    lines = ESCAPE.sub("", capsys.readouterr().out).splitlines()
    lines = lines[lines.index(" if f:") + 1 : -1]
    assert all(line.startswith(("-    ", "+    ")) and len(line) <= width for line in lines)
    assert " ".join(line[5:] for line in lines) == f"{words} {words} + 1"


def test_code_keeps_its_indentation_where_it_goes_on(width: int, capsys: pytest.CaptureFixture[str]):
    code = f"def f(x):\n    return g({', '.join(f'x[{place}]' for place in range(30))})\n"
    solutions.show(code)
    first, *lines, last = ESCAPE.sub("", capsys.readouterr().out).split("\n")[:-1]
    assert (first, last) == ("def f(x):", "")
    assert all(line.startswith("    ") and len(line) <= width for line in lines)
    assert " ".join(line.strip() for line in lines) == code.splitlines()[1].strip()


def test_a_run_says_of_each_exercise_what_came_of_it_in_one_line_or_in_two(
    width: int, capsys: pytest.CaptureFixture[str]
):
    report = Report(ROOT / "exercises")
    for entry in load():
        report.row(ExerciseResult(entry.stem, "fail", 20, 20, [], []))
    lines = ESCAPE.sub("", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    for entry in load():
        place = next(place for place, line in enumerate(lines) if f" {entry.label}  {entry.title}" in line)
        assert lines[place if width >= 80 else place + 1].endswith("20 of 20"), entry.label


def test_what_a_command_says_is_broken_between_words(width: int, capsys: pytest.CaptureFixture[str]):
    words = "Can't write exercises/ex05_attention.py: " + "no space is left on the device. " * 6
    echo(words, err=True)
    lines = ESCAPE.sub("", capsys.readouterr().err).splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(lines) == words.strip()


def test_what_is_missing_on_this_machine_is_broken_between_words(width: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    says = "a long story of what is missing, and of where it was looked for, and of why it matters so much here"
    lines: list[object] = []
    doctor.main(lines.append, [doctor.Finding("disk", "note", says, says)])
    assert max(len(str(line)) for line in lines) <= width
    assert " ".join(" ".join(map(str, lines)).split()).startswith(f"note disk {says} -> {says}")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_of_exercises_has_one_line_for_each_where_there_is_room_and_else_two(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    listing.show()
    lines = ESCAPE.sub("", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    for entry in load():
        place = next(place for place, line in enumerate(lines) if line.startswith(f"  {entry.label}  {entry.title}"))
        assert lines[place if width > 100 else place + 1].endswith(entry.effort), entry.label


@pytest.mark.parametrize("width", WIDTHS)
def test_the_progress_of_each_exercise_is_a_line_from_80_columns_on_and_else_two(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    progress.show([Standing(e.stem, e.bonus, "passing", "", 20, 20, 3720, 0, False, None) for e in load()])
    lines = ESCAPE.sub("", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    for entry in load():
        place = next(place for place, line in enumerate(lines) if f" {entry.label}  {entry.title}" in line)
        assert "20 of 20" in lines[place if width >= 80 else place + 1], entry.label
        assert "1 h 02 min" in lines[place if width >= 80 else place + 1], entry.label


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.label)
def test_a_pass_says_what_has_been_understood(entry: object, capsys: pytest.CaptureFixture[str]):
    assert re.fullmatch(r"[A-Z].{40,150}\.", entry.understood)  # type: ignore[attr-defined]
    checks = [CheckResult(f"{entry.stem}::test_x", "it holds", False, "pass", 1, 1)]  # type: ignore[attr-defined]
    screen = Screen(Path("exercises"), plain=True, seed=0, keys=True)
    screen.verdict(entry, ExerciseResult.of(entry.stem, checks, []), 0.3, Course(1, 2, load()[3]))  # type: ignore[arg-type, attr-defined]
    out = " ".join(capsys.readouterr().out.split())
    assert entry.understood in out  # type: ignore[attr-defined]
    assert f"n goes on to the next exercise, {load()[3].label} {load()[3].title}." in out
