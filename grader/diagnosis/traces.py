"""Traces: what was seen of failing checks, as JSON values, to be kept in a file or sent to another process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from grader.diagnosis.diagnose import Known, Traces, failed
from grader.diagnosis.sketch import sketch
from grader.judging.verdict import Seen
from grader.probing.observation import pack, unpack
from grader.probing.outcome import Failure, Outcome
from grader.store import read_document

NOTHING = Known({}, {})


def read_known(path: Path) -> Known:
    """Return what is recorded in a file of an exercise's misconceptions, by themselves and two at a time.

    The file is one that a store keeps, or came with a release. One that is damaged tells nothing.
    """
    try:
        state = path.stat()
        return _read(path, state.st_mtime_ns, state.st_ino, state.st_size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return NOTHING


@lru_cache(1)
def _read(path: Path, *_state: int) -> Known:
    """Read a file that is in some state: a whole class is compared with the same one."""
    document = read_document(path) or json.loads(path.read_text(encoding="utf-8"))
    return Known(
        {id: unpack_traces(traces) for id, traces in document["singles"].items()},
        {(one, other): unpack_traces(traces) for one, other, traces in document["pairs"] if traces is not None},
        {frozenset(pair) for pair in document["rivals"]},
    )


def pack_traces(traces: Traces) -> dict[str, Any]:
    """The failures among some traces as JSON values."""
    packed = {}
    for name in sorted(failed(traces)):
        seen = traces[name]
        failure = seen.outcome.failure
        packed[name] = {
            "status": seen.status,
            "message": seen.message,
            "value": pack(sketch(seen.outcome.value)),
            "failure": None if failure is None else [failure.type, failure.message],
        }
    return packed


def unpack_traces(packed: Mapping[str, Any]) -> dict[str, Seen]:
    """The traces that `pack_traces` packed."""
    traces = {}
    for name, item in packed.items():
        failure = None if item["failure"] is None else Failure("raised", item["failure"][0], (), item["failure"][1])
        traces[name] = Seen(item["status"], item["message"], Outcome(unpack(item["value"]), failure))
    return traces
