"""Sketches: small stand-ins for observations, so that a file with hundreds of them stays small.

A large array becomes a few sums of its numbers with fixed signs. Where two sketches agree, the arrays do, for all that
matters to a diagnosis: a difference in any of their elements moves every one of the sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from grader.probing.observation import Array

KEPT = 16  # an array of so many numbers is kept as it is
SUMS = 8  # numbers in the sketch of a larger one


def sketch(frozen: Any) -> Any:
    """An observation with small stand-ins for its large arrays; the sketch of a sketch is the same."""
    if isinstance(frozen, dict):
        return {key: sketch(item) for key, item in frozen.items()}
    if isinstance(frozen, list):
        return [sketch(item) for item in frozen]
    if not isinstance(frozen, Array) or frozen.values is None or frozen.values.size <= KEPT:
        return frozen
    values = frozen.values.ravel()
    exact = values.dtype.kind in "iub"
    finite = np.isfinite(values)
    signs = np.random.RandomState(values.size).randint(0, 2, (SUMS, values.size)) * 2 - 1  # the same everywhere
    sums = signs @ (values.astype(np.int64) if exact else np.where(finite, values, 0.0))
    return {
        "shape": list(frozen.shape),
        "not finite": [int(np.isnan(values).sum()), int((~finite).sum())],
        "sums": Array(frozen.kind, frozen.dtype, (SUMS,), frozen.device, sums),
    }
