"""Hints: read by name or by method, one tier after another, and never a whole class at one look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from grader.cli.app import main
from grader.content import hints as reading
from grader.content.hints import Hint, choices, hints_of, name_for
from grader.content.syllabus import Entry, find
from grader.errors import GraderError

TEXT = """
[softmax]
question = "why?"
concept = "so"
nearly = "code"

["Tokenizer.train"]
question = "what is counted?"
concept = "pairs"
skeleton = '''
while ...:
    counts = ...
'''
nearly = "all of train"

[Tokenizer.encode]
question = "what is merged?"
concept = "merges"
nearly = "all of encode"
"""


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """An exercise whose hints stand in a file that a test may change."""
    (found,) = find(["02"])
    path = tmp_path / "hints.toml"
    path.write_text(TEXT)
    monkeypatch.setattr(Entry, "hints", path)
    return replace(found)


def said(*arguments: str) -> str:
    """What `hint` prints of exercise 2."""
    import grader.cli.learn  # noqa: F401 - registers the command

    done = CliRunner().invoke(main, ["hint", "02", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_method_has_hints_of_its_own_however_its_table_is_written(entry: Entry):
    hints = hints_of(entry)
    assert list(hints) == ["softmax", "Tokenizer.train", "Tokenizer.encode"]
    assert hints["Tokenizer.train"].tiers == (
        "what is counted?",
        "pairs",
        "while ...:\n    counts = ...",
        "all of train",
    )
    assert [hints["softmax"].tier(number) for number in (1, 2, 3, 9)] == ["why?", "so", "code", "code"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("softmax", ["softmax"]),
        ("Tokenizer.train", ["Tokenizer.train"]),
        ("train", ["Tokenizer.train"]),
        ("Tokenizer", ["Tokenizer.train", "Tokenizer.encode"]),
        ("Tokenizer.decode", ["Tokenizer.train", "Tokenizer.encode"]),
        ("softmaxx", []),
        ("Token", []),
    ],
)
def test_a_name_means_a_hint_or_a_choice_of_some(entry: Entry, name: str, meant: list[str]):
    assert choices(hints_of(entry), name) == meant


def test_a_class_with_a_hint_of_its_own_stands_for_its_other_methods():
    hint = Hint("q", "c", "n")
    hints = {"A": hint, "A.forward": hint}
    assert choices(hints, "A") == ["A"]
    assert choices(hints, "A.forward") == ["A.forward"]
    assert choices(hints, "A.__init__") == ["A"]


def test_where_code_fails_the_closest_hint_is_offered(entry: Entry):
    assert name_for(entry, "Tokenizer.train") == "Tokenizer.train"
    assert name_for(entry, "Tokenizer.decode") == "Tokenizer"
    assert name_for(entry, "") == name_for(entry, "other") == ""
    entry.hints.write_text("[")
    assert name_for(entry, "softmax") == ""


@pytest.mark.usefixtures("entry")
def test_one_look_does_not_give_a_whole_class_away():
    for arguments in (("Tokenizer",), ("Tokenizer", "--tier", "4"), ("--tier", "4")):
        text = said(*arguments)
        assert "make hint EX=02 NAME=Tokenizer.train" in text
        assert "make hint EX=02 NAME=Tokenizer.encode" in text
        assert "all of" not in text
        assert "pairs" not in text
    assert "code" in said("--tier", "3")  # of the function


@pytest.mark.usefixtures("entry")
def test_the_skeleton_comes_before_the_last_tier():
    text = said("Tokenizer.train", "--tier", "3")
    assert "while ...:\n    counts = ..." in text
    assert "TIER=4 NAME=Tokenizer.train" in text
    last = said("train", "--tier", "4")
    assert "all of train" in last
    assert "next tier" not in last
    assert "next tier" not in said("softmax", "--tier", "3")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no hint"),
        ("[softmax]", "softmax has no question"),
        ("[softmax]\nquestion = 'q'\nconcept = 'c'", "softmax has no nearly"),
        ("[softmax]\nquestion = 'q'\nidea = 'c'", "unknown key 'idea'"),
        ("[A.b]\nquestion = 'q'", "A.b has no concept"),
        ("softmax = 3", "damaged"),
        ("[", "damaged"),
        (None, "missing"),
    ],
)
def test_a_damaged_file_is_named(entry: Entry, text: str | None, complaint: str):
    if text is None:
        entry.hints.unlink()
    else:
        entry.hints.write_text(text)
    with pytest.raises(GraderError, match=complaint) as caught:
        reading.hints_of(entry)
    assert "git checkout" in str(caught.value)
