"""Observations of the reference that are kept in files: as much of them as a verdict depends on."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from grader.checks import Check
from grader.judging.calls import Calls
from grader.probing.observation import Array, pack, unpack
from grader.probing.trees import parse
from grader.store import Store

NOTED = ("names", "origins", "parts", "count", "lines")  # what is kept of calls
MANY = 500  # numbers: what is larger and not looked at is not written down


class Memory:
    """The reference's observations of probes that take long, by a fingerprint of all that decides them.

    Losing it costs time, nothing else.
    """

    KEPT = 40  # files

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, digest: str, hidden: bool) -> tuple[Any, Calls] | None:
        """An observation and the calls that the probe made; None if nothing is known, or it can't be read."""
        try:
            return unpack_observation(self.store.read(self._name(digest)), hidden)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, digest: str, check: Check, value: Any, calls: Calls) -> None:
        """Keep an observation, and of the older ones the youngest."""
        if self.store.write(self._name(digest), pack_observation(needed(check, value), calls)):
            self.store.keep_youngest("observed/*.json", self.KEPT)

    def _name(self, digest: str) -> str:
        return f"observed/{digest[:32]}.json"


def pack_observation(value: Any, calls: Calls) -> dict[str, Any]:
    """Return what is recorded of one check, as JSON values."""
    return {"calls": {key: getattr(calls, key) for key in NOTED}, "returns": pack(value)}


def unpack_observation(packed: Mapping[str, Any], hidden: bool = False) -> tuple[Any, Calls]:
    """Return what `pack_observation` packed."""
    calls = Calls(secret=hidden)
    for key in NOTED:
        setattr(calls, key, packed["calls"][key])
    return unpack(packed["returns"]), calls


def needed(check: Check, value: Any) -> Any:
    """An observation without what no verdict depends on.

    All of it counts where values are compared. Elsewhere there is what the check's `explain` looks at, and the
    structure of the rest.
    """
    if check.compare == "values" or not isinstance(value, dict):
        return value
    used = looked_at(check.explanation) if check.explanation is not None else set()
    if used is None:
        return value
    return {key: item if key in used else hollow(item) for key, item in value.items()}


def looked_at(explanation: Callable[..., Any]) -> set[str] | None:
    """The entries of the reference's observation that an `explain` uses; None if it uses the whole."""
    tree = parse(textwrap.dedent(inspect.getsource(explanation))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    want = tree.args.args[1].arg
    named = {
        id(node.value): node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    }
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == want]
    return {named[id(node)] for node in uses} if all(id(node) in named for node in uses) else None


def hollow(value: Any) -> Any:
    """An observation with zeros in the place of many finite numbers."""
    if isinstance(value, dict):
        return {key: hollow(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hollow(item) for item in value]
    if (
        isinstance(value, Array)
        and value.values is not None
        and value.values.size > MANY
        and np.isfinite(value.values).all()
    ):
        return Array(value.kind, value.dtype, value.shape, value.device, np.zeros_like(value.values))
    return value
