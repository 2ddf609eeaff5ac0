"""What is remembered of the reference: the same verdicts from it, and nothing of what has changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import Entry, find
from grader.judging import reference
from grader.judging.judge import Judge
from grader.judging.observation_store import Memory
from grader.judging.reference import Code, reference_assembly
from grader.judging.verdict import Verdict
from grader.misconceptions.catalogue import catalogue
from grader.probing.assembly import Assembly, Source
from grader.store import Store
from grader.workers.here import import_suite


@pytest.fixture(autouse=True)
def everything_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "LONG", -1.0)


class Unasked(Code):
    """A reference whose code nobody should run."""

    def _observe(self, *_: Any) -> Any:
        raise AssertionError("the probe was run")


class Counting(Code):
    """A reference that counts how often a probe is run."""

    ran = 0

    def _observe(self, *arguments: Any) -> Any:
        self.ran += 1
        return super()._observe(*arguments)


def verdicts(entry: Entry, code: Code) -> list[tuple[str, Verdict]]:
    """What is said of a known mistake, but for the time that it took."""
    suite = import_suite(entry.suite)
    text = catalogue(entry)[0].applied(Source.read(entry.solution, "learner")).text
    wrong = Source(entry.stem, entry.stub, text, "learner")
    with code, Assembly({**{need: code.sources[need] for need in entry.needs}, entry.stem: wrong}) as learner:
        judge = Judge(entry.stem, learner, code, seed=0)
        judge.load(60)
        return [
            (info.name, Verdict(found.status, found.message, 0.0, found.evidence))
            for info in checks_of(entry.suite)
            for found in [judge.judge(getattr(suite, info.name), 60, info.hidden)]
        ]


@pytest.mark.parametrize("ex", ["01", "02", "05", "08", "15"])
def test_the_verdicts_are_the_same_from_memory(ex: str, tmp_path: Path):
    (entry,) = find([ex])
    fresh = verdicts(entry, Code(reference_assembly()))
    assert {"pass", "fail"} <= {verdict.status for _, verdict in fresh}
    memory = Memory(Store(tmp_path))
    assert verdicts(entry, Code(reference_assembly(), memory)) == fresh
    assert len(list(tmp_path.glob("observed/*.json"))) == len(fresh)
    assert verdicts(entry, Unasked(reference_assembly(), memory)) == fresh


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    """Asks for one observation of a reference with a memory; tells whether it was remembered."""
    (entry,) = find(["01"])
    suite = import_suite(entry.suite)

    def ask(seed: int = 0, hidden: bool = False, edits: Any = (), name: str = "test_softmax_values") -> bool:
        sources = dict(reference_assembly().sources)
        sources[entry.stem] = sources[entry.stem].edited(edits)
        with Counting(Assembly(sources), Memory(Store(tmp_path))) as code:
            code.observed(entry.stem, getattr(suite, name), seed, hidden)
        return not code.ran

    return ask


def test_another_seed_another_text_or_a_hidden_check_is_something_else(asked: Any):
    assert not asked()
    assert asked()
    assert not asked(seed=1)
    assert not asked(hidden=True)
    assert not asked(edits=[("import numpy as np\n", "import numpy as np\n\n")])
    assert asked()


def test_a_damaged_memory_and_none_at_all_cost_time_and_nothing_else(asked: Any, tmp_path: Path):
    asked()
    (path,) = (tmp_path / "observed").iterdir()
    for damage in ("", "{}", "[1]", '{"calls": 3}', path.read_text()[:-9]):
        path.write_text(damage)
        assert not asked()
        assert asked()
    path.unlink()
    (tmp_path / "observed").rmdir()
    (tmp_path / "observed").write_text("in the way")
    assert not asked()
    assert not asked()


def test_the_oldest_are_forgotten(asked: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(Memory, "KEPT", 3)
    for seed in range(5):
        asked(seed=seed)
    assert len(list((tmp_path / "observed").iterdir())) == 3
    assert asked(seed=4)


def test_the_next_submission_is_judged_by_the_same_observations():
    """Also where each check has a seed of its own, between two submissions."""
    (entry,) = find(["05"])
    first, second = Code(reference_assembly()), Counting(reference_assembly())
    assert verdicts(entry, first) == verdicts(entry, second)
    assert second.ran == len(checks_of(entry.suite))
    assert verdicts(entry, second) == verdicts(entry, first)
    assert second.ran == len(checks_of(entry.suite))
