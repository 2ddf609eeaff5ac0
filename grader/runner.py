"""The parent's side of a worker: it asks, waits with a deadline, and starts a new one when the old one is gone."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import IO, Any

from grader.assembly import Source
from grader.errors import GraderError, ReferenceBroken
from grader.judge import Verdict, first_own_line
from grader.suite import CheckInfo
from grader.syllabus import ROOT, Entry

IMPORT_LIMIT = 20.0
PATIENCE = 120.0  # on top of a check's own limit: importing torch, the reference's side, a slow machine


class WorkerDied(Exception):
    """The worker ended or was ended; `trace` is what the interpreter wrote down last."""

    def __init__(self, code: int, trace: str) -> None:
        super().__init__(trace)
        self.code = code
        self.trace = trace


class Runner:
    """Runs checks in a worker process. One runner serves any number of exercises, one after the other."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._stderr: IO[bytes] | None = None
        self._opened: tuple[Entry, dict[str, Source]] | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def entry(self) -> Entry | None:
        """The exercise that is open."""
        return None if self._opened is None else self._opened[0]

    def open(self, entry: Entry, sources: Mapping[str, Source]) -> Verdict:
        """Build the assembly in the worker and import the learner's module."""
        self._opened = (entry, dict(sources))
        request = {
            "do": "open",
            "stem": entry.stem,
            "suite": str(entry.suite),
            "seed": self.seed,
            "limit": IMPORT_LIMIT,
            "sources": {stem: (str(source.path.resolve()), source.origin) for stem, source in sources.items()},
        }
        return self._verdict(request, IMPORT_LIMIT, f"importing {entry.stem}.py")

    def check(self, info: CheckInfo) -> Verdict:
        """Run one check of the exercise that is open; reopen it first if the worker is gone."""
        assert self._opened is not None
        if self._process is None:
            verdict = self.open(*self._opened)
            if verdict.status != "pass":
                return verdict
        return self._verdict({"do": "check", "name": info.name, "limit": info.limit}, info.limit, "the check")

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process = None
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    def _verdict(self, request: dict[str, Any], limit: float, what: str) -> Verdict:
        try:
            answer = self._ask(request, limit + PATIENCE)
        except WorkerDied as death:
            return self._autopsy(death, limit, what)
        if "broken" in answer:
            kind, _, text = answer["broken"].partition(": ")
            raise ReferenceBroken(text) if kind == "ReferenceBroken" else GraderError(answer["broken"])
        return Verdict(answer["status"], answer["message"], answer["seconds"])

    def _autopsy(self, death: WorkerDied, limit: float, what: str) -> Verdict:
        assert self._opened is not None
        own = {str(source.path.resolve()) for source in self._opened[1].values() if source.origin != "reference"}
        line = first_own_line(death.trace, own)
        where = f" at {line}" if line else ""
        if death.trace.startswith("Timeout") or "\nTimeout (" in death.trace:
            hint = f" It was{where}: does that loop end?" if where else " Does every loop end?"
            return Verdict("timeout", f"Stopped after {limit:g} seconds ({what}).{hint}", limit)
        ended = f"was ended by {_signal_name(-death.code)}" if death.code < 0 else f"ended with exit code {death.code}"
        return Verdict("error", f"The Python process that runs your code {ended}{where} ({what}).")

    def _ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = self._answers.get(timeout=deadline)
        except (BrokenPipeError, OSError):
            line = None
        except queue.Empty:
            process.kill()
            line = None
            self._die("Timeout (the worker did not answer)\n")
        if line is None:
            self._die("")
        assert line is not None
        return dict(json.loads(line))

    def _die(self, note: str) -> None:
        assert self._process is not None
        assert self._stderr is not None
        code = self._process.wait()
        self._stderr.seek(0)
        trace = note + self._stderr.read(1 << 20).decode("utf-8", "replace")
        self.close()
        raise WorkerDied(code, trace)

    def _start(self) -> subprocess.Popen[str]:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the worker
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "grader.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            encoding="utf-8",
        )
        self._answers = queue.Queue()
        threading.Thread(target=_pump, args=(self._process.stdout, self._answers), daemon=True).start()
        return self._process


def _pump(stream: IO[str], answers: queue.Queue[str | None]) -> None:
    """Hand the worker's lines over to the queue, then None when there are no more."""
    try:
        for line in stream:
            answers.put(line)
    except ValueError:
        pass  # the stream was closed under us
    answers.put(None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
