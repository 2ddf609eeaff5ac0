"""Everything from one log-sum-exp: the softmax is the exponential of the log_softmax.

Good for having one place where overflow must be prevented: the softmax is derived from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _floating(x: NDArray) -> NDArray:
    return x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)


def log_softmax(x: NDArray, axis: int = -1) -> NDArray:
    scores = np.moveaxis(_floating(x), axis, 0)  # the axis in question comes first
    centred = scores - np.amax(scores, 0)
    return np.moveaxis(centred - np.log(np.exp(centred).sum(0)), 0, axis)


def softmax(x: NDArray, axis: int = -1) -> NDArray:
    return np.exp(log_softmax(x, axis=axis))


def cross_entropy(logits: NDArray, targets: NDArray, ignore_index: int | None = None) -> float:
    counted = [
        (row, int(target)) for row, target in zip(logits, targets, strict=True) if int(target) != ignore_index
    ]  # an int is never equal to None
    for row, target in counted:
        if not 0 <= target < len(row):
            raise ValueError(f"targets: {target} is outside 0..{len(row) - 1}")
    surprises = [-float(log_softmax(row)[target]) for row, target in counted]
    return sum(surprises) / len(surprises) if surprises else 0.0


def perplexity(logits: NDArray, targets: NDArray, ignore_index: int | None = None) -> float:
    return float(np.e ** cross_entropy(logits=logits, targets=targets, ignore_index=ignore_index))
