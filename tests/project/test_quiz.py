"""The quiz: each question computes its answer anew, replies are read tolerantly, boxes bring back what is due."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest

from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.judging.reference import reference_assembly
from grader.learning.quiz import Ask, Question, changed, replies
from grader.learning.quiz.boxes import DAYS, Place, choose, places
from grader.learning.quiz.questions import FOLDER, path_of, questions_of
from grader.learning.quiz.session import Sitting, begun, pick
from grader.probing.assembly import Exercise
from grader.probing.random import Random, derive
from grader.progress import Event, History
from grader.screens.console import Printer

ONE = find(["01"])[0]
ALL = [
    pytest.param(entry, question, id=f"{entry.label}-{question.name}")
    for entry in load()
    for question in questions_of(entry)
]
NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
Reference = Callable[[str], Exercise]


def asked(question: Question, exercise: Exercise, count: int = 8) -> list[Ask]:
    return [question.ask(exercise, Random(derive("quiz", number))) for number in range(count)]


# ---- the questions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.label)
def test_every_exercise_has_questions(entry: Entry):
    assert len(questions_of(entry)) >= 3
    assert len({question.title for question in questions_of(entry)}) == len(questions_of(entry))


@pytest.mark.parametrize(("entry", "question"), ALL)
def test_a_question_draws_new_numbers_and_takes_its_own_answer(entry: Entry, question: Question, reference: Reference):
    asks = asked(question, reference(entry.stem))
    assert len({ask.text for ask in asks}) > 1
    for ask in asks:
        assert ask.text.strip().endswith((".", "?", ")"))
        assert ask.why.strip().endswith((".", "?", ")"))
        assert replies.is_right(ask, replies.written(ask.answer))
        assert not (isinstance(ask.answer, float) and math.isnan(ask.answer))
    again = asked(question, reference(entry.stem))
    assert [(ask.text, ask.answer) for ask in again] == [(ask.text, ask.answer) for ask in asks]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_questions_know_the_engine_by_one_module(path: Path):
    assert path in [path_of(entry) for entry in load()]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("grader"):
            assert node.module == "grader.learning.quiz"


def test_answers_come_from_the_code_and_not_from_the_text(reference: Reference):
    """Break the exercise, and the answers change: nothing is written down twice."""
    (question,) = [question for question in questions_of(ONE) if question.name == "by_hand"]
    true = [ask.answer for ask in asked(question, reference(ONE.stem))]
    with changed(
        reference(ONE.stem), ("return exps / np.sum(exps, axis=axis, keepdims=True)", "return exps")
    ) as broken:
        false = [ask.answer for ask in asked(question, broken)]
    assert true != false
    assert true == [ask.answer for ask in asked(question, reference(ONE.stem))]


def test_a_piece_that_is_not_there_can_not_be_left_out(reference: Reference):
    with pytest.raises(ValueError, match="0 times"), changed(reference(ONE.stem), ("no such line", "")):
        pass


def test_an_answer_must_be_among_the_choices():
    with pytest.raises(ValueError, match="not among"):
        Ask("?", "c", "", choices=("a", "b"))
    with pytest.raises(ValueError, match="the same"):
        Ask("?", "a", "", choices=("a", "a"))


def test_a_damaged_file_of_questions_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("grader.learning.quiz.questions.FOLDER", tmp_path)
    assert questions_of(ONE) == ()
    (tmp_path / f"{ONE.stem}.py").write_text("import nothing_of_the_kind\n")
    with pytest.raises(GraderError, match=ONE.stem):
        questions_of(ONE)


# ---- replies --------------------------------------------------------------------------------------------------------

WHERE = ("rows", "columns", "the whole")


@pytest.mark.parametrize(
    ("answer", "right", "wrong", "unreadable"),
    [
        ((2, 3), ["(2, 3)", "2,3", "2 3", "2x3", "torch.Size([2, 3])", "2 × 3"], ["3 2", "2 3 1", "2"], ["two", ""]),
        ((), ["()", "scalar", "[]"], ["1"], ["", "?"]),
        ([1, 0, 1], ["1 0 1", "[1,0,1]", "1, 0, 1"], ["0 1 1", "1 0"], ["a b"]),
        (frozenset({0, 1, 2}), ["2 1 0", "{0,1,2}", "0-2", "0..2", "0 to 2"], ["0 1", "0-3", "none"], ["all", ""]),
        (frozenset(), ["none", "-", "{}"], ["0"], [""]),
        (624, ["624", "4*12**2 + 4*12", "4 * 12^2 + 48", "~624"], ["625", "62"], ["many", "4*", "__import__('os')"]),
        (640_000, ["640000", "640,000", "640_000", "640 000", "5000*128"], ["64000"], ["9**9**9", "(1).real"]),
        (1 / 3, ["1/3", "0.333", "0.33", "33 %"], ["0.3", "3"], ["x", "1/0", "exp(1, 2)", "1 if 1 else 2"]),
        (2.0794, ["3*ln(2)", "2.08", "log(8)", "about 2.08"], ["3", "-2.08"], ["ln 8 or so"]),
        (0.0, ["0", "0.0"], ["0.1"], []),
        (True, ["yes", "Y", "true", "Yes."], ["no", "n"], ["maybe", "2"]),
        ("an", ["an", "'an'", '"an"', " an "], ["na", "AN"], [""]),
    ],
    ids=str,
)  # fmt: skip
def test_replies_are_read(answer, right: list[str], wrong: list[str], unreadable: list[str]):
    ask = Ask("?", answer, "")
    for reply in right:
        assert replies.is_right(ask, reply), reply
    for reply in wrong:
        assert not replies.is_right(ask, reply), reply
    for reply in unreadable:
        with pytest.raises(replies.Unreadable):
            replies.is_right(ask, reply)


def test_a_choice_is_a_letter_or_its_words():
    ask = Ask("?", "columns", "", choices=WHERE)
    assert all(replies.is_right(ask, reply) for reply in ("b", "B)", "columns", "col"))
    assert not replies.is_right(ask, "a")
    for reply in ("d", "the rows", "x y", ""):
        with pytest.raises(replies.Unreadable, match="a to c"):
            replies.is_right(ask, reply)


# ---- boxes ----------------------------------------------------------------------------------------------------------


def answered(name: str, right: bool, day: float) -> Event:
    return Event("answered", ONE.stem, {"question": name, "right": right}, at=NOW + timedelta(days=day))


def test_right_answers_in_time_move_up_and_wrong_ones_move_back():
    day, events, boxes = 0.0, [], []
    for _ in range(7):
        events.append(answered("a", True, day))
        place = places(events)[ONE.stem, "a"]
        boxes.append(place.box)
        day += DAYS[place.box]
    assert boxes == [2, 3, 4, 5, 6, 6, 6]
    assert places([*events, answered("a", False, day)])[ONE.stem, "a"].box == 1


def test_a_right_answer_before_its_time_changes_nothing():
    early = [answered("a", True, 0), answered("a", True, 0.2), answered("a", True, 0.4)]
    assert places(early)[ONE.stem, "a"] == Place(2, NOW)


def test_what_is_due_comes_first_then_what_is_new_then_the_rest():
    known = {
        ("x", "late"): Place(3, NOW - timedelta(days=30)),
        ("x", "due"): Place(2, NOW - timedelta(days=2)),
        ("x", "far"): Place(6, NOW),
    }
    keys = [("x", name) for name in ("far", "new", "due", "late")]
    assert [name for _, name in choose(keys, known, 9, NOW)] == ["late", "due", "new", "far"]
    assert [name for _, name in choose(keys, known, 2, NOW)] == ["late", "due"]


def test_a_clock_that_was_set_back_makes_nothing_wait():
    assert Place(6, NOW).due(NOW - timedelta(days=1000))


def test_by_default_it_asks_about_what_was_graded():
    assert begun([]) == [load()[0]]
    assert begun([Event("graded", ONE.stem, {})]) == [ONE]


# ---- a sitting ------------------------------------------------------------------------------------------------------


def sit(typed: list[str], questions: list[Question]) -> tuple[Sitting, str]:
    lines, stream = iter(typed), StringIO()

    def read(_: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    sitting = Sitting(read, Printer(plain=True, file=stream), seed=1)
    with reference_assembly() as assembly:
        sitting.run([(ONE, question, 0) for question in questions], assembly)
    sitting.summary()
    return sitting, stream.getvalue()


SEVEN = Question("seven", "a number", lambda ex, rng: Ask("What is 3 + 4?", 7, "Count on your fingers."))
BROKEN = Question("broken", "nothing", lambda ex, rng: 1 / 0)  # type: ignore[arg-type, return-value]


def test_each_answer_is_kept_at_once_and_explained(own_progress: Path):
    sitting, shown = sit(["7", "3 + 5", "quit"], [SEVEN, SEVEN, SEVEN])
    assert (sitting.right, sitting.asked) == (1, 2)
    assert shown.count("Count on your fingers.") == 2
    assert "Right." in shown
    assert "Not quite." in shown
    assert ONE.label in shown.splitlines()[-1]
    assert [event.data["right"] for event in History(own_progress).events()] == [True, False]


def test_leaving_in_the_middle_loses_nothing(own_progress: Path):
    with pytest.raises(EOFError):
        sit(["7"], [SEVEN, SEVEN])
    assert len(History(own_progress).events()) == 1


def test_three_replies_that_can_not_be_read_skip_without_a_mark(own_progress: Path):
    sitting, shown = sit(["a", "", "b", "7"], [SEVEN, SEVEN])
    assert (sitting.skipped, sitting.right) == (1, 1)
    assert "Skipped." in shown
    assert len(History(own_progress).events()) == 1


def test_a_question_that_can_not_be_computed_is_passed_over():
    sitting, shown = sit(["7"], [BROKEN, SEVEN])
    assert sitting.right == 1
    assert "can't be computed here: ZeroDivisionError" in shown


def test_a_seed_gives_the_same_sitting_whatever_was_answered_before():
    events = [answered(question.name, True, 0) for question in questions_of(ONE)[:3]]
    names = [[question.name for _, question, _ in pick([ONE], past, 4, seed=3)] for past in ([], events)]
    assert names[0] == names[1]
    assert {box for _, _, box in pick([ONE], events, 9)} == {0, 2}
