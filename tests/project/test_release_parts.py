"""The pieces that a release is made of: cutting, recording, sketches, and judging without the reference's code."""

# ruff: noqa: ARG001, ARG002 - every explain takes (got, want) or (got, want, reference)

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from grader.checks import Check, check
from grader.content import outline as bare
from grader.content.stubs import make_skeleton, make_stub, skeleton
from grader.content.suite import checks_of
from grader.content.syllabus import find, load
from grader.diagnosis.sketch import KEPT, SUMS, sketch
from grader.errors import GraderError
from grader.judging.calls import Calls
from grader.judging.comparison import Comparison
from grader.judging.judge import Judge
from grader.judging.observation_store import hollow, looked_at, needed, pack_observation, unpack_observation
from grader.judging.recorded import Recorded
from grader.judging.reference import Code, reference_assembly
from grader.probing.assembly import Assembly
from grader.probing.observation import freeze
from grader.probing.random import derive
from grader.staff.release.cutting import marked, named_misconceptions, public_checks
from grader.staff.release.recording import text
from grader.workers.here import import_suite

# ---- cutting --------------------------------------------------------------------------------------------------------

PAGE = """\
always
<!-- BEGIN WHOLE -->
whole
<!-- END WHOLE -->
<!-- BEGIN RELEASE
release
END RELEASE -->
# BEGIN WITH ex01 ex02
both
# END WITH
"""


def test_marked_parts_stay_or_go():
    assert marked(PAGE, ["ex01", "ex02", "ex03"]) == "always\nrelease\nboth\n"
    assert marked(PAGE, ["ex01"]) == "always\nrelease\n"


@pytest.mark.parametrize(
    "page",
    [
        "<!-- BEGIN WHOLE -->\n",
        "<!-- END WHOLE -->\n",
        "# BEGIN WHOLE\n# END WITH\n",
        "# BEGIN WHOLE\n# BEGIN WITH ex01\n",
    ],
)
def test_markers_without_a_match_are_refused(page: str):
    with pytest.raises(GraderError, match=r"page:[12]|page: BEGIN WHOLE"):
        marked(page, [], "page")


def test_hidden_checks_are_cut_with_their_markers():
    cut = public_checks("a = 1\n\n\n### BEGIN HIDDEN TESTS\nb = 2\n\n\n### END HIDDEN TESTS\n\n\nc = 3\n")
    assert cut == "a = 1\n\n\nc = 3\n"


def test_a_catalogue_without_edits_reads_as_before(tmp_path):
    import dataclasses
    import tomllib

    from grader.misconceptions.catalogue import catalogue

    for entry in load():
        (tmp_path / f"{entry.stem}.toml").write_text(named_misconceptions(catalogue(entry)), encoding="utf-8")
        if catalogue(entry):
            assert catalogue(entry, tmp_path) == tuple(dataclasses.replace(each, edits=()) for each in catalogue(entry))
    assert "edits" not in tomllib.loads((tmp_path / "ex05_attention.toml").read_text())["misconception"][0]


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.stem)
def test_a_skeleton_gives_the_stub_and_what_is_asked_for_without_the_solution(entry):
    solution = entry.solution.read_text("utf-8")
    assert skeleton(entry) == make_skeleton(solution)
    assert bare.asked(skeleton(entry)) == bare.asked(solution)
    assert bare.signatures(skeleton(entry), "x") == bare.signatures(solution, "x")
    assert make_stub(solution) == "".join(
        line for line in skeleton(entry).splitlines(keepends=True) if "### BEGIN" not in line and "### END" not in line
    )


# ---- recording ------------------------------------------------------------------------------------------------------


def made(compare: Any, explanation: Any = None) -> Check:
    found = check("something holds", compare=compare)(lambda ex, rng: None)
    if explanation is not None:
        found.explain(explanation)
    return found


def some(got, want):
    yield from (key for key in got if want["a"] != want["b"]["c"])


def whole(got, want):
    yield str(want) + str(want["a"])


def none(got, want):
    yield got["want"]


def test_what_an_explain_looks_at_is_found_in_its_source():
    assert looked_at(some) == {"a", "b"}
    assert looked_at(whole) is None
    assert looked_at(none) == set()


def test_only_what_a_verdict_depends_on_is_recorded():
    big = np.arange(1000.0)
    value = {"a": freeze(big), "b": {"c": 1}, "d": freeze(big), "e": 2}
    assert needed(made("values", some), value) is value
    assert set(needed(made("nothing", some), value)) == set(value)
    assert needed(made("nothing", whole), value) is value
    found = needed(made("structure", some), value)
    assert found["a"] is value["a"]
    assert found["e"] == 2
    assert (found["d"].shape, found["d"].values.any()) == ((1000,), False)
    assert Comparison().structure(freeze(value), freeze(value)) is None


def test_numbers_that_are_not_finite_are_kept():
    values = np.arange(1000.0)
    values[3] = np.nan
    assert hollow(freeze(values)).values[4] == 4.0


def test_a_recorded_observation_is_exact_and_keeps_the_calls():
    calls = Calls()
    calls.names, calls.count, calls.lines = ["attend"], 7, ["attend(q)", "  q  (3,)"]
    value = {
        "x": torch.randn(50, generator=torch.Generator().manual_seed(0)),
        "y": torch.full((9,), 0.1, dtype=torch.float64),
    }
    packed = json.loads(text(pack_observation(freeze(value), calls), depth=2))
    back, found = unpack_observation(packed)
    for key in value:
        np.testing.assert_array_equal(back[key].values, freeze(value)[key].values)
    assert (found.names, found.count, found.lines) == (["attend"], 7, calls.lines)


def test_a_document_has_a_line_for_each_item_down_to_its_depth():
    value = {"a": {"b": [1, 2], "c": {}}, "d": [[], "é"]}
    assert json.loads(text(value, depth=2)) == value
    assert text(value, depth=2).splitlines() == [
        "{",
        ' "a": {',
        '  "b": [1, 2],',
        '  "c": {}',
        " },",
        ' "d": [',
        "  [],",
        '  "é"',
        " ]",
        "}",
    ]
    assert text(value, depth=0).count("\n") == 1


# ---- sketches -------------------------------------------------------------------------------------------------------


def alike(one: Any, other: Any) -> bool:
    mine, theirs = sketch(freeze(one)), sketch(freeze(other))
    comparison = Comparison()
    return comparison.structure(mine, theirs) is None and comparison.values(mine, theirs) is None


def test_a_sketch_tells_apart_what_differs_and_nothing_else():
    one = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    assert alike(one, one + 1e-7)
    for index in ((0, 0), (3, 17), (5, 39)):
        other = one.clone()
        other[index] += 0.05
        assert not alike(one, other)
    assert not alike(one, one.flip(0))
    assert not alike(one, one.reshape(40, 6))
    assert not alike(one, one.double())
    assert not alike(one > 0, one.roll(1, 1) > 0)
    spoilt = one.clone()
    spoilt[0, 0] = torch.nan
    assert not alike(one, spoilt)
    assert alike(spoilt, spoilt.clone())


def test_a_sketch_is_small_and_its_own_sketch():
    large = freeze({"x": [torch.randn(1000)], "y": torch.arange(500)})
    once = sketch(large)
    assert once["x"][0]["sums"].values.size == SUMS <= KEPT
    twice = sketch(once)
    assert repr(twice) == repr(once)
    small = freeze(torch.randn(KEPT))
    assert sketch(small) is small


# ---- judging without code -------------------------------------------------------------------------------------------


class WithoutCode(Code):
    """The reference of a release, as far as a judge can tell: observations, but no code to measure with."""

    def exercise(self, stem: str) -> Any:
        return None


def judged(compare: Any, explanation: Any) -> Any:
    """Judge a check of softmax whose explain asks for the reference, with right code."""
    found = check("softmax sums to 1", compare=compare)(lambda ex, rng: {"y": ex.softmax(rng.array(3, 4))})
    found.explain(explanation)
    with reference_assembly() as learner, WithoutCode(reference_assembly()) as reference:
        return Judge("ex01_softmax", learner, reference, 0).judge(found, 10.0)


def test_without_code_the_comparison_of_values_has_the_last_word():
    def explain(got, want, reference):
        yield "never asked"

    assert judged("values", explain).status == "pass"


def test_without_code_the_students_own_measures_what_only_an_explain_judges():
    def explain(got, want, reference):
        if not np.allclose(reference.softmax(np.zeros(4)), 0.25):
            yield "measured wrongly"
        yield f"measured by {reference!r}"

    verdict = judged("nothing", explain)
    assert verdict.status == "fail"
    assert verdict.message.startswith("measured by <ex01_softmax in ")


def test_without_code_a_measure_that_fails_is_said_to_be_the_students():
    def explain(got, want, reference):
        yield reference.no_such_name

    assert "measured with your own code here, which fails: MissingName" in judged("nothing", explain).message


def test_a_release_with_all_solutions_of_an_exercise_measures_with_them(tmp_path):
    from grader.content.edition import Manifest

    (entry,) = find(["ex05"])
    everything = reference_assembly().sources
    for stems, there in (([entry.stem], False), ([entry.stem, *entry.needs], True)):
        recorded = Recorded(
            Manifest("0", 0, True, {}), Assembly({stem: everything[stem] for stem in stems}), root=tmp_path
        )
        assert (recorded.exercise(entry.stem) is not None) == there


def test_training_is_judged_by_what_is_recorded_of_it():
    """The checks that train are those of which least is recorded: their verdicts must not depend on the rest."""
    for label, name in (("ex14", "test_learns"), ("ex16", "test_start"), ("ex13", "test_initial_weights")):
        (entry,) = find([label])
        assert name in [info.name for info in checks_of(entry.suite) if not info.hidden]
        found = getattr(import_suite(entry.suite), name)
        with reference_assembly() as learner, WithoutCode(reference_assembly()) as reference:
            judge = Judge(entry.stem, learner, reference, 0)
            want, _ = reference.observed(entry.stem, found, derive(0, entry.stem, name), hidden=False)
            less = needed(found, want)
            assert judge.compare(found, want, less) is None
            broken = {key: freeze(torch.full((3,), torch.nan)) for key in want}
            assert judge.compare(found, broken, less) is not None
