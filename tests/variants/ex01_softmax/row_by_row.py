"""Loops over single rows with Python's `math`, in float64, cast back at the end.

Good for exact sums in small examples: `math.fsum` rounds once, at the end. It is slow for many rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def _along(axis: int, function: Callable[[list[float]], list[float]], x: NDArray) -> NDArray:
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    rows = np.moveaxis(x, axis, -1)
    out = np.empty(rows.shape, dtype=np.float64)
    for place in np.ndindex(rows.shape[:-1]):
        out[place] = function([float(score) for score in rows[place]])
    return np.moveaxis(out, -1, axis).astype(dtype)


def _total(scores: list[float]) -> tuple[float, float]:
    highest = max(scores)
    return highest, math.fsum(math.exp(score - highest) for score in scores)


def softmax(x: NDArray, axis: int = -1) -> NDArray:
    def shares(scores: list[float]) -> list[float]:
        highest, total = _total(scores)
        return [math.exp(score - highest) / total for score in scores]

    return _along(axis, shares, x)


def log_softmax(x: NDArray, axis: int = -1) -> NDArray:
    def logs(scores: list[float]) -> list[float]:
        highest, total = _total(scores)
        return [(score - highest) - math.log(total) for score in scores]

    return _along(axis, logs, x)


def cross_entropy(logits: NDArray, targets: NDArray, ignore_index: int | None = None) -> float:
    loss, count = 0.0, 0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        if ignore_index is not None and target == ignore_index:
            continue
        if target not in range(len(row)):
            raise ValueError(f"targets holds {target}, and there are {len(row)} tokens")
        highest, total = _total(row)
        loss += math.log(total) - (row[target] - highest)
        count += 1
    return loss / max(count, 1)


def perplexity(logits: NDArray, targets: NDArray, ignore_index: int | None = None) -> float:
    return math.exp(cross_entropy(logits, targets, ignore_index))
