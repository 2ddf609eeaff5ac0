"""The content keeps its promises: each exercise has a lesson, hints, enough checks, and a reference that passes."""

from __future__ import annotations

import ast
import doctest
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.checks import Check
from grader.content.hints import hints_of
from grader.content.regions import SOLUTION, is_marker, regions
from grader.content.stubs import FOLDER, generated, is_untouched, leaks, survey
from grader.content.suite import asked_of, checks_of
from grader.content.syllabus import Entry, load
from grader.files import ROOT
from grader.judging.reference import reference_assembly
from grader.judging.rules import Rules
from grader.probing.assembly import Assembly, Source
from grader.workers.here import import_suite

ENTRIES = pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.stem)
SECTIONS = ("The picture", "The intuition", "The mathematics", "By hand", "What to build", "See it again")


def public_names(text: str) -> set[str]:
    """The functions, classes and methods with a solution region: what a learner writes (methods by their class)."""
    begins = [region.begin for region in regions(text, SOLUTION)]
    return {
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and any(node.lineno <= number <= (node.end_lineno or 0) for number in begins)
    }


def methods_of(text: str) -> set[str]:
    """The methods with a solution region, as Class.method."""
    begins = [region.begin for region in regions(text, SOLUTION)]
    return {
        f"{node.name}.{inner.name}"
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, ast.FunctionDef)
        and any(inner.lineno <= number <= (inner.end_lineno or 0) for number in begins)
    }


@ENTRIES
def test_there_are_enough_checks_and_more_hidden_ones_than_public(entry: Entry):
    infos = checks_of(entry.suite)
    hidden = sum(info.hidden for info in infos)
    assert len(infos) >= 10
    assert hidden > len(infos) / 2
    assert hidden < len(infos)
    assert len({info.says for info in infos}) == len(infos)


@ENTRIES
def test_the_list_of_checks_read_from_the_syntax_tree_is_the_true_one(entry: Entry):
    suite = import_suite(entry.suite)
    found = {name: value for name, value in vars(suite).items() if isinstance(value, Check)}
    listed = checks_of(entry.suite)
    assert [info.name for info in listed] == list(found)
    for info in listed:
        check = found[info.name]
        after = None if check.after is None else check.after.__name__
        assert (info.says, info.points, info.limit, info.after) == (check.says, check.points, check.limit, after)


@ENTRIES
def test_test_files_import_only_the_one_module_of_the_engine(entry: Entry):
    imported = set(
        re.findall(r"^(?:from|import) (grader[\w.]*|solutions[\w.]*|exercises[\w.]*)", entry.suite.read_text(), re.M)
    )
    assert imported == {"grader.checks"}


@ENTRIES
def test_the_lesson_has_all_its_sections(entry: Entry):
    lesson = ast.get_docstring(ast.parse(entry.solution.read_text()))
    assert lesson is not None
    places = [lesson.find(f"{section}\n{'-' * len(section)}\n") for section in SECTIONS]
    assert -1 not in places, dict(zip(SECTIONS, places, strict=True))
    assert places == sorted(places)
    reading = lesson[places[-1] :]
    assert re.search(r"Illustrated Transformer|Hedu AI|Ari Seff", reading), (
        "not a word on where the curriculum treats it"
    )
    assert re.search(r"\d{4}", reading), "no paper"


@ENTRIES
def test_every_number_in_the_lesson_is_true(entry: Entry):
    with reference_assembly() as assembly:
        module = assembly.module(entry.stem)
        tests = [test for test in doctest.DocTestFinder().find(module, entry.stem) if test.examples]
        assert tests, "the lesson has no worked example"
        runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.FAIL_FAST)
        report: list[str] = []
        for test in tests:
            runner.run(test, out=report.append)
        assert runner.failures == 0, "".join(report)


@ENTRIES
def test_every_public_name_has_a_docstring_and_hints(entry: Entry):
    text = entry.solution.read_text()
    names = public_names(text)
    documented = {
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)
    }
    public = {name for name in names if not name.startswith("_")}
    assert public <= documented
    hints = hints_of(entry)
    methods = {name for name in hints if "." in name}
    assert {name.partition(".")[0] for name in hints} == public
    assert methods <= methods_of(text), "a hint for what nobody is asked to write"
    for owner in {name.partition(".")[0] for name in methods} - hints.keys():
        assert {name for name in methods_of(text) if name.startswith(f"{owner}.")} <= methods, "a method without a hint"
    for name, hint in hints.items():
        tiers = hint.tiers
        assert len(set(tiers)) == len(tiers) >= 3, name
        assert "..." in (hint.skeleton or "..."), f"the skeleton for {name} has no gap"
        assert all(len(tier) > 30 for tier in tiers), name
        assert "?" in tiers[0], f"the first hint for {name} asks nothing"


@ENTRIES
def test_the_reference_breaks_no_rule_of_its_own(entry: Entry):
    sources = {each.stem: each.solution.read_text() for each in load()}
    rules = Rules(entry.stem, sources, entry.forbids, asked_of(entry.suite))
    assert rules.violations() == []
    assert rules.mentions() == []


@ENTRIES
def test_a_suite_uses_nothing_that_is_off_limits_in_its_exercise(entry: Entry):
    """Whatever is off limits is taken away where learner's code runs, and with it where probes do."""
    text = entry.suite.read_text()
    forbids = [name for name in entry.forbids if not name.startswith(("torch._", "torch.ops")) and name != "torch.*"]
    assert Rules("suite", {"suite": text}, [n for n in forbids if n != "torch"]).violations() == []


@ENTRIES
def test_the_stub_is_to_do_and_holds_no_solution(entry: Entry):
    stub = generated(entry)
    assert is_untouched(entry, stub)
    assert not any(is_marker(line, SOLUTION) for line in stub.splitlines())
    with Assembly(
        {e.stem: Source(e.stem, e.stub, generated(e), "learner") for e in load()}
    ) as assembly:  # stubs can be imported, whatever order they are worked in
        assembly.module(entry.stem)


@ENTRIES
def test_needs_are_what_the_solution_imports(entry: Entry):
    imported = set(re.findall(r"^\s*from \.(ex\d\d_\w+) import", entry.solution.read_text(), re.M))
    used = set(re.findall(r'\.of\("(ex\d\d_\w+)"\)', entry.suite.read_text()))
    assert imported | used <= set(entry.needs)


def test_numpy_exercises_load_no_torch():
    for stem in ("ex00_rnn", "ex01_softmax", "ex02_tokenizers"):
        entry = next(entry for entry in load() if entry.stem == stem)
        for path in (entry.solution, entry.suite):
            assert not re.search(r"^\s*(import|from) torch", path.read_text(), re.M), path


def test_stubs_in_the_repository_are_current_and_leak_nothing():
    assert {stub.path.name: stub.state for stub in survey()} == {entry.stub.name: "current" for entry in load()}
    assert leaks() == []
    assert {path.name for path in FOLDER.glob("ex*.py")} == {entry.stub.name for entry in load()}


def test_the_syllabus_and_the_files_agree():
    stems = {entry.stem for entry in load()}
    assert {path.stem for path in (ROOT / "solutions").glob("*.py")} == stems
    assert {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_ex*.py")} == stems
    assert {path.stem for path in (FOLDER / "hints").glob("*.toml")} == stems
    data = tomllib.loads((FOLDER / "syllabus.toml").read_text())
    known = {
        "stem",
        "title",
        "part",
        "bonus",
        "understood",
        "minutes",
        "level",
        "summary",
        "needs",
        "forbids",
        "forbids_here",
        "operators",
        "operators_here",
        "reads",
    }
    assert all(set(item) <= known for item in data["exercise"])


def test_the_engine_knows_no_exercise_by_name():
    stems = [entry.stem for entry in load()]
    for path in sorted((ROOT / "grader").rglob("*.py")):
        code = ast.unparse(_without_docstrings(ast.parse(path.read_text())))
        assert not [stem for stem in stems if stem in code], path


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def tracked_texts() -> Iterator[Path]:
    for folder in ("grader", "lab", "solutions", "exercises", "tests", "docs", "bench"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".md", ".toml", ".json") and not {
                "backups",
                "node_modules",
                "package-lock.json",
            } & set(path.parts):
                yield path


def test_no_file_is_so_long_that_it_is_two_things():
    """A suite that grades is one file, however many functions its exercise has: it may be a third longer."""
    lengths = {path: len(path.read_text().splitlines()) for path in tracked_texts()}
    assert {str(path): n for path, n in lengths.items() if n > (1200 if path.match("tests/test_ex*.py") else 900)} == {}
