"""Observations that nobody's code has computed: what a submission could send in place of its work."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from grader.probing.observation import Array, Raised

Leaf = Callable[[Any], Any]
EXCHANGES = 100  # of a large observation


def forgeries(want: Any) -> Iterator[tuple[str, Any]]:
    """Observations made up mechanically, with a word on each.

    Some need nothing but the structure of what is expected (all zeros, say); others are the reference's with its pieces
    exchanged, repeated, permuted or frozen.
    """
    for name, value in (("nothing", None), ("an empty dict", {}), ("an empty list", []), ("a zero", 0), ("a text", "")):
        yield name, value
    yield "emptied containers", _emptied(want)
    for name, leaf in FILLINGS.items():
        yield name, filled(want, leaf)
    yield "frozen lists", _frozen(want)
    yield "frozen dicts", _alike(want)
    yield "backwards", _backwards(want)
    for axis in (0, -1):
        yield "rolled", filled(want, partial(_rolled, axis=axis))
        yield "repeated", filled(want, partial(_repeated, axis=axis))
    for exchanged in itertools.islice(_exchanged(want), EXCHANGES):
        yield "exchanged", exchanged


def made_of_the_reference(kind: str) -> bool:
    """Whether a kind of forgery takes an observation that is right to begin with."""
    return kind in ("frozen lists", "frozen dicts", "backwards", "rolled", "repeated", "exchanged", "turned")


def _number(value: float) -> Leaf:
    """A leaf of the same kind and shape, with one value everywhere."""

    def leaf(old: Any) -> Any:
        if isinstance(old, Array) and old.values is not None:
            kind = old.values.dtype.kind
            exact = value if kind in "fc" else 0 if math.isnan(value) else value > 0.5 if kind == "b" else int(value)
            return replace(old, values=np.full(old.values.shape, exact, old.values.dtype))
        if isinstance(old, bool):
            return value > 0.5
        if isinstance(old, int):
            return old if math.isnan(value) else int(value)
        return value if isinstance(old, float) else old

    return leaf


def _mean(old: Any) -> Any:
    if isinstance(old, Array) and old.values is not None and old.values.size:
        return _number(float(np.nan_to_num(old.values.astype(complex).real, posinf=0, neginf=0).mean()))(old)
    return old


def _opposite(old: Any) -> Any:
    if isinstance(old, Array) and old.values is not None:
        return replace(old, values=~old.values if old.values.dtype.kind == "b" else -old.values)
    if isinstance(old, bool):
        return not old
    return -old if isinstance(old, int | float) else old


def _blank(old: Any) -> Any:
    return "" if isinstance(old, str) else b"" if isinstance(old, bytes) else old


def _harmless(old: Any) -> Any:
    """No error where one is expected, or the other way round."""
    if not isinstance(old, Raised):
        return old
    return Raised(None, mentions=old.mentions) if old.type else Raised("Exception", ("Exception", "object"), "")


FILLINGS: dict[str, Leaf] = {
    "NaN": _number(math.nan),
    "zeros": _number(0.0),
    "ones": _number(1.0),
    "a constant": _number(0.3),
    "the mean": _mean,
    "turned": _opposite,
    "blank texts": _blank,
    "errors the other way round": _harmless,
}


def filled(tree: Any, leaf: Leaf) -> Any:
    """The tree with each leaf replaced."""
    if isinstance(tree, dict):
        return {key: filled(item, leaf) for key, item in tree.items()}
    if isinstance(tree, list):
        return [filled(item, leaf) for item in tree]
    return leaf(tree)


def _emptied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _emptied(item) for key, item in tree.items()}
    return [] if isinstance(tree, list) else tree


def _frozen(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _frozen(item) for key, item in tree.items()}
    return [_frozen(tree[0]) for _ in tree] if isinstance(tree, list) and tree else tree


def _alike(tree: Any) -> Any:
    """Entries of a dict that have the same structure, all of them as the first one."""
    if isinstance(tree, list):
        return [_alike(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    first: dict[Any, Any] = {}
    return {key: first.setdefault(outline(item), _alike(item)) for key, item in tree.items()}


def _backwards(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _backwards(item) for key, item in tree.items()}
    return [_backwards(item) for item in reversed(tree)] if isinstance(tree, list) else tree


def _rolled(leaf: Any, axis: int) -> Any:
    if isinstance(leaf, Array) and leaf.values is not None and leaf.values.ndim:
        return replace(leaf, values=np.roll(leaf.values, 1, axis))
    return leaf


def _repeated(leaf: Any, axis: int) -> Any:
    if isinstance(leaf, Array) and leaf.values is not None and leaf.values.ndim and leaf.values.size:
        first = np.take(leaf.values, [0], axis)
        return replace(leaf, values=np.repeat(first, leaf.values.shape[axis], axis))
    return leaf


def _exchanged(tree: Any) -> Iterator[Any]:
    """The tree with two of its entries exchanged that have the same structure, in turn."""
    if not isinstance(tree, dict | list):
        return
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))[:8]
    for place, one in enumerate(keys):
        for other in keys[place + 1 :]:
            if outline(tree[one]) == outline(tree[other]):
                swapped = dict(tree) if isinstance(tree, dict) else list(tree)
                swapped[one], swapped[other] = tree[other], tree[one]
                yield swapped
    for key in keys:
        for inner in _exchanged(tree[key]):
            changed = dict(tree) if isinstance(tree, dict) else list(tree)
            changed[key] = inner
            yield changed


def outline(tree: Any) -> Any:
    """The structure of an observation, to be compared with another."""
    if isinstance(tree, dict):
        return ("dict", *((key, outline(item)) for key, item in tree.items()))
    if isinstance(tree, list):
        return ("list", *map(outline, tree))
    if isinstance(tree, Array):
        return (tree.kind, tree.dtype, tree.shape, tree.device)
    return type(tree).__name__
