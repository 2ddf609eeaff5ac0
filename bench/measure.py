"""How a benchmark measures, and what it gives back."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table: medians, and how many times better ours is."""

    name: str
    ours: float
    theirs: float | None
    unit: str
    runs: int
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.theirs is None else self.theirs / self.ours

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio}


def in_turn(ours: Callable[[], float], theirs: Callable[[], float], runs: int, warm_up: int = 1) -> tuple[float, float]:
    """Measure both alternately and return the two medians."""
    mine, other = [], []
    for run in range(warm_up + runs):
        pair = (ours(), theirs()) if run % 2 else (theirs(), ours())[::-1]
        if run >= warm_up:
            mine.append(pair[0])
            other.append(pair[1])
    return statistics.median(mine), statistics.median(other)
