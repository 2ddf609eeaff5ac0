"""Misconceptions: the catalogue is sound, and a mistake is named for what it is, in any style of code."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader.checks import Check
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, find, load
from grader.diagnosis.diagnose import Diagnosis, Known, diagnose
from grader.diagnosis.traces import pack_traces, unpack_traces
from grader.errors import GraderError
from grader.files import ROOT
from grader.grading import Grading
from grader.judging.verdict import Seen
from grader.misconceptions.catalogue import FOLDER, catalogue, mistaken
from grader.misconceptions.recordings import known_file
from grader.probing.assembly import Source, read_folder
from grader.probing.observation import Array, Opaque, Raised, freeze, pack, unpack
from grader.probing.outcome import Failure, Outcome
from grader.results import ExerciseResult, Named, Status, WrongTurn
from grader.screens.failure import OWN, read_again
from grader.staff.mutants.table import Tally
from grader.staff.mutants.trials import VARIANTS, Bench, Candidate, Trial, as_begun, mistakes
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


@ENTRIES
def test_a_link_to_the_lesson_names_a_place_in_it(entry: Entry):
    lesson = ast.get_docstring(ast.parse(REFERENCE[entry.stem].text)) or ""
    for each in catalogue(entry):
        for link in each.links:
            if link.startswith(OWN):
                section, _, paragraph = link.removeprefix(OWN).partition(": ")
                assert re.search(rf"^{re.escape(section)}\n-+$", lesson, re.MULTILINE), (each.id, section)
                assert f"*{paragraph}" in lesson or not paragraph, (each.id, paragraph)


def test_the_lesson_comes_first_where_one_may_read_again():
    turns = (WrongTurn("x", "a", "b", ("a paper", f"{OWN}By hand")), WrongTurn("y", "c", "d", ("a page",)))
    assert read_again(Named("one of", turns)) == f"Read again: {OWN}By hand; a paper; a page"
    assert read_again(None) == ""


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
        ("[[misconception]]\nid = 'A b'\nsays = 's'\nnudge = 'n'\nedits = []", "not an id"),
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

RIGHT_VALUE = [1.0, 0.0]


def seen(value: float | None, message: str = "off") -> Seen:
    """A failure with one number, or a pass."""
    status: Status = "pass" if value is None else "fail"
    return Seen(status, message, Outcome(freeze(np.array([1.0, value or 0.0]))))


def parts(*values: float, status: Status = "fail") -> Seen:
    """What a check sees that looks at several things, each of which should be 0."""
    return Seen(status, "off", Outcome({f"part {n}": value for n, value in enumerate(values)}))


@pytest.fixture(scope="module")
def checks() -> dict[str, Any]:
    suite = import_suite(find(["01"])[0].suite)
    names = [info.name for info in checks_of(find(["01"])[0].suite)]
    return {letter: getattr(suite, name) for letter, name in zip("abcd", names, strict=False)}


@pytest.fixture
def named(checks: dict) -> Callable[..., dict[str, Diagnosis]]:
    """Diagnose a learner by known mistakes, pairs and rivals; what must come out is 0 everywhere."""

    def diagnosis(learner: dict, known: dict, pairs: dict | None = None, rivals: Sequence[set[str]] = ()) -> dict:
        expected = {}
        for name, each in learner.items():
            is_dict = isinstance(each.outcome.value, dict)
            expected[name] = dict.fromkeys(each.outcome.value, 0.0) if is_dict else freeze(np.array(RIGHT_VALUE))
        return diagnose(checks, learner, expected, Known(known, pairs or {}, {frozenset(pair) for pair in rivals}))

    return diagnosis


def test_a_mistake_is_named_where_it_shows(named: Callable):
    learner = {"a": seen(2.0), "b": seen(None), "c": seen(3.0)}
    known = {"this": {"a": seen(2.0), "c": seen(3.0)}, "that": {"a": seen(2.5)}}
    assert named(learner, known) == dict.fromkeys("ac", Diagnosis("one", ("this",)))


def test_a_mistake_that_leaves_a_trace_the_learners_code_does_not_is_never_named(named: Callable):
    learner = {"a": seen(2.0), "b": seen(None), "c": seen(3.0)}
    assert named(learner, {"this": {"a": seen(2.0), "b": seen(2.0)}}) == {}
    assert named(learner, {"this": {"a": seen(2.0), "c": seen(3.1)}}) == {}
    assert named(learner, {"this": {}}) == {}


@pytest.mark.parametrize("status", ["todo", "timeout", "gone"])
def test_what_cannot_be_seen_is_neither_for_nor_against(named: Callable, status: Any):
    learner = {"a": seen(2.0), "b": Seen(status, "", Outcome())}
    if status == "gone":
        del learner["b"]  # it waits for another check, or is not there
    known = {"this": {"a": seen(2.0), "b": seen(4.0)}, "hidden": {"b": seen(4.0)}}
    assert named(learner, known) == {"a": Diagnosis("one", ("this",))}


def test_what_both_lack_is_the_same(checks: dict):
    """None where a list is expected has no items, and neither has the mistake's."""
    nothing = Seen("fail", "None", Outcome({"list": None}))
    other, expected = Seen("fail", "a number", Outcome({"list": 3.0})), {"a": {"list": [1.0, 2.0]}}
    known = Known({"this": {"a": nothing}}, {}, frozenset())
    assert diagnose(checks, {"a": nothing}, expected, known) == {"a": Diagnosis("one", ("this",))}
    assert diagnose(checks, {"a": other}, expected, known) == {}


def test_what_the_learner_got_wrong_besides_does_not_matter(named: Callable):
    learner = {"a": seen(2.0), "b": seen(9.0), "c": seen(3.0)}
    assert named(learner, {"this": {"a": seen(2.0), "c": seen(3.0)}}).keys() == set("ac")
    assert named({"a": parts(2.0, 9.0)}, {"this": {"a": parts(2.0, 0.0)}}).keys() == {"a"}  # in one check, too
    assert named({"a": parts(2.0, 9.0)}, {"this": {"a": parts(2.0, 8.0)}}) == {}


def test_a_mistake_that_is_made_nearly_everywhere_is_named(named: Callable):
    """A boundary at which the learner's code happens to be right, beside a check that is wholly the same."""
    known = {"this": {"a": seen(2.0), "b": parts(1.0, 2.0, 3.0)}}
    assert named({"a": seen(2.0), "b": parts(1.0, 2.0, 0.0)}, known).keys() == set("ab")
    assert named({"a": seen(2.0), "b": parts(1.0, 0.0, 0.0)}, known) == {}  # too little of it
    assert named({"a": seen(2.5), "b": parts(1.0, 2.0, 0.0)}, known) == {}
    known["whole"] = {"a": seen(2.0), "b": parts(1.0, 2.0, 0.0)}
    found = named({"a": seen(2.0), "b": parts(1.0, 2.0, 0.0)}, known)
    assert found == dict.fromkeys("ab", Diagnosis("one", ("whole",)))


def test_a_single_result_that_is_the_same_by_chance_names_nothing_beside_others_that_are_not(named: Callable):
    known = {"this": {"a": parts(2.0, 0.0)}}
    assert named({"a": parts(2.0, 0.0), "b": seen(9.0), "c": seen(8.0)}, known) == {}
    assert named({"a": parts(2.0, 0.0), "b": seen(None)}, known).keys() == {"a"}
    assert named({"a": parts(2.0, 0.0), "b": seen(9.0)}, known | {"that": {"b": seen(9.0)}}).keys() == set("ab")


def test_two_that_cannot_be_told_apart_are_both_named(named: Callable):
    known = {"this": {"a": seen(2.0)}, "that": {"a": seen(2.0)}}
    assert named({"a": seen(2.0)}, known) == {"a": Diagnosis("one of", ("that", "this"))}


def test_two_in_different_places_of_one_check_are_named_together(named: Callable):
    known = {"this": {"a": parts(2.0, 0.0)}, "that": {"a": parts(0.0, 3.0)}}
    assert named({"a": parts(2.0, 3.0)}, known) == {"a": Diagnosis("both", ("that", "this"))}
    assert named({"a": parts(2.0, 3.0)}, known, rivals=[{"this", "that"}]) == {}


def test_one_that_explains_more_wins(named: Callable):
    known = {"part": {"a": seen(2.0)}, "whole": {"a": seen(2.0), "b": seen(3.0)}}
    assert named({"a": seen(2.0), "b": seen(3.0)}, known) == dict.fromkeys("ab", Diagnosis("one", ("whole",)))


def test_what_one_check_shows_is_no_matter_of_doubt_in_another(named: Callable):
    known = {"this": {"a": seen(2.0), "b": seen(4.0)}, "that": {"b": seen(4.0), "c": seen(5.0)}}
    learner = {"a": seen(2.0), "b": seen(4.0)}  # c can't be seen
    assert named(learner, known) == dict.fromkeys("ab", Diagnosis("one", ("this",)))


def test_of_two_rivals_the_one_that_explains_less_is_not_named(named: Callable):
    known = {"this": {"a": seen(2.0), "b": seen(4.0)}, "that": {"c": seen(5.0)}}
    learner = {"a": seen(2.0), "b": seen(4.0), "c": seen(5.0)}
    assert named(learner, known).keys() == set("abc")
    assert named(learner, known, rivals=[{"this", "that"}]).keys() == set("ab")


def test_a_pair_is_named_only_where_no_single_one_is(named: Callable):
    known = {"this": {"a": seen(2.0)}, "that": {"a": seen(3.0), "b": seen(6.0)}}
    pairs = {("this", "that"): {"a": seen(5.0)}}
    learner = {"a": seen(5.0), "b": seen(6.0)}
    assert named(learner, known, pairs) == dict.fromkeys("ab", Diagnosis("both", ("that", "this")))
    other = {"other": {"a": seen(5.0), "b": seen(6.0)}}
    assert named(learner, known | other, pairs) == dict.fromkeys("ab", Diagnosis("one", ("other",)))
    assert named({"a": seen(5.0), "b": seen(None)}, known, pairs) == {}


def test_what_all_pairs_that_explain_a_check_have_in_common_is_named(named: Callable):
    known = {"this": {"a": seen(2.0)}, "that": {"a": seen(3.0)}, "other": {"a": seen(4.0)}}
    both = {"a": seen(5.0)}
    assert named({"a": seen(5.0)}, known, {("this", "that"): both}) == {"a": Diagnosis("both", ("that", "this"))}
    found = named({"a": seen(5.0)}, known, {("this", "that"): both, ("other", "this"): both})
    assert found == {"a": Diagnosis("one", ("this",))}
    known["these"] = {"a": seen(6.0)}
    assert named({"a": seen(5.0)}, known, {("this", "that"): both, ("other", "these"): both}) == {}


def test_a_pair_is_not_named_where_one_makes_something_else_of_the_other(named: Callable):
    """The second one alone gives 3 in the second part; with the first, which does not act there, it gives 7."""
    known = {"this": {"a": parts(2.0, 0.0)}, "that": {"a": parts(4.0, 3.0)}}
    learner = {"a": parts(6.0, 7.0)}
    assert named(learner, known, {("this", "that"): {"a": parts(6.0, 7.0)}}) == {}
    assert named({"a": parts(6.0, 3.0)}, known, {("this", "that"): {"a": parts(6.0, 3.0)}}).keys() == {"a"}


def test_a_pair_whose_parts_undo_each_other_where_the_learner_is_wrong_is_not_named(named: Callable):
    known = {"this": {"a": seen(2.0), "b": seen(3.0)}, "that": {"a": seen(4.0), "c": seen(5.0)}}
    learner = {"a": seen(2.0), "b": seen(3.5), "c": seen(5.0)}
    assert named(learner, known, {("this", "that"): {}}) == {}  # together they would pass `a`


def test_words_name_a_mistake_only_where_nothing_else_is_open(checks: dict):
    """Random results are the same where the same words are said of them, and they are spread alike."""
    suite = import_suite(find(["14"])[0].suite)
    drawn = next(c for c in vars(suite).values() if isinstance(c, Check) and c.compare != "values")

    def told(values: Any) -> Seen:
        return Seen("fail", "the last of 7 is never drawn.", Outcome({"x": freeze(np.array(values))}))

    early, late = told([0, 1] * 60), told([0, 1, 2] * 40)
    expected = {"a": {"x": freeze(np.arange(120) % 4)}, "b": freeze(np.array(RIGHT_VALUE))}

    def found(learner: dict, known: dict) -> dict:
        return diagnose(checks | {"a": drawn}, learner, expected, Known(known, {}))

    assert found({"a": early}, {"this": {"a": early}}).keys() == {"a"}
    assert found({"a": early, "b": seen(7.0)}, {"this": {"a": early}}) == {}  # something else is wrong, too
    assert found({"a": early}, {"this": {"a": late}}) == {}  # draws of other values


def test_errors_are_the_same_only_with_the_same_words(named: Callable):
    def broken(message: str) -> Seen:
        return Seen("error", "", Outcome(failure=Failure("raised", "TypeError", (), message)))

    known = {"this": {"a": broken("3 axes")}}
    assert named({"a": broken("3 axes")}, known).keys() == {"a"}
    assert named({"a": broken("4 axes")}, known) == {}
    assert named({"a": seen(1.0)}, known) == {}


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


# ---- both situations ------------------------------------------------------------------------------------------------

BEGUN = """\
def first(x):
    ### BEGIN SOLUTION
    y = x
    return y + 1
    ### END SOLUTION


class Second:
    def one(self):
        ### BEGIN SOLUTION
        return 1
        ### END SOLUTION

    def two(self):
        ### BEGIN SOLUTION
        return _helper(2)
        ### END SOLUTION


### BEGIN SOLUTION
def _helper(x):
    return x
### END SOLUTION
"""


def test_a_mistake_is_tried_with_what_comes_after_it_still_to_be_written():
    reference = Source("s", Path("s.py"), BEGUN, "reference")
    begun = as_begun(reference.edited([("y + 1", "y")]), reference)
    assert begun is not None
    assert "return y\n" in begun.text
    assert begun.text.count("raise NotImplementedError") == 2
    assert "def _helper" in begun.text  # the reference's own, which what is written may call
    inner = as_begun(reference.edited([("return 1", "return -1")]), reference)
    assert inner is not None
    assert "y + 1" in inner.text
    assert "return -1" in inner.text
    assert inner.text.count("raise NotImplementedError") == 1
    assert as_begun(reference.edited([("_helper(2)", "2")]), reference) is None


def test_both_situations_are_counted_and_what_cannot_be_seen_is_not_held_against_a_name():
    entry = find(["05"])[0]

    def trial(name: str, unfinished: bool, status: Status, *named: str) -> Trial:
        candidate = Candidate(entry, name, REFERENCE[entry.stem], unfinished)
        diagnosis = {"check": Diagnosis("one of", named)} if named else {}
        return Trial(candidate, {"check": status}, {"check": ""}, 0.0, diagnosis)

    trials = [trial("a", False, "fail", "a"), trial("b", False, "fail", "b", "c"), trial("a", True, "todo")]
    assert str(Tally(trials, False)) == "2 of 2 mistakes rejected, 2 named"
    assert "0 of 1 show, 1 can't be seen yet, 0 named" in str(Tally(trials, True))
    assert all(Tally(trials, unfinished).enough for unfinished in (False, True))
    assert not Tally([trial("a", True, "fail")], True).enough
    assert Tally([trial("a", True, "fail", "c")], True).misnamed


@pytest.mark.parametrize("ex", ["00", "02"])
def test_known_mistakes_are_named_before_what_comes_after_them_is_written(ex: str):
    (entry,) = find([ex])
    begun = [each for each in mistakes([entry], REFERENCE) if each.unfinished]
    with Bench() as bench:
        trials = list(bench.run(begun, diagnose=True))
    shown = [trial for trial in trials if trial.rejected_by]
    assert len(shown) >= 10
    assert {trial.candidate.name for trial in shown if not trial.names(trial.candidate.name)} == set()


@pytest.mark.parametrize("ex", ["03", "08"])
def test_a_trial_by_what_was_recorded_is_the_trial_by_a_run(ex: str):
    candidates = mistakes(find([ex]), REFERENCE)
    with Bench() as bench:
        run, recalled = (
            {(trial.candidate.name, trial.candidate.unfinished): trial for trial in trials}
            for trials in (
                list(bench.run(candidates, diagnose=True)),
                list(bench.run(candidates, diagnose=True, recorded=True)),
            )
        )
    assert run.keys() == recalled.keys()
    for key, trial in run.items():
        assert recalled[key].statuses == trial.statuses, key
        assert recalled[key].named == trial.named, key
        assert recalled[key].rejected_by == trial.rejected_by
        for name in trial.rejected_by:
            assert recalled[key].messages[name] == trial.messages[name], key


# ---- the diagnosis of real code -------------------------------------------------------------------------------------


@pytest.fixture
def graded(folder) -> Callable[[str, str], ExerciseResult]:
    """Grade one file, which is wrong, in an exercise's place."""

    def grade(ex: str, text: str) -> ExerciseResult:
        (entry,) = find([ex])
        folder.write(ex, text)
        with Grading(folder.path) as grading:
            result = grading.grade(entry)
        assert result.status in ("fail", "error")
        return result

    return grade


@pytest.fixture
def names(graded: Callable[[str, str], ExerciseResult]) -> Callable[[str, str], dict[str, Any]]:
    """Grade one file in an exercise's place; the misconceptions that are named, by the check's name."""

    def grade(ex: str, text: str) -> dict[str, Any]:
        checks = graded(ex, text).checks
        return {check.id.partition("::")[2]: check.misconception for check in checks if check.misconception}

    return grade


def said_of_failures(result: ExerciseResult) -> list[tuple[str, ...]]:
    """How each check that fails is named: the kind, and the ids of the misconceptions."""
    failing = [check for check in result.checks if check.status in ("fail", "error")]
    assert len(failing) > 1
    named = [check.misconception for check in failing]
    return [(one.kind, *(turn.id for turn in one.of)) if one else () for one in named]


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
    (turns,) = {tuple(turn.id for turn in named.of) for named in found.values()}
    assert "no-scale" in turns  # with which axis of two that are the same here, no check that is seen can tell


def test_an_unknown_mistake_gets_no_name(names: Callable):
    assert names("05", ATTENTION.format(**RIGHT | {"scale": " / (1.37 * math.sqrt(q.shape[-1]))"})) == {}


def test_code_that_does_not_run_gets_no_name(names: Callable):
    assert names("05", "def attend(:") == {}
    assert names("05", "x = 1") == {}


def test_the_traces_are_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STUBFORMER_STORE", str(tmp_path))
    entry = find(["01"])[0]
    first = known_file(entry, 0, REFERENCE)
    assert first is not None
    written = first.stat().st_mtime_ns
    assert known_file(entry, 0, REFERENCE) == first
    assert first.stat().st_mtime_ns == written
    other_seed = known_file(entry, 1, REFERENCE)
    assert other_seed is not None
    assert other_seed != first


LINEAR = """
    def forward(self, x):
        return self.down(self.dropout(self.up(x)))
"""


def test_a_mistake_that_goes_further_than_the_known_one_gets_its_name_alone(graded: Callable):
    """No activation at all, where the catalogue's entry leaves relu: nothing else is said of it."""
    source = REFERENCE["ex09_feed_forward"].text
    start = source.index("    def forward(self, x: Tensor)")
    end = source.index("### END SOLUTION", start)
    result = graded("09", source[:start] + LINEAR + source[end + len("### END SOLUTION") :])
    assert set(said_of_failures(result)) == {("one", "no-activation")}


def test_a_known_mistake_with_another_boundary_is_named_in_all_its_checks(graded: Callable):
    """The sum is compared by <= where the catalogue's entry has <: they differ only where they meet."""
    source = REFERENCE["ex15_sampling"].text
    shifted = source.replace("before = ordered.cumsum(dim=-1) - ordered", "before = ordered.cumsum(dim=-1)")
    result = graded("15", shifted.replace("dropped = before >= top_p", "dropped = before > top_p"))
    assert set(said_of_failures(result)) == {("one", "top-p-drops-the-crossing-token")}


@pytest.mark.long
def test_what_only_looks_like_a_known_mistake_in_words_is_not_named(names: Callable):
    """One start is lost, in a way of its own: no windows at multiples of the length."""
    source = REFERENCE["ex14_training"].text
    found = names("14", source.replace("torch.randint(n_starts,", "torch.randint(max(1, n_starts - 1),"))
    assert "windows-at-multiples" not in {turn.id for named in found.values() for turn in named.of}


def test_top_k_that_keeps_one_more_is_no_matter_of_the_order(names: Callable):
    """In one of its results it looks as if top-p came before top-k; all others say that it does not."""
    source = REFERENCE["ex15_sampling"].text
    found = names("15", source.replace("min(top_k, logits.size(-1))", "min(top_k + 1, logits.size(-1))"))
    assert "top-p-before-top-k" not in {turn.id for named in found.values() for turn in named.of}
