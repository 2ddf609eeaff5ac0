"""cold-test: seconds from `make test` to the verdict in a fresh process, beside plain pytest on the same checks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.measure import Row, in_turn
from grader.content.syllabus import load
from grader.files import ROOT

REFERENCE = ("--exercises", "solutions")


def seconds(*arguments: str) -> float:
    """Wall time of a fresh Python process, which has to succeed."""
    started = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def rows(runs: int) -> Iterator[Row]:
    """One row for each exercise, then one for all of them."""
    for entry in load():
        ours, theirs = in_turn(
            lambda ex=entry: seconds("-m", "grader", "test", ex.label, *REFERENCE),  # type: ignore[misc]
            lambda ex=entry: seconds("-m", "pytest", "-q", f"tests/{ex.suite.name}", *REFERENCE),  # type: ignore[misc]
            runs,
        )
        yield Row(f"cold-test {entry.label}", ours, theirs, "s", runs, "theirs: pytest")
    suites = [f"tests/{entry.suite.name}" for entry in load()]
    ours, theirs = in_turn(
        lambda: seconds("-m", "grader", "test", *REFERENCE),
        lambda: seconds("-m", "pytest", "-q", *suites, *REFERENCE),
        max(1, runs // 3),
        warm_up=0,
    )
    yield Row("cold-test all", ours, theirs, "s", max(1, runs // 3), "theirs: pytest")
