"""Sketches: small stand-ins for observations, so that a file with hundreds of them stays small.

A large array becomes a few sums of its numbers with fixed signs. Where two sketches agree, the arrays do, for all that
matters to a diagnosis: a difference in any of their elements moves every one of the sums.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from grader.probing.observation import Array

KEPT = 16  # an array of so many numbers is kept as it is
SUMS = 8  # numbers in the sketch of a larger one
MANY = 40  # different whole numbers: more are not listed
OFTEN = 20  # draws for each of the values that can be drawn, before one that is missing says something
APART = 0.5  # how far two spreads may lie apart
PLAIN = frozenset({int, float, str, bool, type(None)})


def sketch(frozen: Any) -> Any:
    """An observation with small stand-ins for its large arrays; the sketch of a sketch is the same."""
    if isinstance(frozen, dict):
        return {key: sketch(item) for key, item in frozen.items()}
    if isinstance(frozen, list):
        return frozen if is_plain(frozen) else [sketch(item) for item in frozen]
    if not isinstance(frozen, Array) or frozen.values is None or frozen.values.size <= KEPT:
        return frozen
    values = frozen.values.ravel()
    exact = values.dtype.kind in "iub"
    finite = np.isfinite(values)
    signs = np.random.RandomState(values.size).randint(0, 2, (SUMS, values.size)) * 2 - 1  # the same everywhere
    sums = signs @ (values.astype(np.int64) if exact else np.where(finite, values, 0.0))
    found = {
        "shape": list(frozen.shape),
        "not finite": [int(np.isnan(values).sum()), int((~finite).sum())],
        "sums": Array(frozen.kind, frozen.dtype, (SUMS,), frozen.device, sums),
    }
    drawn = np.unique(values)
    if exact and len(drawn) <= MANY:
        return found | {"drawn": [int(value) for value in drawn]}
    if finite.any():
        found["spread"] = Array(frozen.kind, frozen.dtype, (), frozen.device, np.array(values[finite].std()))
    return found


def is_plain(items: list[Any]) -> bool:
    """Return whether a list holds plain values alone: there may be thousands, and nothing in them to take apart."""
    return PLAIN.issuperset(map(type, items))


def is_sketch(frozen: Any) -> bool:
    """Return whether this stands for a large array."""
    return isinstance(frozen, dict) and "sums" in frozen and "not finite" in frozen


def akin(mine: Any, theirs: Any) -> bool:
    """Return whether two sketches, or arrays, could be random results of one source, by what chance leaves alone.

    Many draws from few values give each of them sooner or later; many numbers have a spread that hardly moves.
    """
    if not (is_sketch(mine) and is_sketch(theirs)) or mine["shape"] != theirs["shape"]:
        return True
    often = math.prod(mine["shape"]) / OFTEN
    one, other = mine.get("drawn"), theirs.get("drawn")
    if one is not None and other is not None:
        return bool(one == other) or often < max(len(one), len(other))
    one, other = mine.get("spread"), theirs.get("spread")
    if one is not None and other is not None and often > 1:
        return bool(np.isclose(one.values, other.values, rtol=APART, atol=1e-12))
    return True
