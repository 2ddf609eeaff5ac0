"""Misconceptions: the catalogue is sound, and a mistake is named for what it is, in any style of code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.files import ROOT
from grader.grading import Grading
from grader.judging.diagnosis import Diagnosis, diagnose
from grader.judging.traces import pack_traces, unpack_traces
from grader.judging.verdict import Seen
from grader.misconceptions.catalogue import FOLDER, catalogue, mistaken
from grader.misconceptions.recordings import known_file
from grader.probing.assembly import read_folder
from grader.probing.observation import Array, Opaque, Raised, freeze, pack, unpack
from grader.probing.outcome import Failure, Outcome
from grader.staff.mutants.trials import VARIANTS
from grader.workers.here import import_suite

ENTRIES = pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.stem)
REFERENCE = read_folder(ROOT / "solutions", "reference")


# ---- the catalogue --------------------------------------------------------------------------------------------------


@ENTRIES
def test_the_catalogue_of_an_exercise_is_large_enough_and_fits_its_reference(entry: Entry):
    known = catalogue(entry)
    assert len(known) >= 8
    for each in known:
        assert each.edits, each.id
        assert each.applied(REFERENCE[entry.stem]).text != REFERENCE[entry.stem].text
        assert each.says[:1] not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" or each.says.split()[0].isupper(), each.id
        assert not each.says.endswith("."), each.id
        assert len(each.nudge) > 30, each.id
        assert each.links, each.id


def test_the_catalogue_is_large_enough_in_all():
    assert sum(len(catalogue(entry)) for entry in load()) >= 170


@ENTRIES
def test_no_nudge_gives_the_answer_away(entry: Entry):
    """No nudge holds a whole line of the reference that its own edit touches."""
    for each in catalogue(entry):
        for find_, _ in each.edits:
            for line in find_.splitlines():
                code = line.partition("  #")[0].strip()
                assert len(code) < 20 or code not in each.nudge, each.id


@ENTRIES
def test_there_are_variants(entry: Entry):
    assert len(list((VARIANTS / entry.stem).glob("*.py"))) >= 3


def test_every_file_belongs_to_an_exercise():
    stems = {entry.stem for entry in load()}
    assert {path.stem for path in FOLDER.glob("*.toml")} <= stems
    assert {path.stem for path in (FOLDER / "equivalent").glob("*.toml")} <= stems
    assert {path.name for path in VARIANTS.iterdir()} <= stems


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("misconception = 3", "damaged"),
        ("[[misconception]]\nid = 'a'", "says"),
        ("[[misconception]]\nid = 'A b'\nsays = 's'\nnudge = 'n'\nedits = []", "no id"),
        ("[[misconception]]\nid = 'a'\nsays = 's'\nnudge = 'n'\nlinx = []", "linx"),
        ("[[misconception]]\nid = 'a'\nsays = 's'\nnudge = 'n'\nedits = []\n" * 2, "more than once"),
        ("[[misconception", "damaged"),
    ],
)
def test_a_damaged_catalogue_is_named(tmp_path: Path, text: str, complaint: str):
    entry = find(["05"])[0]
    (tmp_path / f"{entry.stem}.toml").write_text(text)
    with pytest.raises(GraderError, match=complaint):
        catalogue(entry, tmp_path)


def test_two_mistakes_in_each_others_way_are_no_pair():
    entry = find(["05"])[0]
    each = catalogue(entry)[0]
    assert mistaken(REFERENCE[entry.stem], [each, each]) is None
    assert mistaken(REFERENCE[entry.stem], [each]) is not None


# ---- the diagnosis by itself ----------------------------------------------------------------------------------------


def seen(value: float | None, message: str = "off") -> Seen:
    """A failure with one number, or a pass."""
    status = "pass" if value is None else "fail"
    return Seen(status, message, Outcome(freeze(np.array([1.0, value or 0.0]))))


@pytest.fixture(scope="module")
def checks() -> dict[str, Any]:
    suite = import_suite(find(["01"])[0].suite)
    names = [info.name for info in checks_of(find(["01"])[0].suite)]
    return {letter: getattr(suite, name) for letter, name in zip("abcd", names, strict=False)}


def test_a_mistake_is_named_where_it_shows(checks: dict):
    learner = {"a": seen(2.0), "b": seen(None), "c": seen(3.0)}
    known = {"this": {"a": seen(2.0), "c": seen(3.0)}, "that": {"a": seen(2.5)}}
    assert diagnose(checks, learner, known, {}) == dict.fromkeys("ac", Diagnosis("one", ("this",)))


def test_a_mistake_that_leaves_a_trace_the_learners_code_does_not_is_never_named(checks: dict):
    learner = {"a": seen(2.0), "b": seen(None), "c": seen(3.0)}
    assert diagnose(checks, learner, {"this": {"a": seen(2.0), "b": seen(2.0)}}, {}) == {}
    assert diagnose(checks, learner, {"this": {"a": seen(2.0), "c": seen(3.1)}}, {}) == {}
    assert diagnose(checks, learner, {"this": {"a": seen(2.0), "d": seen(1.0)}}, {}) == {}
    assert diagnose(checks, learner, {"this": {}}, {}) == {}


def test_what_the_learner_got_wrong_besides_does_not_matter(checks: dict):
    learner = {"a": seen(2.0), "b": seen(9.0), "c": seen(3.0)}
    assert diagnose(checks, learner, {"this": {"a": seen(2.0), "c": seen(3.0)}}, {}).keys() == set("ac")


def test_two_that_cannot_be_told_apart_are_both_named(checks: dict):
    known = {"this": {"a": seen(2.0)}, "that": {"a": seen(2.0)}}
    assert diagnose(checks, {"a": seen(2.0)}, known, {}) == {"a": Diagnosis("one of", ("that", "this"))}


def test_one_that_explains_more_wins(checks: dict):
    known = {"part": {"a": seen(2.0)}, "whole": {"a": seen(2.0), "b": seen(3.0)}}
    found = diagnose(checks, {"a": seen(2.0), "b": seen(3.0)}, known, {})
    assert found == dict.fromkeys("ab", Diagnosis("one", ("whole",)))


def test_a_pair_is_named_only_where_no_single_one_is(checks: dict):
    pairs = {("this", "that"): {"a": seen(5.0), "b": seen(6.0)}}
    learner = {"a": seen(5.0), "b": seen(6.0)}
    both = Diagnosis("both", ("this", "that"))
    assert diagnose(checks, learner, {"this": {"a": seen(2.0)}}, pairs) == dict.fromkeys("ab", both)
    assert diagnose(checks, learner, {"other": {"a": seen(5.0)}}, pairs)["a"] == Diagnosis("one", ("other",))


def test_errors_are_the_same_only_with_the_same_words(checks: dict):
    def broken(message: str) -> Seen:
        return Seen("error", "", Outcome(failure=Failure("raised", "TypeError", (), message)))

    known = {"this": {"a": broken("3 axes")}}
    assert diagnose(checks, {"a": broken("3 axes")}, known, {}).keys() == {"a"}
    assert diagnose(checks, {"a": broken("4 axes")}, known, {}) == {}
    assert diagnose(checks, {"a": seen(1.0)}, known, {}) == {}


@pytest.mark.parametrize(
    "value",
    [
        {"x": [1, 2.5, None, True, "text", b"\xff"], "y": {"z": []}},
        np.array([[1.0, np.nan], [-np.inf, 0.1]]),
        np.array([True, False]),
        np.arange(3),
        np.zeros((0, 4), dtype=np.float32),
        np.array(3.0),
    ],
)
def test_an_observation_survives_being_packed(value: Any):
    frozen = freeze(value)
    np.testing.assert_equal(vars_of(unpack(json.loads(json.dumps(pack(frozen))))), vars_of(frozen))


def vars_of(frozen: Any) -> Any:
    """An observation with its arrays taken apart, to be compared."""
    if isinstance(frozen, Array):
        return (frozen.kind, frozen.dtype, frozen.shape, frozen.device, frozen.values)
    if isinstance(frozen, dict):
        return {key: vars_of(item) for key, item in frozen.items()}
    return [vars_of(item) for item in frozen] if isinstance(frozen, list) else frozen


def test_rarer_leaves_survive_being_packed_too():
    leaves = [
        Raised("ValueError", ("ValueError", "Exception"), "no", ("d_model", "7")),
        Opaque("generator"),
        Array("tensor", "float32", (2, 3), "meta", None),
    ]
    assert unpack(json.loads(json.dumps(pack(leaves)))) == leaves


def test_traces_survive_being_packed():
    traces = {"a": seen(2.0), "b": seen(None), "c": Seen("error", "", Outcome(failure=Failure("raised", "E", (), "m")))}
    back = unpack_traces(json.loads(json.dumps(pack_traces(traces))))
    assert back.keys() == {"a", "c"}
    assert back["a"].message == "off"
    assert (back["c"].outcome.failure.type, back["c"].outcome.failure.message) == ("E", "m")


# ---- the diagnosis of real code -------------------------------------------------------------------------------------


@pytest.fixture
def names(folder) -> Callable[[str, str], dict[str, Any]]:
    """Grade one file in an exercise's place; the misconceptions that are named, by the check's name."""

    def grade(ex: str, text: str) -> dict[str, Any]:
        (entry,) = find([ex])
        folder.write(ex, text)
        with Grading(folder.path) as grading:
            result = grading.grade(entry)
        assert result.status in ("fail", "error")
        return {check.id.partition("::")[2]: check.misconception for check in result.checks if check.misconception}

    return grade


ATTENTION = """
import math
import numpy as np
import torch
from .ex01_softmax import softmax

def attend(query, keys, values):
    return softmax(np.einsum("td,d->t", keys, query) * query.shape[0] ** -0.5) @ values

def scaled_dot_product_attention(q, k, v, mask=None):
    similarity = torch.einsum("...id,...jd->...ij", q, k){scale}
    if mask is not None:
        similarity = torch.where(mask, similarity, torch.full_like(similarity, float("-inf")))
    shares = similarity.softmax({axis})
    return torch.einsum("...ij,...jd->...id", shares, v), shares
"""
RIGHT = {"scale": " / math.sqrt(q.shape[-1])", "axis": "-1"}


def test_a_mistake_is_named_in_code_of_another_style(names: Callable):
    found = names("05", ATTENTION.format(**RIGHT | {"scale": ""}))
    assert {tuple(turn.id for turn in named.of) for named in found.values()} == {("no-scale",)}
    assert all(named.says.startswith("It looks as if the ") for named in found.values())


def test_two_mistakes_at_once_are_named_together(names: Callable):
    found = names("05", ATTENTION.format(scale="", axis="-2"))
    kinds = {named.kind: {turn.id for turn in named.of} for named in found.values()}
    assert "no-scale" in kinds["both"]
    assert len(kinds["both"]) == 2


def test_an_unknown_mistake_gets_no_name(names: Callable):
    assert names("05", ATTENTION.format(**RIGHT | {"scale": " / (1.37 * math.sqrt(q.shape[-1]))"})) == {}


def test_code_that_does_not_run_gets_no_name(names: Callable):
    assert names("05", "def attend(:") == {}
    assert names("05", "x = 1") == {}


def test_the_traces_are_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from grader.misconceptions import recordings as known

    monkeypatch.setattr(known, "CACHE", tmp_path)
    entry = find(["01"])[0]
    first = known_file(entry, 0, REFERENCE)
    assert first is not None
    written = first.stat().st_mtime_ns
    assert known_file(entry, 0, REFERENCE) == first
    assert first.stat().st_mtime_ns == written
    other_seed = known_file(entry, 1, REFERENCE)
    assert other_seed is not None
    assert other_seed != first
