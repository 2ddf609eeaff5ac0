"""Diagnosis: which known misconception a failing exercise shows, by what was observed of it.

A misconception is named only if it explains every trace that it leaves: each check that it fails must be failed by the
learner's code too, with the same observation. What the learner got wrong besides does not matter; a mistake that is in
no catalogue leaves other traces, and gets no name.

Where results are random, "the same" can only mean the same complaint, and many mistakes give rise to one complaint. A
misconception with no better evidence is named only where nothing else is wrong that has no name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from grader.checks import Check
from grader.judging.comparison import Comparison
from grader.judging.sketch import sketch
from grader.judging.verdict import Seen
from grader.probing.observation import Raised

Kind = Literal["one", "one of", "both"]
Ids = tuple[str, ...]
Traces = Mapping[str, Seen]  # what is seen of an exercise with one mistake in it, by the check's name


@dataclass(frozen=True)
class Diagnosis:
    """What a failing check's observation equals: one misconception, one of several, or two at the same time."""

    kind: Kind
    ids: Ids


def diagnose(
    checks: Mapping[str, Check], learner: Traces, known: Mapping[str, Traces], pairs: Mapping[tuple[str, str], Traces]
) -> dict[str, Diagnosis]:
    """Name the misconceptions that explain a learner's failing checks.

    Args:
        checks: the exercise's checks by name.
        learner: what was seen of the learner's code.
        known: what is seen of the reference with each misconception put in, by its id.
        pairs: the same for two at a time.

    Returns:
        For each failing check that is explained, what explains it.
    """
    alike = Alike(checks, learner)
    found: dict[str, Diagnosis] = {}
    singles = alike.believed(strongest({(id,): alike.everywhere(traces) for id, traces in known.items()}))
    doubles = alike.believed(strongest({ids: alike.everywhere(traces) for ids, traces in pairs.items()}))
    for name in sorted(alike.failing):
        one = [ids[0] for ids, explained in singles.items() if name in explained]
        two = [ids for ids, explained in doubles.items() if name in explained]
        if one:
            found[name] = Diagnosis("one" if len(one) == 1 else "one of", tuple(sorted(one)))
        elif len(two) == 1:
            found[name] = Diagnosis("both", two[0])
    return found


def failed(traces: Traces) -> frozenset[str]:
    """The checks that something fails, with an observation or an error to show for it."""
    return frozenset(name for name, seen in traces.items() if seen.status in ("fail", "error"))


def strongest(candidates: Mapping[Ids, frozenset[str]]) -> dict[Ids, frozenset[str]]:
    """Those that explain something, without those that explain only a part of what another one does."""
    return {
        ids: explained
        for ids, explained in candidates.items()
        if explained and not any(explained < other for other in candidates.values())
    }


class Alike:
    """Compares the traces of mistakes with those of one learner; each comparison is made once."""

    def __init__(self, checks: Mapping[str, Check], learner: Traces) -> None:
        self.checks = checks
        self.learner = {name: _sketched(seen) for name, seen in learner.items()}
        self.failing = failed(learner)

    def everywhere(self, traces: Traces) -> frozenset[str]:
        """The checks that a mistake fails, if the learner's code fails all of them in the same way; else none."""
        marks = failed(traces)
        if not marks or not marks <= self.failing or any(seen.status == "timeout" for seen in traces.values()):
            return frozenset()
        alike = {name for name in marks if same(self.checks[name], self.learner[name], traces[name])}
        rest = marks - alike  # of an error the kind is enough, once something else is exactly the same
        return marks if alike and all(same_kind(self.learner[name], traces[name]) for name in rest) else frozenset()

    def believed(self, candidates: Mapping[Ids, frozenset[str]]) -> dict[Ids, frozenset[str]]:
        """Those that equal numbers or errors speak for; and those that only words do, if these leave nothing open."""
        sure = {ids: names for ids, names in candidates.items() if any(map(self._is_exact, names))}
        explained = frozenset().union(*sure.values())
        return {ids: names for ids, names in candidates.items() if ids in sure or self.failing <= names | explained}

    def _is_exact(self, name: str) -> bool:
        return self.checks[name].compare == "values" or self.learner[name].outcome.failure is not None


def same(check: Check, mine: Seen, theirs: Seen) -> bool:
    """Whether two failures of one check are the same one."""
    if mine.status != theirs.status:
        return False
    one, other = mine.outcome.failure, theirs.outcome.failure
    if one is not None or other is not None:
        return one is not None and other is not None and (one.type, one.message) == (other.type, other.message)
    if check.compare != "values":  # random results: equal in kind, not in number
        return _without_numbers(mine.message) == _without_numbers(theirs.message)
    comparison = Comparison(check.tolerance)
    got, want = (_plainly(_sketched(seen).outcome.value) for seen in (mine, theirs))
    return comparison.structure(got, want) is None and comparison.values(got, want) is None


def same_kind(mine: Seen, theirs: Seen) -> bool:
    """Whether two failures are errors of one type, in whatever words."""
    one, other = mine.outcome.failure, theirs.outcome.failure
    return mine.status == theirs.status and one is not None and other is not None and one.type == other.type


def _sketched(seen: Seen) -> Seen:
    return replace(seen, outcome=replace(seen.outcome, value=sketch(seen.outcome.value)))


def _plainly(observed: Any) -> Any:
    """An observation in which an error counts by its kind and by which of the things that it must name it does name."""
    if isinstance(observed, dict):
        return {key: _plainly(item) for key, item in observed.items()}
    if isinstance(observed, list):
        return [_plainly(item) for item in observed]
    if isinstance(observed, Raised):
        kind = "ValueError" if "ValueError" in observed.bases else observed.type
        return {"kind": kind, "names": [name for name in observed.mentions if name.lower() in observed.message.lower()]}
    return observed


def _without_numbers(message: str) -> str:
    return re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", message)
