"""Recording: what the reference returns from the public checks, and what known mistakes look like there, as numbers."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from grader.checks import Check
from grader.misconceptions.catalogue import catalogue
from grader.misconceptions.known import quick_checks, traces_of
from grader.observation import Array
from grader.process import WorkerProcess
from grader.random import derive
from grader.reference import Code
from grader.release.recorded import pack_observation
from grader.runner import Runner
from grader.syllabus import Entry

MANY = 500  # numbers: what is larger and not looked at is not written down


def observations(stem: str, checks: Mapping[str, Check], reference: Code, seed: int) -> dict[str, Any]:
    """What the reference returns from each check, as far as a verdict depends on it, and what the check calls."""
    recorded = {}
    for name, check in checks.items():
        value, calls = reference.observed(stem, check, derive(seed, stem, name), hidden=False)
        recorded[name] = pack_observation(needed(check, value), calls)
    return recorded


def needed(check: Check, value: Any) -> Any:
    """An observation without what no verdict depends on.

    All of it counts where values are compared. Elsewhere there is what the check's `explain` looks at, and, where the
    structure is compared, the structure of the rest.
    """
    if check.compare == "values" or not isinstance(value, dict):
        return value
    used = looked_at(check.explanation) if check.explanation is not None else set()
    if used is None:
        return value
    if check.compare == "nothing":
        return {key: item for key, item in value.items() if key in used}
    return {key: item if key in used else hollow(item) for key, item in value.items()}


def looked_at(explanation: Callable[..., Any]) -> set[str] | None:
    """The entries of the reference's observation that an `explain` uses; None if it uses the whole."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(explanation))).body[0]
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


def traces(entry: Entry, checks: Mapping[str, Check], reference: Code, seed: int) -> dict[str, Any] | None:
    """What some checks see of each misconception, and of each two that meet in a check; None if there are none.

    The whole project records pairs when it meets a riddle; a release can't, and so has them all.
    """
    known = reference.known(entry, seed, WorkerProcess)
    if known is None:
        return None
    everything = json.loads(known.read_text(encoding="utf-8"))["singles"]
    singles = {id: found for id in everything if (found := _restricted(everything[id], checks))}
    mistakes = {each.id: each for each in catalogue(entry)}
    quick = [info for info in quick_checks(entry) if info.name in checks]
    pairs = []
    with Runner(seed) as runner:
        for one, other in combinations(singles, 2):
            shared = [info for info in quick if info.name in singles[one].keys() & singles[other].keys()]
            both = [mistakes[one], mistakes[other]]
            seen = traces_of(entry, reference.sources, both, shared, runner) if shared else None
            if seen is not None:
                pairs.append([one, other, _restricted(seen, checks)])
    return {"singles": singles, "pairs": pairs}


def _restricted(found: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    kept = {}
    for name, seen in found.items():
        if name in checks:
            by_value = checks[name].compare == "values"
            kept[name] = seen | ({"message": ""} if by_value else {"value": None})
    return kept


def text(value: Any, depth: int) -> str:
    """A JSON document with a line for each item down to some depth, so that a difference shows as a line."""
    return f"{_lines(value, depth, '')}\n"


def _lines(value: Any, depth: int, margin: str) -> str:
    if depth == 0 or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = margin + " "
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_lines(item, depth - 1, inner)}" for key, item in value.items()]
    else:
        items = [_lines(item, depth - 1, inner) for item in value]
    edges = "{}" if isinstance(value, dict) else "[]"
    return edges[0] + "\n" + ",\n".join(inner + item for item in items) + f"\n{margin}{edges[1]}"
