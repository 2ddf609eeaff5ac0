"""Diagnosis: which known misconception a failing exercise shows, by what was observed of it.

A mistake leaves marks: places, in what the checks observe, at which the result is not the reference's. A misconception
is named only if it explains every mark that it leaves and that can be seen: at each of them the learner's result must
be the one that the mistake gives. What the learner got wrong besides does not matter. What can't be seen yet, since a
check calls a function that is not written or waits for another check, is neither for nor against. A mistake that is in
no catalogue leaves other marks, and gets no name.

One result may be the same by chance. And where results are random, "the same" can only mean the same complaint, of
numbers that are spread alike, and many mistakes give rise to one complaint. A misconception with no better evidence is
named only where nothing else is wrong that has no name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grader.checks import Check
from grader.diagnosis.marks import WORDS, Mark, Signs, leaves
from grader.judging.verdict import Seen
from grader.probing.outcome import Outcome

Kind = Literal["one", "one of", "both"]
Ids = tuple[str, ...]
Traces = Mapping[str, Seen]  # what is seen of an exercise with one mistake in it, by the check's name

VISIBLE = ("pass", "fail", "error")  # of a check that ends otherwise nothing can be seen
PASSES = Seen("pass", "", Outcome())


@dataclass(frozen=True)
class Diagnosis:
    """The misconceptions that a failing check shows: one, one of several, or two at the same time."""

    kind: Kind
    ids: Ids


@dataclass(frozen=True)
class Known:
    """The recorded traces of an exercise's misconceptions.

    `singles` and `pairs` are the traces of one and of two at a time (where these meet in a check); `rivals` are pairs
    that change the same piece of code, so that nobody has made both.
    """

    singles: Mapping[str, Traces]
    pairs: Mapping[tuple[str, str], Traces]
    rivals: Collection[frozenset[str]] = ()


@dataclass(frozen=True)
class Fit:
    """The marks that a mistake explains, and whether it does so without exception."""

    explained: frozenset[Mark]
    full: bool


def diagnose(
    checks: Mapping[str, Check], learner: Traces, expected: Mapping[str, Any], known: Known
) -> dict[str, Diagnosis]:
    """Name the misconceptions that explain a learner's failing checks.

    Args:
        checks: the exercise's checks by name.
        learner: what was seen of the learner's code.
        expected: the reference's observations, of the checks that were seen.
        known: what the known misconceptions look like.

    Returns:
        For each failing check that is explained, what explains it.
    """
    case = Case(checks, learner, expected)
    possible = {id: fit for id, traces in known.singles.items() if (fit := case.fit(traces)) is not None}
    fits = case.believed(strongest(possible))
    pairs = {}
    for (id, other), traces in known.pairs.items():
        fit = case.fit_of_two(known.singles[id], known.singles[other], traces)
        if fit is not None:
            pairs[id, other] = fit
    found: dict[str, Diagnosis] = {}
    for name in sorted(case.failing):
        one = named_at(name, fits)
        two = [ids for ids, fit in pairs.items() if any(check == name for check, _ in fit.explained)]
        common = sorted(frozenset(two[0]).intersection(*two)) if two else []  # in whichever pair it is
        if one is not None:
            found[name] = one
        elif common:
            found[name] = Diagnosis("both" if len(common) == 2 else "one", tuple(common))
    return in_harmony(found, fits, known.rivals)


def failed(traces: Traces) -> frozenset[str]:
    """The checks that something fails, with an observation or an error to show for it."""
    return frozenset(name for name, seen in traces.items() if seen.status in ("fail", "error"))


class Case:
    """One learner's failing exercise, with which mistakes are compared."""

    def __init__(self, checks: Mapping[str, Check], learner: Traces, expected: Mapping[str, Any]) -> None:
        self.checks = checks
        self._want = {name: leaves(observed) for name, observed in expected.items()}
        self.failing = failed(learner)
        self._signs = {name: self._read(name, seen) for name, seen in learner.items() if seen.status in VISIBLE}

    def fit(self, traces: Traces) -> Fit | None:
        """Return how far a mistake explains what is seen; None if it leaves no mark, or one that is not there."""
        explained: set[Mark] = set()
        exact = loose = False
        for name, theirs in self._in_sight(traces).items():
            likes = {place: self._signs[name].like(theirs, place) for place in theirs.places}
            count = Counter(likes.values())
            # Of an error the kind is enough, and of many results most, once something else is exactly the same.
            if count["other"] or count["right"] > count["same"]:
                return None
            exact |= count["same"] == len(likes)
            loose |= count["same"] < len(likes)
            explained |= {(name, place) for place, like in likes.items() if like != "right"}
        return Fit(frozenset(explained), not loose) if exact else None

    def fit_of_two(self, one: Traces, other: Traces, both: Traces) -> Fit | None:
        """As `fit`, of two mistakes at a time that are more than the sum of two.

        Where one of them acts alone, it acts as it does by itself. Somewhere both act, and the result is neither's.
        """
        explained: set[Mark] = set()
        met = False
        signs = [self._in_sight(traces) for traces in (one, other)]
        for name in signs[0].keys() | signs[1].keys():
            first, second = (each.get(name) for each in signs)
            together = self._read(name, both.get(name, PASSES)) if first and second else first or second
            assert together is not None
            acting = [each for each in (first, second) if each is not None]
            for place in frozenset().union(together.places, *(each.places for each in acting)):
                at = [each for each in acting if place in each.places]
                if not self._is_as(name, together, place) or not at:
                    return None
                neither = all(together.like(each, place) != "same" for each in at)
                if neither and len(at) == 1:
                    return None  # one of them makes of the other something other than what it says
                met |= neither
                if place in together.places:
                    explained.add((name, place))
        return Fit(frozenset(explained), full=True) if met else None

    def believed(self, fits: Mapping[str, Fit]) -> dict[str, Fit]:
        """Those that several results speak for; and those that one alone or words do, if this leaves nothing open."""
        exact = {id: {mark for mark in fit.explained if mark[1] != WORDS} for id, fit in fits.items()}
        clear = {name for marks in exact.values() for name, _ in marks}
        return {
            id: fit
            for id, fit in fits.items()
            if len(exact[id]) > 1 or self.failing <= clear | {name for name, _ in fit.explained}
        }

    def _is_as(self, name: str, theirs: Signs, place: str) -> bool:
        """Return whether the learner's result at a place is another one's, be it wrong or right."""
        mine = self._signs[name]
        return mine.like(theirs, place) == "same" if place in theirs.places else place not in mine.places

    def _in_sight(self, traces: Traces) -> dict[str, Signs]:
        """The failures of a mistake that one could see in the learner's code as well."""
        return {name: self._read(name, traces[name]) for name in failed(traces) if name in self._signs}

    def _read(self, name: str, seen: Seen) -> Signs:
        return Signs(self.checks[name], seen, self._want[name])


def strongest(fits: Mapping[str, Fit]) -> dict[str, Fit]:
    """The fits without those that explain only a part of what another one does, or less surely."""

    def beaten(fit: Fit) -> bool:
        return any(
            (fit.explained < other.explained and (other.full or not fit.full))
            or (other.full and not fit.full and fit.explained & other.explained)
            for other in fits.values()
        )

    return {id: fit for id, fit in fits.items() if not beaten(fit)}


def named_at(name: str, fits: Mapping[str, Fit]) -> Diagnosis | None:
    """Return what explains one check: a mistake, several that can't be told apart, or two that act side by side."""
    groups: list[tuple[set[str], set[str]]] = []  # places, and the mistakes that explain them
    for id, fit in sorted(fits.items()):
        places = {place for check, place in fit.explained if check == name}
        meeting = [group for group in groups if group[0] & places]
        if places:
            groups = [group for group in groups if group not in meeting]
            groups.append((places.union(*(each for each, _ in meeting)), {id}.union(*(ids for _, ids in meeting))))
    if not groups:
        return None
    if len(groups) == 2 and all(len(ids) == 1 for _, ids in groups):
        return Diagnosis("both", tuple(sorted(id for _, ids in groups for id in ids)))
    ids = tuple(sorted(max(groups, key=lambda group: len(group[0]))[1]))
    return Diagnosis("one" if len(ids) == 1 else "one of", ids)


def in_harmony(
    found: Mapping[str, Diagnosis], fits: Mapping[str, Fit], rivals: Collection[frozenset[str]]
) -> dict[str, Diagnosis]:
    """The names of all checks, such that they can be true together.

    What one check shows beyond doubt is no matter of doubt in another one. Of two rivals, the one that explains less
    is not named.
    """
    certain = {each.ids[0] for each in found.values() if each.kind == "one"}
    for one, other in map(sorted, rivals):
        if {one, other} <= certain:
            certain.discard(min(one, other, key=lambda id: len(fits[id].explained) if id in fits else 0))
    named = {}
    for name, each in found.items():
        sure = tuple(id for id in each.ids if id in certain)
        if each.kind == "one of" and len(sure) == 1:
            named[name] = Diagnosis("one", sure)
        elif each.kind == "one of" or (each.kind == "both" and frozenset(each.ids) not in rivals) or sure:
            named[name] = each
    return named
