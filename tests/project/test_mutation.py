"""Mechanical mutants: which changes are made, which are not worth making, and what is said of those nobody notices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.files import ROOT
from grader.probing.assembly import Source, read_folder
from grader.results import Status
from grader.staff.mutants.mutation import Equivalent, equivalents, mutations
from grader.staff.mutants.table import MutationReport
from grader.staff.mutants.trials import Trial

REFERENCE = read_folder(ROOT / "solutions", "reference")

SOURCE = """
import torch
from torch import Tensor, nn

GIVEN = 1 + 2

class Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        ### BEGIN SOLUTION
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.drop = nn.Dropout(0.5)
        ### END SOLUTION

    def forward(self, x: Tensor, memory: Tensor, causal: bool = True) -> Tensor:
        ### BEGIN SOLUTION
        if not 0 <= x.size(0) < 5:
            raise ValueError(f"{x.size(0) + 1} rows of x")
        x = self.norm1(x) + memory  # a comment
        torch.where(causal, x, memory)
        return torch.relu(x.transpose(0, 1).clone())
        ### END SOLUTION
"""


@pytest.fixture(scope="module")
def changes() -> set[tuple[str, str]]:
    """Before and after of every mutant of the source above."""
    source = Source("ex00_layer", Path("ex00_layer.py"), SOURCE, "reference")
    return {(mutation.before, mutation.after) for mutation in mutations(source)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = self.norm1(x) + memory", "x = (self.norm1(x) - memory)"),  # an operator
        ("x = self.norm1(x) + memory", "pass"),  # a statement
        ("x = self.norm1(x) + memory", "x = self.norm2(x) + memory"),  # another of the same make
        ("x = self.norm1(x) + memory", "x = self.norm1(memory) + memory"),  # another argument of the same type
        ("x = self.norm1(x) + memory", "x = self.norm1(x) + x"),
        ("self.norm1 = nn.LayerNorm(width)", "self.norm1 = nn.LayerNorm(heads)"),
        ("self.drop = nn.Dropout(0.5)", "self.drop = nn.Dropout(0.75)"),  # a constant
        ("if not 0 <= x.size(0) < 5:", "if not (0 < x.size(0) < 5):"),  # either side of a chain
        ("if not 0 <= x.size(0) < 5:", "if not (0 <= x.size(0) <= 5):"),
        ("if not 0 <= x.size(0) < 5:", "if (0 <= x.size(0) < 5):"),
        ("if not 0 <= x.size(0) < 5:", "if not 0 <= x.size(1) < 5:"),  # an axis
        ('raise ValueError(f"{x.size(0) + 1} rows of x")', "pass"),
        ("return torch.relu(x.transpose(0, 1).clone())", "return torch.relu(x.transpose(0, 1))"),  # a call
        ("return torch.relu(x.transpose(0, 1).clone())", "return torch.relu(x.clone())"),
        ("return torch.relu(x.transpose(0, 1).clone())", "return None"),
        ("torch.where(causal, x, memory)", "torch.where(x, causal, memory)"),  # neighbours
        ("torch.where(causal, x, memory)", "torch.where(causal, memory, x)"),
    ],
)
def test_a_change_is_made(changes: set[tuple[str, str]], before: str, after: str):
    assert (before, after) in changes


@pytest.mark.parametrize(
    "after",
    [
        "GIVEN = (1 - 2)",  # given code, outside of the regions
        "x = self.drop(x) + memory",  # of another make
        "x = self.norm1(x) + causal",  # of another type
        "x = self + memory",  # that nobody could write
        "return torch",
        "return torch.relu(x.transpose(1, 0).clone())",  # the same thing
        'raise ValueError(f"{(x.size(0) - 1)} rows of x")',  # the words of a message are free
        'raise ValueError(f"{memory.size(0) + 1} rows of x")',
    ],
)
def test_a_change_is_not_made(changes: set[tuple[str, str]], after: str):
    assert after not in {made for _, made in changes}


def test_each_change_is_made_once_and_the_original_is_not_among_them():
    source = Source("ex00_layer", Path("ex00_layer.py"), SOURCE, "reference")
    texts = [mutation.source.text for mutation in mutations(source)]
    assert len(set(texts)) == len(texts) > 30
    assert SOURCE not in texts


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.stem)
def test_every_change_that_is_recorded_as_equivalent_is_made_and_has_a_reason(entry: Entry):
    made = {(mutation.before, mutation.after) for mutation in mutations(REFERENCE[entry.stem])}
    for each in equivalents(entry):
        assert (each.before, each.after) in made
        assert len(each.reason) > 20


def test_several_changes_may_share_a_reason(tmp_path: Path):
    entry = find(["05"])[0]
    (tmp_path / f"{entry.stem}.toml").write_text(
        "[[equivalent]]\nbefore = 'a'\nafter = ['b', 'c']\nreason = 'one'\n"
        "[[equivalent]]\nbefore = 'd'\nafter = 'e'\nreason = 'two'\n"
    )
    expected = (Equivalent("a", "b", "one"), Equivalent("a", "c", "one"), Equivalent("d", "e", "two"))
    assert equivalents(entry, tmp_path) == expected


@pytest.mark.parametrize("text", ["[[equivalent", "[[equivalent]]\nbefore = 'a'\nafter = 'b'", "equivalent = 3"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str):
    entry = find(["05"])[0]
    (tmp_path / f"{entry.stem}.toml").write_text(text)
    with pytest.raises(GraderError, match="damaged"):
        equivalents(entry, tmp_path)


def report_on(entry: Entry, unnoticed: int, status: Status, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    """What is said, and whether it is enough, if the recorded changes and so many others are not noticed."""
    report = MutationReport([entry], REFERENCE, plain=True)
    recorded = {(each.before, each.after) for each in equivalents(entry)}
    for candidate in report.candidates:
        mutation = report.mutations[candidate.name]
        survives = (mutation.before, mutation.after) in recorded
        if not survives and unnoticed > 0:
            survives, unnoticed = True, unnoticed - 1
        report.done(Trial(candidate, {"test_it": "pass" if survives else status}, {}, 0.0))
    enough = report.finish()
    return enough, capsys.readouterr().out


def test_all_noticed_or_explained(capsys: pytest.CaptureFixture[str]):
    enough, said = report_on(find(["09"])[0], 0, "fail", capsys)
    assert enough
    assert "0 open" in said
    assert "(100.0%)" in said
    assert "time" not in said
    assert "recorded" not in said


def test_more_than_a_twentieth_unnoticed_is_too_much(capsys: pytest.CaptureFixture[str]):
    entry = find(["09"])[0]
    total = len(list(mutations(REFERENCE[entry.stem])))
    enough, said = report_on(entry, total // 20, "fail", capsys)
    assert enough
    assert f"{total // 20} open" in said
    enough, said = report_on(entry, total // 20 + 1, "fail", capsys)
    assert not enough
    assert f"{entry.stem}.py:" in said


def test_what_only_the_clock_stopped_is_counted(capsys: pytest.CaptureFixture[str]):
    enough, said = report_on(find(["08"])[0], 0, "timeout", capsys)
    assert enough
    assert "by the time limit alone" in said


def test_a_record_of_what_is_noticed_is_pointed_out(capsys: pytest.CaptureFixture[str]):
    entry = find(["09"])[0]
    report = MutationReport([entry], REFERENCE, plain=True)
    for candidate in report.candidates:
        report.done(Trial(replace(candidate), {"test_it": "fail"}, {}, 0.0))
    assert report.finish()
    said = capsys.readouterr().out
    for each in equivalents(entry):
        assert f"recorded as equivalent, and yet noticed: {each.after}" in said
