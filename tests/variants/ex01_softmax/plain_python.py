"""Plain Python inside: lists of floats, math.exp and math.fsum, one row after the other, with guards.

Good for reading: every step is a loop over one list. NumPy does the same many times faster.
"""

from __future__ import annotations

import math

import numpy as np


def _along(function, x, axis):
    x = np.asarray(x)
    dtype = x.dtype if np.issubdtype(x.dtype, np.floating) else np.dtype(float)
    moved = np.moveaxis(x, axis, -1)
    rows = [function([float(value) for value in row]) for row in moved.reshape(-1, moved.shape[-1])]
    return np.moveaxis(np.array(rows).reshape(moved.shape), -1, axis).astype(dtype)


def _log_sum_exp(row):
    top = max(row)
    return top, math.log(math.fsum(math.exp(value - top) for value in row))


def softmax(x, axis=-1):
    def shares(row):
        top = max(row)
        exps = [math.exp(value - top) for value in row]
        total = math.fsum(exps)
        return [value / total for value in exps]

    return _along(shares, x, axis)


def log_softmax(x, axis=-1):
    def logs(row):
        top, rest = _log_sum_exp(row)
        return [value - top - rest for value in row]

    return _along(logs, x, axis)


def cross_entropy(logits, targets, ignore_index=None):
    total, count = 0.0, 0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        if ignore_index is not None and target == ignore_index:
            continue
        if target not in range(len(row)):
            raise ValueError(f"unknown token {target}")
        top, rest = _log_sum_exp(row)
        total -= row[target] - top - rest
        count += 1
    return total / count if count else 0.0


def perplexity(logits, targets, ignore_index=None):
    return math.exp(cross_entropy(logits, targets, ignore_index))
