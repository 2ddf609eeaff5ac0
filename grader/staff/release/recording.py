"""Recording: what the reference returns from the public checks, and what known mistakes look like there, as numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from grader.checks import Check
from grader.content.syllabus import Entry
from grader.judging.observation_store import needed, pack_observation
from grader.judging.reference import Code
from grader.misconceptions.catalogue import catalogue
from grader.misconceptions.recordings import quick_checks, traces_file, traces_of
from grader.probing.random import derive
from grader.store import read_document
from grader.workers.process import WorkerProcess
from grader.workers.runner import Runner


def observations(stem: str, checks: Mapping[str, Check], reference: Code, seed: int) -> dict[str, Any]:
    """Return what each check gets from the reference, as far as a verdict depends on it, and what the check calls."""
    recorded = {}
    for name, check in checks.items():
        value, calls = reference.observed(stem, check, derive(seed, stem, name), hidden=False)
        recorded[name] = pack_observation(needed(check, value), calls)
    return recorded


def traces(entry: Entry, checks: Mapping[str, Check], reference: Code, seed: int) -> dict[str, Any] | None:
    """Return what some checks see of each misconception, and of each two that meet in a check; None if there are none.

    The whole project records pairs when it meets a riddle; a release can't, and so has them all.
    """
    known = traces_file(reference, entry, seed, WorkerProcess)
    if known is None:
        return None
    document = read_document(known)
    everything = document["singles"]
    singles = {id: found for id in everything if (found := _restricted(everything[id], checks))}
    rivals = [pair for pair in document["rivals"] if singles.keys() >= set(pair)]
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
    return {"singles": singles, "pairs": pairs, "rivals": rivals}


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
