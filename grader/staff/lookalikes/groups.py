"""Who has written an exercise so much like somebody else that a human should look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from grader.staff.lookalikes.prints import Prints

LEAST = 30  # fingerprints that two have to share: short code is written alike by many
ALIKE = 0.7  # the share of the smaller one, or of the reference; independent right solutions share far less (a test)
REFERENCE = "the reference"


@dataclass(frozen=True)
class Pair:
    """Two answers to one exercise that look alike, and how much: the share of what counts in the smaller one."""

    one: str
    other: str
    share: float


@dataclass(frozen=True)
class Group:
    """Answers to one exercise that hang together: each looks like another one of them."""

    stem: str
    members: tuple[str, ...]  # students, those of former years, the reference
    pairs: tuple[Pair, ...]  # the most alike first

    @property
    def share(self) -> float:
        """Return how alike the two are that are the most alike."""
        return self.pairs[0].share


def groups(
    stem: str, stub: Prints, reference: Prints, students: Mapping[str, Prints], former: Mapping[str, Prints]
) -> list[Group]:
    """Find the answers to an exercise that look alike, the most alike first.

    What stands in the stub counts nowhere, and between students nothing of what the reference has, either. A copy of
    the reference itself is found by how much of it there is.

    Args:
        stem: the exercise.
        stub: what was handed out.
        reference: the reference.
        students: who is compared.
        former: what else they are compared with, such as the class of a year ago.
    """
    given, known = stub.keys(), stub.keys() | reference.keys()
    own = {name: frozenset(found.keys() - known) for name, found in students.items()}
    old = {name: frozenset(found.keys() - known) for name, found in former.items()}
    pairs = [pair for one, other in combinations(sorted(own), 2) if (pair := _pair(one, own[one], other, own[other]))]
    pairs += [pair for one in own for other in old if (pair := _pair(one, own[one], other, old[other]))]
    answer = frozenset(reference.keys() - given)
    for name, found in students.items():
        shared = len(found.keys() & answer)
        if shared >= LEAST and shared >= ALIKE * len(answer):
            pairs.append(Pair(name, REFERENCE, shared / len(answer)))
    return sorted(_joined(stem, pairs), key=lambda group: (-group.share, group.members))


def _pair(one: str, first: frozenset[int], other: str, second: frozenset[int]) -> Pair | None:
    shared = len(first & second)
    share = shared / max(1, min(len(first), len(second)))
    return Pair(one, other, share) if shared >= LEAST and share >= ALIKE else None


def _joined(stem: str, pairs: Sequence[Pair]) -> list[Group]:
    """Pairs that have a member in common are one group."""
    found: list[tuple[set[str], list[Pair]]] = []
    for pair in pairs:
        members, joined = {pair.one, pair.other}, [pair]
        for group in [group for group in found if group[0] & members]:
            members |= group[0]
            joined += group[1]
            found.remove(group)
        found.append((members, joined))
    return [
        Group(stem, tuple(sorted(members)), tuple(sorted(joined, key=lambda pair: (-pair.share, pair.one, pair.other))))
        for members, joined in found
    ]
