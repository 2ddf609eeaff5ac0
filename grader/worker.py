"""The process in which checks run *here*: it can be stopped, may crash or exit, and takes nothing along when it does.

It reads requests and writes answers, one JSON document a line, on the pipes that were its stdin and stdout. Code under
test has neither: it finds an empty stdin, and what it prints is recorded by the judge. When a limit is reached, the
interpreter itself writes down where every thread stands and ends the process, even inside a loop in C.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from grader.assembly import Assembly, Source
from grader.checks import Check
from grader.judge import Judge, Verdict
from grader.results import SCHEMA_VERSION


@contextmanager
def stopwatch(seconds: float) -> Iterator[None]:
    """End the process, with a trace of where it stands, when the block takes longer than `seconds`."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def import_suite(path: Path) -> ModuleType:
    """Import a test file by its path, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"suite_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    return module


class Worker:
    """Serves requests: `open` an exercise (build the assemblies, import it), then `check` by name."""

    def __init__(self) -> None:
        self.judge: Judge | None = None
        self.suite: ModuleType | None = None
        self.suites: dict[str, ModuleType] = {}
        self.reference: Assembly | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        verdict = self.open(request) if request["do"] == "open" else self.check(request["name"], request["limit"])
        return {
            "schema": SCHEMA_VERSION,
            "status": verdict.status,
            "message": verdict.message,
            "seconds": verdict.seconds,
        }

    def open(self, request: dict[str, Any]) -> Verdict:
        if self.judge is not None:
            self.judge.learner.close()
        if self.reference is None:
            self.reference = Assembly.reference()
            self.reference.__enter__()
        path = request["suite"]
        if path not in self.suites:
            self.suites[path] = import_suite(Path(path))
        self.suite = self.suites[path]
        self.reference.module(request["stem"])
        sources = {stem: Source.read(Path(file), origin) for stem, (file, origin) in request["sources"].items()}
        learner = Assembly(sources)
        learner.__enter__()
        self.judge = Judge(request["stem"], learner, self.reference, request["seed"], stopwatch)
        return self.judge.load(request["limit"])

    def check(self, name: str, limit: float) -> Verdict:
        assert self.judge is not None
        check = getattr(self.suite, name)
        assert isinstance(check, Check)
        return self.judge.judge(check, limit)


def main() -> None:
    """Serve until stdin closes."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    sys.stdin = os.fdopen(os.dup(null), encoding="utf-8")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable(file=2)
    worker = Worker()
    for line in requests:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            answer = {"broken": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
