"""What a submission returns is its own word: observations that nobody's code has computed earn nothing.

Each check that does not compare values is fed made-up observations (`forgeries`). Where values are free, some of what
can be made of the reference's own observation is as right as that: `FREE` lists the kinds, and for which checks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from grader.checks import Check, check, close
from grader.content.suite import CheckInfo, checks_of
from grader.content.syllabus import Entry, load
from grader.judging.comparison import Comparison, Mismatch
from grader.judging.judge import Judge
from grader.judging.reference import Code, reference_assembly
from grader.probing.assembly import Assembly, Source
from grader.probing.observation import Array, freeze
from grader.sandbox.inside import limits
from grader.workers.here import import_suite
from tests.project.forgeries import forgeries, made_of_the_reference
from tests.project.free_values import FREE

SLOW = ("test_learns",)  # a comparison that runs the reference takes seconds for each of hundreds
CHECKS = [
    (entry, info)
    for entry in load()
    for info in checks_of(entry.suite)
    if not info.slow and info.name not in SLOW and getattr(import_suite(entry.suite), info.name).compare != "values"
]


@pytest.fixture(scope="module")
def code() -> Iterator[Code]:
    with Code(reference_assembly()) as code:
        yield code


def same(got: Any, want: Any) -> bool:
    """Whether two observations say the same."""
    comparison = Comparison(1e-9)
    return comparison.outline(got, want) is None and comparison.values(got, want) is None


def accepted(judge: Judge, check: Any, want: Any) -> set[str]:
    """The kinds of made-up observations that a check takes for right."""
    return {kind for kind, got in forgeries(want) if not same(got, want) and judge.compare(check, got, want) is None}


@pytest.mark.long
@pytest.mark.parametrize(("entry", "info"), CHECKS, ids=[f"{entry.label}-{info.name}" for entry, info in CHECKS])
def test_nothing_made_up_is_accepted(entry: Entry, info: CheckInfo, code: Code):
    check = getattr(import_suite(entry.suite), info.name)
    judge = Judge(entry.stem, code.assembly, code, 0)
    found = accepted(judge, check, judge.expected(check))
    _, free = FREE.get(f"{entry.label} {info.name}", ("", ()))
    assert found == set(free), f"{entry.label} {info.name} accepts {sorted(found)}"
    assert all(made_of_the_reference(kind) for kind in free), "made of nothing, and called right"


def test_the_list_of_free_values_names_checks_that_exist():
    assert FREE.keys() <= {f"{entry.label} {info.name}" for entry, info in CHECKS}


# ---- what a comparison does is an answer -----------------------------------------------------------------------------


@pytest.mark.parametrize("got", [10**400, -(10**400), {"x": 10**400}, [0.0, 10**400]])
def test_a_number_that_is_too_large_is_an_answer(got: Any, code: Code):
    judge, made = Judge("", code.assembly, code, 0), check("it is half")(lambda ex, rng: ex.half(rng))
    for want in (0.5, {"x": 0.5}, [0.0, 0.5]):
        assert judge.compare(made, got, want)


@pytest.mark.parametrize("error", [MemoryError, OverflowError, RecursionError, ZeroDivisionError, ValueError])
def test_what_an_explanation_raises_is_an_answer(error: type[Exception], code: Code):
    made = check("it is half", compare="structure")(lambda ex, rng: ex.half(rng))

    @made.explain
    def _(got, want):
        raise error(f"{got} for {want}")

    assert Judge("", code.assembly, code, 0).compare(made, 0.4, 0.5)


@pytest.mark.parametrize(("mine", "shape"), [([1.0, 2.0], "the shape (2,)"), ([[1.0], [1.0, 2.0]], "rows of several")])
def test_shapes_that_do_not_fit_together_are_told_as_that(mine: Any, shape: str, code: Code):
    made = check("all are one", compare="nothing", free=("some",))(lambda ex, rng: ex.some(rng))

    @made.explain
    def _(got, want):
        if not close(got["some"], want["some"]):
            yield "they are not one."

    judge = Judge("", code.assembly, code, 0)
    said = judge.compare(made, {"some": mine, "n": 3}, {"some": [1.0, 1.0, 1.0], "n": 3})
    assert said is not None and shape in said and "the shape (3,)" in said
    assert "judged" not in said and "Error" not in said
    said = judge.compare(made, {"some": mine}, {"some": [1.0, 1.0, 1.0], "n": 3})
    assert said is not None and "no entry 'n'" in said  # what the comparison itself can tell comes first


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux")
def test_a_comparison_has_a_limit_of_memory():
    with limits.memory_capped(64 << 20), pytest.raises(MemoryError):
        np.zeros(40_000_000)
    assert np.zeros(40_000_000).nbytes


# ---- code without content -------------------------------------------------------------------------------------------


def without_content(entry: Entry) -> str:
    """The stub with `return None` in the place of all that is to be written."""
    text = re.sub(
        r"^( *)### BEGIN SOLUTION.*?### END SOLUTION$", r"\1return None", entry.solution.read_text(), flags=EACH
    )
    return text.replace("\nreturn None", "\n")


EACH = re.DOTALL | re.MULTILINE


@pytest.mark.parametrize("entry", load()[:16], ids=lambda entry: entry.stem)
def test_code_without_content_gets_no_point(entry: Entry, code: Code):
    suite = import_suite(entry.suite)
    sources = {**code.sources, entry.stem: Source(entry.stem, entry.solution, without_content(entry), "learner")}
    passed: set[str] = set()
    with Assembly(sources) as assembly:
        judge = Judge(entry.stem, assembly, code, 0)
        for info in checks_of(entry.suite):
            if info.slow or not {info.after} <= passed | {None}:
                continue
            if judge.judge(getattr(suite, info.name), 20.0).status == "pass":
                passed.add(info.name)
    assert passed == set()


# ---- the positive control: what the search finds where nobody looks --------------------------------------------------


class Blind(Judge):
    """A judge as it would be if it asked `explain` alone."""

    def compare(self, check: Any, got: Any, want: Any, hidden: bool = False) -> Mismatch | None:
        said = None if hidden else self._explain(check, got, want)
        return None if said is None else Mismatch(said)


def rows_add_up() -> Check:
    """A check that looks at what it got alone."""
    decorate = check("all rows add up to one", compare="structure")
    made = decorate(lambda ex, rng: ex.rows(rng))

    @made.explain
    def _(got, want):
        for row, _ in zip(got["rows"], want["rows"], strict=False):
            if abs(row.sum() - 1) > 1e-9:
                yield "a row does not add up to one."

    return made


def test_the_search_finds_a_check_that_takes_what_it_gets(code: Code):
    rows = np.random.default_rng(0).dirichlet(np.ones(4), 3)
    want = freeze({"rows": rows, "name": "x"})
    blind, judge = (kind("", code.assembly, code, 0) for kind in (Blind, Judge))
    assert {"emptied containers", "repeated", "blank texts"} & accepted(blind, rows_add_up(), want)
    assert all(made_of_the_reference(kind) for kind in accepted(judge, rows_add_up(), want))
    assert "repeated" not in accepted(judge, rows_add_up(), want)


def test_what_is_made_up_has_the_structure_that_is_asked_for():
    want = freeze({"x": np.arange(6.0).reshape(2, 3), "ids": [1, 2, 3], "deep": {"on": True}})
    made = dict(forgeries(want))
    assert isinstance(made["zeros"]["x"], Array)
    assert made["zeros"]["x"].shape == (2, 3)
    assert made["emptied containers"] == {"x": want["x"], "ids": [], "deep": {"on": True}}
