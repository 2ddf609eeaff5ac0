"""watch-latency: seconds from a save to the verdict in a running watch, beside plain pytest on the same checks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.cold_test import REFERENCE, seconds
from bench.measure import Row, in_turn
from grader.content.syllabus import find, load
from grader.files import ROOT

(EX,) = find(["05"])


class Watched:
    """A watch of a copy of the reference, read line by line as a pipe gives it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / EX.solution.name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "grader", "watch", EX.label, "--exercises", str(folder)],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self.await_pass()

    def save(self) -> float:
        """Change the file, and the seconds until it is said that it passes."""
        text = self.file.read_text(encoding="utf-8")
        started = time.perf_counter()
        self.file.write_text(text + "# saved again\n", encoding="utf-8")
        self.await_pass()
        return time.perf_counter() - started

    def await_pass(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if f"{EX.label} {EX.title}: passes" in line:
                return
        raise RuntimeError("the watch ended")  # its stderr says why

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def rows(runs: int) -> Iterator[Row]:
    """One row: everything that a learner waits for, from the save to the line on the screen.

    All exercises are there, so each save interrupts the grading of those that are built on this one.
    """
    with tempfile.TemporaryDirectory() as folder:
        for entry in load():
            shutil.copy(entry.solution, folder)
        watched = Watched(Path(folder))
        try:
            ours, theirs = in_turn(
                watched.save, lambda: seconds("-m", "pytest", "-q", f"tests/{EX.suite.name}", *REFERENCE), 3 * runs
            )
        finally:
            watched.close()
    yield Row("watch-latency", ours, theirs, "s", 3 * runs, "theirs: pytest; at least 10x")
