"""A message of an `explain` is given only where its claim holds: each one against a predicate written a second time."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.checks import Check
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, load
from grader.diagnosis.traces import read_known
from grader.files import ROOT
from grader.judging.judge import Judge
from grader.judging.reference import Code, reference_assembly
from grader.misconceptions.catalogue import catalogue
from grader.misconceptions.recordings import known_file
from grader.probing.assembly import Assembly, Source, read_folder
from grader.probing.observation import thaw
from grader.workers.here import import_suite

Edits = Sequence[tuple[str, str]]
Claims = Mapping[str, Mapping[str, Callable[..., Any]]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these are long: they try every mistake."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.long)


@dataclass(frozen=True)
class Said:
    """What an `explain` said of an observation."""

    turn: str
    check: str
    message: str
    got: Any
    want: Any


def said_of(entry: Entry, turns: Mapping[str, Source]) -> Iterator[Said]:
    """What the explanations of an exercise's quick checks say of some sources, not what the comparison says.

    Which checks a known mistake fails is on record, for the diagnosis; those that it passes say nothing of it.
    """
    suite, reference = import_suite(entry.suite), read_folder(ROOT / "solutions", "reference")
    recorded = known_file(entry, 0, reference)
    failing = read_known(recorded).singles if recorded is not None else {}
    checks: list[Check] = [getattr(suite, info.name) for info in checks_of(entry.suite) if not info.slow]
    with Code(reference_assembly()) as code:
        for turn, source in turns.items():
            with Assembly({**reference, entry.stem: source}) as learner:
                judge = Judge(entry.stem, learner, code, seed=0)
                for check in checks:
                    if check.explanation is None or (turn in failing and check.__name__ not in failing[turn]):
                        continue
                    outcome, want = judge.run_probe(check, limit=10.0), judge.expected(check)
                    if outcome.failure is not None:
                        continue
                    plain = copy.copy(check)
                    plain.explanation = None
                    message = judge.compare(check, outcome.value, want)
                    if message is not None and message != judge.compare(plain, outcome.value, want):
                        yield Said(turn, check.__name__, message, thaw(outcome.value), thaw(want))


@pytest.fixture
def hold() -> Callable[..., None]:
    """Hold claims against what is said: `hold(stem, claims, turns)`.

    `claims` has, for each check, the patterns of what its explanation may say; the predicate of a pattern gets the
    learner's observation, the expected one and the groups that the pattern found, and tells whether that is true.
    `turns` are further wrong turns, as edits of the reference, beside the catalogue. Every message must have a
    pattern, its predicate must hold, and every pattern must be met. Of the variants nothing is said: they pass, with
    this seed, too (`mutants`).
    """

    def hold_(stem: str, claims: Claims, turns: Mapping[str, Edits] | None = None) -> None:
        (entry,) = (each for each in load() if each.stem == stem)
        reference = Source.read(entry.solution, "learner")
        sources = {each.id: each.applied(reference) for each in catalogue(entry)}
        sources |= {turn: reference.edited(edits) for turn, edits in (turns or {}).items()}
        met: set[tuple[str, str]] = set()
        for said in said_of(entry, sources):
            spot = f"{said.turn}, {said.check}: {said.message}"
            found = {pattern: re.search(pattern, said.message) for pattern in claims.get(said.check, {})}
            fitting = {pattern: match for pattern, match in found.items() if match}
            assert len(fitting) == 1, f"{spot}\n{len(fitting)} claims fit"
            for pattern, match in fitting.items():
                met.add((said.check, pattern))
                assert claims[said.check][pattern](said.got, said.want, *match.groups()), f"not true: {spot}"
        unmet = {(check, pattern) for check, patterns in claims.items() for pattern in patterns} - met
        assert not unmet, f"never said: {sorted(unmet)}"

    return hold_
