"""np.logaddexp.reduce on shifted scores, asserts on values, everything in float64 and back at the end.

Good for hard cases: the asserts stop NaN where it comes in, and extended precision loses less, on machines that
have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import exp, inf, take_along_axis


@dataclass
class _Scores:
    given: np.ndarray
    axis: int

    def __post_init__(self):
        assert not np.isnan(self.given).any(), "NaN among the scores"
        wide = np.array(self.given, dtype=np.longdouble)
        self.top = wide.max(self.axis, keepdims=True)
        self.wide = np.where(np.isneginf(wide), -inf, wide - self.top)
        self.dtype = self.given.dtype if self.given.dtype.kind == "f" else np.float64

    def logs(self):
        return self.wide - np.logaddexp.reduce(self.wide, axis=self.axis, keepdims=True)


def log_softmax(x, axis=-1):
    scores = _Scores(x, axis)
    return scores.logs().astype(scores.dtype)


def softmax(x, axis=-1):
    scores = _Scores(x, axis)
    shares = exp(scores.logs())
    assert np.allclose(shares.astype(float).sum(axis), 1)
    return shares.astype(scores.dtype)


def cross_entropy(logits, targets, ignore_index=None):
    keep = np.full(targets.shape, True) if ignore_index is None else targets != ignore_index
    if not keep.any():
        return 0.0
    chosen = targets[keep]
    assert logits.ndim == 2
    if chosen.min() < 0 or chosen.max() >= logits.shape[1]:
        bad = [int(t) for t in chosen if t < 0 or t >= logits.shape[1]]
        raise ValueError("no such token: " + ", ".join(map(str, bad)))
    picked = take_along_axis(log_softmax(logits[keep].astype(np.float64)), chosen[:, None], axis=1)
    return -picked.mean().item()


def perplexity(logits, targets, ignore_index=None):
    return float(np.exp(np.longdouble(cross_entropy(logits, targets, ignore_index))))
