"""Marks: where an observation is not the reference's, leaf by leaf, and whether two are wrong in the same way there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from grader.checks import Check
from grader.diagnosis.sketch import akin, is_plain, is_sketch, sketch
from grader.judging.comparison import Comparison
from grader.judging.verdict import Seen
from grader.probing.observation import Array, Raised

Mark = tuple[str, str]  # a check, and a place in what it observes
Likeness = Literal["same", "kind", "right", "other"]

PARTED = (dict, list, Array, Raised)  # items of a list that are leaves of their own, or have some
WHOLE, WORDS = "", " in words"  # places that are no leaf: all of an observation, and what is said of it


class Signs:
    """The signs that one check shows of one source: what is wrong, and where.

    Args:
        check: the check.
        seen: what is seen of it; large arrays may be sketches.
        want: the leaves of the reference's observation.
    """

    def __init__(self, check: Check, seen: Seen, want: Mapping[str, Any]) -> None:
        self.check = check
        self.seen = seen
        self.leaves = leaves(seen.outcome.value)
        self._want = want
        self._comparison = Comparison(check.tolerance)

    @property
    def failure(self) -> tuple[str, str] | None:
        """The type and the message of an error, if there is one."""
        failure = self.seen.outcome.failure
        return None if failure is None else (failure.type, failure.message)

    @cached_property
    def places(self) -> frozenset[str]:
        """The places at which something is wrong; none if the check passes."""
        if self.seen.status not in ("fail", "error"):
            return frozenset()
        if self.failure is not None:
            return frozenset([WHOLE])
        if self.check.compare != "values":  # random results: equal in kind, not in number
            return frozenset([WORDS])
        wrong = frozenset(place for place in self.leaves.keys() | self._want.keys() if not self._is_right(place))
        return wrong or frozenset([WHOLE])

    def like(self, other: Signs, place: str) -> Likeness:
        """Compare with the other source at a place where that is wrong: the same, or in kind; right; or otherwise."""
        mine, theirs = self.seen, other.seen
        if mine.status == "pass":
            return "right"
        if mine.status != theirs.status:
            return "other"
        if self.failure is not None or other.failure is not None:
            if self.failure is None or other.failure is None or self.failure[0] != other.failure[0]:
                return "other"
            return "same" if self.failure == other.failure else "kind"
        if place == WORDS:
            alike = _without_numbers(mine.message) == _without_numbers(theirs.message)
            shared = self.leaves.keys() & other.leaves.keys()
            return "same" if alike and all(akin(self.leaves[each], other.leaves[each]) for each in shared) else "other"
        if place == WHOLE:
            whole = self.leaves.keys() == other.leaves.keys() and all(self._equal(other, each) for each in self.leaves)
            return "same" if whole else "other"
        if self._equal(other, place):
            return "same"
        return "right" if self._is_right(place) else "other"

    def _equal(self, other: Signs, place: str) -> bool:
        if place not in self.leaves or place not in other.leaves:
            return place not in self.leaves and place not in other.leaves  # both lack what is expected there
        return self._agree(self.leaves[place], other.leaves[place])

    def _is_right(self, place: str) -> bool:
        return place in self.leaves and place in self._want and self._agree(self.leaves[place], self._want[place])

    def _agree(self, got: Any, want: Any) -> bool:
        return self._comparison.structure(got, want) is None and self._comparison.values(got, want) is None


def leaves(observed: Any) -> dict[str, Any]:
    """The leaves of an observation by their paths; large arrays are sketches."""
    return dict(_leaves(sketch(observed)))


def _leaves(observed: Any, path: str = "result") -> Iterator[tuple[str, Any]]:
    """Yield the leaves with their paths; a list of plain values is one."""
    if isinstance(observed, dict) and not is_sketch(observed) and observed:
        for key, item in observed.items():
            yield from _leaves(item, f"{path}.{key}")
    elif isinstance(observed, list) and not is_plain(observed) and any(isinstance(each, PARTED) for each in observed):
        for index, item in enumerate(observed):
            yield from _leaves(item, f"{path}[{index}]")
        yield f"{path}[]", len(observed)
    else:
        yield path, _plainly(observed)


def _plainly(observed: Any) -> Any:
    """A leaf in which an error counts by its kind and by which of the things that it must name it does name."""
    if isinstance(observed, list):
        return observed if is_plain(observed) else [_plainly(item) for item in observed]
    if isinstance(observed, Raised):
        kind = "ValueError" if "ValueError" in observed.bases else observed.type
        return {"kind": kind, "names": [name for name in observed.mentions if name.lower() in observed.message.lower()]}
    return observed


def _without_numbers(message: str) -> str:
    return re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", message)
