"""Right solutions at many seeds: a point that chance takes is told, and what is known to pass is not run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.content.syllabus import Entry, find
from grader.probing.assembly import Source
from grader.staff.mutants import seeds as trying
from grader.staff.mutants.seeds import Lost, Seeds
from grader.staff.mutants.trials import VARIANTS, Bench, Candidate

UNLUCKY = """
import numpy as np

def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True) + (x.size == 12) * (abs(float(x.flat[0])) % 0.01 > 0.005)
"""


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUBFORMER_STORE", str(tmp_path / "store"))


def tried(entry: Entry, *seeds: int) -> tuple[Seeds, list[Lost]]:
    """The trials of one exercise, and what was lost."""
    with Bench(jobs=1) as bench:
        trials = Seeds([entry], bench, seeds)
        return trials, list(trials.run())


def test_the_reference_and_every_variant_are_tried_at_each_seed():
    (entry,) = find(["00"])
    trials, lost = tried(entry, 3, 4)
    assert lost == []
    styles = len(list((VARIANTS / entry.stem).glob("*.py")))
    assert (trials.total, trials.known) == (2 * (1 + styles), 0)
    again, lost = tried(entry, 3, 4, 5)
    assert lost == []
    assert again.known == trials.total


def test_a_point_that_is_lost_at_some_seed_is_told_each_time(monkeypatch: pytest.MonkeyPatch):
    (entry,) = find(["01"])
    unlucky = Candidate(entry, "unlucky", Source(entry.stem, entry.stub, UNLUCKY, "learner"))
    monkeypatch.setattr(trying, "right_solutions", lambda *_: [unlucky])
    _, lost = tried(entry, 0, 1)
    assert {each.seed for each in lost} == {0, 1}  # it lacks three functions: those checks fail at every seed
    assert {each.candidate.name for each in lost} == {"unlucky"}
    assert all(each.message for each in lost)
    again, more = tried(entry, 0, 1)
    assert again.known == 0
    assert len(more) == len(lost)


def test_a_change_of_the_solution_is_tried_anew(monkeypatch: pytest.MonkeyPatch):
    (entry,) = find(["00"])
    text = Source.read(entry.solution, "learner").text
    for number, source in enumerate((text, text + "\n# changed\n", text)):
        candidate = Candidate(entry, "mine", Source(entry.stem, entry.stub, source, "learner"))
        monkeypatch.setattr(trying, "right_solutions", lambda *_, candidate=candidate: [candidate])
        trials, lost = tried(entry, 0)
        assert lost == []
        assert trials.known == (number == 2)
