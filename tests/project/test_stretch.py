"""Stretch goals: the reference reaches them, wrong turns don't, and whoever has not begun is told so and no more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from grader.checks import Check
from grader.content.suite import asked_of, checks_of
from grader.content.syllabus import Entry, find, load
from grader.files import ROOT, read_toml
from grader.judging.judge import Judge
from grader.judging.reference import Code, reference_assembly
from grader.judging.rules import Rules
from grader.judging.verdict import Verdict
from grader.probing.assembly import Assembly, Source, read_folder
from grader.workers.here import import_suite
from tests.project.conftest import Folder, run

SOLUTIONS = read_folder(ROOT / "solutions", "reference")
ANSWERS = read_folder(ROOT / "solutions" / "stretch", "reference")
GOALS = [entry.goals for entry in load() if entry.goals is not None]
EACH = pytest.mark.parametrize("goals", GOALS, ids=lambda goals: goals.label)


def section(entry: Entry) -> str:
    """What a lesson says of its stretch goals; "" if it has none."""
    lesson = ast.get_docstring(ast.parse(SOLUTIONS[entry.stem].text)) or ""
    found = re.search(r"^Stretch\n-------\n(.*?)\n\n\S[^\n]*\n---+\n", lesson, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def names(goals: Entry) -> set[str]:
    """The names that the checks of stretch goals ask for, and the exercise itself does not define."""
    known = {getattr(node, "name", "") for node in ast.parse(SOLUTIONS[goals.stem].text).body}
    return set(asked_of(goals.suite)) - known - {"of"}


@cache
def forms(goals: Entry) -> Mapping[str, Any]:
    """Wrong and right forms of what solves stretch goals."""
    return read_toml(goals.suite.with_name(f"{goals.stem}.toml"))


def edited(goals: Entry, form: Mapping[str, Any]) -> Source:
    """The exercise with what solves its stretch goals at the end, in another form."""
    answers = ANSWERS[goals.stem].edited((edit["find"], edit["put"]) for edit in form["edits"])
    return replace(SOLUTIONS[goals.stem], text=f"{SOLUTIONS[goals.stem].text}\n\n{answers.text}", origin="learner")


def verdicts(goals: Entry, source: Source, seed: int = 0) -> dict[str, Verdict]:
    """What comes of each check of stretch goals, with a source in the place of the exercise."""
    checks = {name: each for name, each in vars(import_suite(goals.suite)).items() if isinstance(each, Check)}
    with Code(reference_assembly(stretch=True)) as reference, Assembly(SOLUTIONS | {goals.stem: source}) as learner:
        judge = Judge(goals.stem, learner, reference, seed, owned=True, stretch=True)
        return {name: judge.judge(each, each.limit) for name, each in checks.items()}


def failing(found: Mapping[str, Verdict]) -> Iterator[str]:
    """The checks that fail."""
    return (name for name, verdict in found.items() if verdict.status != "pass")


def test_the_goals_that_a_lesson_names_are_those_that_are_checked():
    for entry in load():
        told = section(entry)
        assert (f"`make stretch EX={entry.label[2:]}` checks" in told) == (entry.goals is not None), entry.label
        if entry.goals is not None:
            assert names(entry.goals), entry.label
            for name in names(entry.goals):
                assert f"`{name}(" in told, f"{entry.label}: {name}"


@EACH
def test_what_solves_the_goals_passes_in_any_right_form_and_no_wrong_one_does(goals: Entry):
    whole = replace(SOLUTIONS[goals.stem], text=f"{SOLUTIONS[goals.stem].text}\n\n{ANSWERS[goals.stem].text}")
    for seed in (0, 1):
        assert not list(failing(verdicts(goals, whole, seed)))
    for form in forms(goals).get("right", []):
        found = verdicts(goals, edited(goals, form))
        assert not list(failing(found)), (form, found)
    rejected, noticing = set(), set()
    for form in forms(goals)["wrong"]:
        found = verdicts(goals, edited(goals, form))
        assert list(failing(found)), form
        assert "can't be judged" not in str(found), form
        rejected.add(form["of"])
        noticing |= set(failing(found))
    assert rejected == names(goals), "of each goal at least one wrong form is kept"
    assert noticing == {info.name for info in checks_of(goals.suite)}, "each check can fail"


@EACH
def test_what_solves_the_goals_uses_nothing_that_is_off_limits(goals: Entry):
    texts = {stem: source.text for stem, source in SOLUTIONS.items()}
    texts[goals.stem] = f"{texts[goals.stem]}\n\n{ANSWERS[goals.stem].text}"
    assert Rules(goals.stem, texts, goals.forbids, asked_of(goals.suite)).violations() == []


@EACH
def test_nobody_has_to_begin(goals: Entry):
    for verdict in verdicts(goals, replace(SOLUTIONS[goals.stem], origin="learner")).values():
        assert verdict.status == "todo"
        assert re.fullmatch(r"Not begun: (\w+), see Stretch in the lesson\.", verdict.message)


@EACH
def test_the_suite_is_like_the_others(goals: Entry):
    text = goals.suite.read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:from|import) (grader[\w.]*|solutions[\w.]*)", text, re.M)) == {"grader.checks"}
    assert not any(info.hidden for info in checks_of(goals.suite))
    torch = re.compile(r"^(?:import|from) torch", re.M)
    assert bool(torch.search(text)) <= bool(torch.search(SOLUTIONS[goals.stem].text)), "loads what it does not need"


def test_the_command_says_what_came_of_the_goals_and_gives_no_points(folder: Folder):
    path = folder.solve("01")
    options = ("stretch", "01", "--exercises", folder.path)
    done = run(*options)
    assert done.returncode == 0
    assert "Not begun: temperature_for, see Stretch in the lesson." in done.stdout
    assert "Not begun: chunked_cross_entropy, see Stretch in the lesson." in done.stdout
    assert "points" not in done.stdout
    goals = find(["01"])[0].goals
    assert goals is not None
    path.write_text(edited(goals, forms(goals)["wrong"][0]).text, encoding="utf-8")
    done = run(*options)
    assert done.returncode == 1
    assert "it, then: make stretch EX=01" in " ".join(done.stdout.split())
    assert "points" not in done.stdout
    done = run("test", "01", "--exercises", folder.path)
    assert done.returncode == 0
    assert "make stretch EX=01" in done.stdout
    assert re.search(r"(\d+) of \1 points", done.stdout)


def test_a_goal_that_stands_there_and_is_not_written_is_to_do_like_any_other(folder: Folder):
    path = folder.solve("01")
    path.write_text(path.read_text() + '\n\ndef temperature_for(scores, choices):\n    raise NotImplementedError("")\n')
    done = run("stretch", "softmax", "--exercises", folder.path)
    assert done.returncode == 0
    assert f"Not written yet: {path}" in " ".join(done.stdout.split())
