"""The process in which checks run *here*: it can be stopped, may crash or exit, and takes nothing along when it does.

It reads requests and writes answers, one JSON document a line, on the pipes that were its stdin and stdout. Code under
test has neither: it finds an empty stdin, and what it prints is recorded by the judge. When a limit is reached, the
interpreter itself writes down where every thread stands and ends the process, even inside a loop in C.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from grader.checks import Check
from grader.content.edition import manifest
from grader.diagnosis.diagnose import PASSES, diagnose
from grader.diagnosis.traces import pack_traces, read_known, unpack_traces
from grader.judging.judge import Judge
from grader.judging.reference import Reference, here
from grader.judging.verdict import Verdict
from grader.probing.assembly import Assembly, Source
from grader.probing.stopwatch import stopwatch
from grader.workers.libraries import libraries
from grader.workers.serving import serve


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


class Checker:
    """Serves requests: `open` an exercise (build the assemblies, import it), then `check` by name."""

    remembers = True  # from one process to the next, what the reference takes long for

    def __init__(self) -> None:
        self.judge: Judge | None = None
        self.suite: ModuleType | None = None
        self.suites: dict[Path, ModuleType] = {}
        self.references: dict[bool, Reference] = {}  # that of the exercises, and that of their stretch goals

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "open":
                return self.open(request).document()
            case "check":
                return self.check(request).document() | {"seen": self.seen(request["name"])}
            case "diagnose":
                return {"found": self.diagnose(request)}
        raise ValueError(f"no request {request['do']!r}")

    def seen(self, name: str) -> dict[str, Any]:
        """Return what was seen of a check that fails, packed, by its name."""
        seen = self.judge.seen.get(name) if self.judge is not None else None
        return {} if seen is None else pack_traces({name: seen})

    def diagnose(self, request: dict[str, Any]) -> dict[str, Any]:
        """Compare what was seen of an exercise with what the known misconceptions look like.

        It was this process that saw it, or one before.
        """
        reference = self.prepare(Path(request["suite"]), request["stem"])
        checks = {name: check for name, check in vars(self.suite).items() if isinstance(check, Check)}
        learner = dict.fromkeys(request["passed"], PASSES) | unpack_traces(request["seen"])
        judge = Judge(request["stem"], Assembly({}), reference, request["seed"])
        known = self.judge.seen if self.judge is not None and self.judge.stem == judge.stem else {}
        expected = {name: known[name].want if name in known else judge.expected(checks[name]) for name in learner}
        found = diagnose(checks, learner, expected, read_known(Path(request["known"])))
        return {name: (each.kind, each.ids) for name, each in found.items()}

    def open(self, request: dict[str, Any]) -> Verdict:
        if self.judge is not None:
            self.judge.close()
        reference = self.prepare(Path(request["suite"]), request["stem"], request["stretch"])
        given = request["sources"].items()
        sources = {stem: Source(stem, Path(path), text, origin) for stem, (path, text, origin) in given}
        self.judge = self.make_judge(request, Assembly(sources, libraries().names), reference)
        return self.judge.load(request["limit"])

    def make_judge(self, request: dict[str, Any], learner: Assembly, reference: Reference) -> Judge:
        """A judge that runs the code under test in this process."""
        learner.__enter__()
        owned, stretch = manifest() is None, request["stretch"]
        return Judge(request["stem"], learner, reference, request["seed"], stopwatch, owned, stretch)

    def prepare(self, suite: Path, stem: str, stretch: bool = False) -> Reference:
        """Import a suite, of an exercise or of its stretch goals, and its reference, once; returns the reference."""
        if stretch not in self.references:
            self.references[stretch] = here(self.remembers, stretch).__enter__()
        if suite not in self.suites:
            self.suites[suite] = import_suite(suite)
        self.suite = self.suites[suite]
        self.references[stretch].warm(stem)
        return self.references[stretch]

    def check(self, request: dict[str, Any]) -> Verdict:
        assert self.judge is not None
        check = getattr(self.suite, request["name"])
        assert isinstance(check, Check)
        return self.judge.judge(check, request["limit"], request["hidden"])


def main() -> None:
    """Serve until stdin closes."""
    serve(Checker().answer)


if __name__ == "__main__":
    main()
