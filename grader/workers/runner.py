"""The parent's side of a worker: it asks, waits with a deadline, and starts a new one when the old one is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from grader.content.suite import CheckInfo
from grader.content.syllabus import Entry
from grader.diagnosis.diagnose import Diagnosis
from grader.errors import GraderError, ReferenceBroken
from grader.judging.verdict import Verdict
from grader.probing.assembly import Source
from grader.results import Evidence, Isolation
from grader.workers.autopsy import autopsy
from grader.workers.process import Worker, WorkerDied, WorkerProcess

IMPORT_LIMIT = 20.0
PATIENT = 2  # checks of an exercise that may run out of time before the others have less of it
QUICK = 2.0  # seconds that a check then has, unless it is a slow one: a loop need not cost the time of all checks
PATIENCE = 120.0  # on top of a check's own limit: importing torch, the reference's side, a slow machine


class Runner:
    """Runs checks in a worker process. One runner serves any number of exercises, one after the other."""

    def __init__(self, seed: int, launch: Callable[[], Worker] = WorkerProcess) -> None:
        self.seed = seed
        self._launch = launch
        self._worker: Worker | None = None
        self._opened: tuple[Entry, dict[str, Source]] | None = None
        self._timeouts = 0  # in the exercise that is open
        self._passed: set[str] = set()  # its checks that pass

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def isolation(self) -> Isolation:
        """Where the code under test runs."""
        return "here"

    @property
    def entry(self) -> Entry | None:
        """The exercise that is open."""
        return None if self._opened is None else self._opened[0]

    def open(self, entry: Entry, sources: Mapping[str, Source]) -> Verdict:
        """Build the assembly in the worker and import the learner's module."""
        opened = (entry, dict(sources))
        if opened != self._opened:
            self._timeouts = 0
            self._passed = set()
        self._opened = opened
        return self._verdict(self._request_open(entry, sources), IMPORT_LIMIT, f"importing {entry.stem}.py")

    def _request_open(self, entry: Entry, sources: Mapping[str, Source]) -> dict[str, Any]:
        return {
            "do": "open",
            "stem": entry.stem,
            "suite": str(entry.suite),
            "seed": self.seed,
            "limit": IMPORT_LIMIT,
            "forbids": entry.forbids,
            "needs": entry.needs,
            "sources": {
                stem: (str(source.path.resolve()), source.text, source.origin) for stem, source in sources.items()
            },
        }

    def check(self, info: CheckInfo, limit: float | None = None) -> Verdict:
        """Run one check of the exercise that is open; reopen it first if the worker is gone."""
        assert self._opened is not None
        if self._worker is None:
            verdict = self.open(*self._opened)
            if verdict.status != "pass":
                return verdict
        limit = info.limit if limit is None else min(limit, info.limit)
        if self._timeouts >= PATIENT and not info.slow:
            limit = min(limit, QUICK)
        request = {"do": "check", "name": info.name, "limit": limit, "hidden": info.hidden}
        verdict = self._verdict(request, limit, "the check")
        self._timeouts += verdict.status == "timeout"
        if verdict.status == "pass":
            self._passed.add(info.name)
        return verdict

    def seen(self) -> dict[str, Any]:
        """The failures of the exercise that is open, packed; what a worker saw that is gone is lost."""
        return {} if self._worker is None else dict(self._ask({"do": "seen"}, PATIENCE)["seen"])

    def diagnose(self, known: Path) -> dict[str, Diagnosis]:
        """Compare the failures of the exercise that is open with recorded ones; a worker that is gone names nothing."""
        if self._worker is None:
            return {}
        request = {"do": "diagnose", "known": str(known), "passed": sorted(self._passed)}
        try:
            found = self._ask(request, PATIENCE).get("found", {})
        except WorkerDied:
            return {}
        return {name: Diagnosis(kind, tuple(ids)) for name, (kind, ids) in found.items()}

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _verdict(self, request: dict[str, Any], limit: float, what: str) -> Verdict:
        try:
            answer = self._ask(request, limit + PATIENCE)
        except WorkerDied as death:
            return self._autopsy(death, limit, what)
        if "broken" in answer:
            kind, _, text = answer["broken"].partition(": ")
            raise ReferenceBroken(text) if kind == "ReferenceBroken" else GraderError(answer["broken"])
        return Verdict(answer["status"], answer["message"], answer["seconds"], Evidence(**answer["evidence"]))

    def _autopsy(self, death: WorkerDied, limit: float, what: str) -> Verdict:
        assert self._opened is not None
        paths = [str(source.path.resolve()) for source in self._opened[1].values() if source.origin != "reference"]
        found = autopsy(death.trace, death.code, limit, what, dict(zip(paths, paths, strict=True)))
        return Verdict("timeout", found.message, limit) if found.kind == "timeout" else Verdict("error", found.message)

    def _ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        if self._worker is None:
            self._worker = self._launch()
        try:
            return self._worker.ask(request, deadline)
        except WorkerDied:
            self._worker = None
            raise
