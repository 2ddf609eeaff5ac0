"""The parent's side of a worker: it asks, waits with a deadline, and starts a new one when the old one is gone."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from grader.content.suite import CheckInfo
from grader.content.syllabus import Entry, load
from grader.diagnosis.diagnose import Diagnosis
from grader.errors import GraderError, ReferenceBroken
from grader.files import real, shown
from grader.judging.definitions import around
from grader.judging.rules import Look, Rules
from grader.judging.verdict import Verdict
from grader.probing.assembly import Source
from grader.probing.stopwatch import generous
from grader.results import Evidence, Isolation, Status
from grader.workers.autopsy import autopsy
from grader.workers.libraries import SPOKEN
from grader.workers.process import Worker, WorkerDied, WorkerProcess
from grader.written import imported

IMPORT_LIMIT = 20.0
TRIES = 2  # of a diagnosis, or of a check in a fresh worker, if the worker dies
PATIENT = 2  # checks of an exercise that may run out of time before the others have less of it
QUICK = 2.0  # seconds that a check then has, unless it is a slow one: a loop need not cost the time of all checks
PATIENCE = 120.0  # on top of a check's own limit: importing torch, the reference's side, a slow machine
SPOILED = (  # said of code under test, once the same has worked without it
    "The judge breaks in the process in which your code runs, and does not without your code: {}\n"
    "Does your code assign to something of Python's own, NumPy's or PyTorch's, as in `np.exp = ...`?"
)
ABSENT = r"\w+: (?:No module named|cannot import name) '(\w+)'( from 'exercises'|$)"  # an import that fails


class Runner:
    """Runs checks in a worker process. One runner serves any number of exercises, one after the other."""

    def __init__(self, seed: int, launch: Callable[[], Worker] = WorkerProcess) -> None:
        self.seed = seed
        self._launch = launch
        self._worker: Worker | None = None
        self._opened: tuple[Entry, dict[str, Source]] | None = None
        self._timeouts = 0  # in the exercise that is open
        self._used = False  # whether the worker has run a check since it opened the exercise
        self.statuses: dict[str, Status] = {}  # of its checks
        self.seen: dict[str, Any] = {}  # its failures, packed: they outlive the worker that saw them

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def isolation(self) -> Isolation:
        """Return where the code under test runs."""
        return "here"

    @property
    def entry(self) -> Entry | None:
        """The exercise that is open."""
        return None if self._opened is None else self._opened[0]

    def imported(self, stem: str, text: str, stems: Collection[str]) -> frozenset[str]:
        """The modules among `stems` that a source may import.

        Raises:
            NotLookedAt: it can't be looked at.
        """
        del stem
        return imported(text, stems)

    def look(self, stem: str, texts: Mapping[str, str], forbids: Sequence[str], asked: Collection[str]) -> Look:
        """Look for what is off limits in the texts that an exercise is made of; see `Rules`.

        Raises:
            NotLookedAt: one of them can't be looked at.
        """
        return Rules(stem, texts, forbids, asked).look()

    def open(self, entry: Entry, sources: Mapping[str, Source]) -> Verdict:
        """Build the assembly in the worker and import the learner's module."""
        opened = (entry, dict(sources))
        if opened != self._opened:
            self._timeouts = 0
            self.statuses, self.seen = {}, {}
        self._opened = opened
        self._used = False
        try:
            return self._verdict(self._request_open(entry, sources), IMPORT_LIMIT)
        except WorkerDied as death:
            return self._autopsy(death, IMPORT_LIMIT, f"importing {entry.stem}.py")

    def _request_open(self, entry: Entry, sources: Mapping[str, Source]) -> dict[str, Any]:
        return {
            "do": "open",
            "stem": entry.stem,
            "suite": str(entry.suite),
            "stretch": entry.stretch,
            "seed": self.seed,
            "limit": IMPORT_LIMIT,
            "forbids": entry.forbids,
            "operators": entry.operators,
            "sources": {stem: (str(real(source.path)), source.text, source.origin) for stem, source in sources.items()},
        }

    def check(self, info: CheckInfo, limit: float | None = None) -> Verdict:
        """Run one check of the exercise that is open; reopen it first if the worker is gone.

        A worker that dies may do so for what an earlier check has left in it: then the check is run once more, in a
        fresh one. So it is if it dies there, for a time that was set at the import and is up, say.
        """
        assert self._opened is not None
        limit = info.limit if limit is None else min(limit, info.limit)
        if self._timeouts >= PATIENT and not info.slow:
            limit = min(limit, QUICK)
        request = {"do": "check", "name": info.name, "limit": limit, "hidden": info.hidden}
        fresh = 0  # workers in which it has died though nothing else had been run there
        while True:
            if self._worker is None:
                verdict = self.open(*self._opened)
                if verdict.status != "pass":
                    return verdict
            used, self._used = self._used, True
            try:
                verdict = self._verdict(request, limit)
            except WorkerDied as death:
                verdict = self._autopsy(death, limit, "the check")
                fresh += not used
                if verdict.status != "timeout" and fresh < TRIES:
                    continue
            self._timeouts += verdict.status == "timeout"
            self.statuses[info.name] = verdict.status
            return verdict

    def diagnose(self, known: Path) -> dict[str, Diagnosis]:
        """Compare the failures of the exercise that is open with recorded ones; no code under test has a part in it.

        A worker in which such code still runs may die meanwhile: then a fresh one does it.
        """
        if self.entry is None or not self.seen:
            return {}
        request = {
            "do": "diagnose",
            "stem": self.entry.stem,
            "suite": str(self.entry.suite),
            "seed": self.seed,
            "known": str(known),
            "passed": sorted(name for name, status in self.statuses.items() if status == "pass"),
            "seen": self.seen,
        }
        for _ in range(TRIES):
            with contextlib.suppress(WorkerDied):
                found = self._ask(request, PATIENCE).get("found", {})
                return {name: Diagnosis(kind, tuple(ids)) for name, (kind, ids) in found.items()}
        return {}

    def recall(self, entry: Entry, statuses: Mapping[str, Status], seen: Mapping[str, Any]) -> None:
        """Take up what was seen of an exercise before, as if it had just been run: for a diagnosis."""
        self._opened = entry, {}
        self.statuses, self.seen = dict(statuses), dict(seen)

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _verdict(self, request: dict[str, Any], limit: float) -> Verdict:
        """Ask for a verdict, and keep what was seen.

        Raises:
            WorkerDied: there is none.
        """
        answer = self._ask(request, generous(limit) + PATIENCE)
        if "broken" in answer and self.isolation == "here":
            answer = self._again(request, limit)
        if "broken" in answer:
            kind, _, text = answer["broken"].partition(": ")
            raise ReferenceBroken(text) if kind == "ReferenceBroken" else GraderError(answer["broken"])
        self.seen.update(answer.get("seen", {}))
        verdict = Verdict.of_document(answer)
        return replace(verdict, message=verdict.message + self._why_absent(verdict.message))

    def _again(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """The answer where the judge itself broke in a process that it shares with code under test.

        What an earlier exercise has left in there is gone in a fresh one. If the judge breaks there, too, but does not
        with an empty module, then the code under test has broken it, and that is the verdict.

        Raises:
            WorkerDied: there is none.
        """
        assert self._opened is not None
        entry, sources = self._opened
        answer = self._afresh(request, limit, sources)
        if "broken" not in answer:
            return answer
        empty = replace(sources[entry.stem], text="", code=None)
        without = self._afresh(request, limit, {entry.stem: empty})
        self.close()
        if "broken" in without:
            return without
        return Verdict("error", SPOILED.format(answer["broken"].strip().splitlines()[-1])).document()

    def _afresh(self, request: dict[str, Any], limit: float, sources: Mapping[str, Source]) -> dict[str, Any]:
        """The answer of a fresh worker that has these sources open."""
        assert self._opened is not None
        self.close()
        opened = self._ask(self._request_open(self._opened[0], sources), generous(IMPORT_LIMIT) + PATIENCE)
        if request["do"] == "open" or opened.get("status") != "pass":
            return opened
        return self._ask(request, generous(limit) + PATIENCE)

    def _why_absent(self, message: str) -> str:
        """A sentence about a module that could not be imported."""
        found = re.match(ABSENT, message, re.MULTILINE)
        if found is None or self.entry is None:
            return ""
        name, stems = found[1], [entry.stem for entry in load()]
        if name in stems and stems.index(name) >= stems.index(self.entry.stem):
            return f"\n{name} does not come before {self.entry.stem}: an exercise can import earlier ones only."
        close = difflib.get_close_matches(name, stems[: stems.index(self.entry.stem)], n=1)
        if close:
            return f"\nIs {close[0]} meant to be it?"
        return f"\nAn exercise can import {SPOKEN}, earlier exercises, and files of your own beside it."

    def _autopsy(self, death: WorkerDied, limit: float, what: str) -> Verdict:
        assert self._opened is not None
        entry, sources = self._opened
        files = {str(real(each.path)): each for each in sources.values() if each.origin != "reference"}
        found = autopsy(death.trace, death.code, limit, what, files, death.cause)
        evidence = Evidence()
        for place in found.places:
            name = around(sources[place.stem].text, place.line) if place.stem == entry.stem else ""
            evidence = Evidence(f"{shown(str(sources[place.stem].path))}:{place.line}", name)
        if found.kind == "timeout":
            return Verdict("timeout", found.message, limit, evidence)
        return Verdict("error", found.message, evidence=evidence)

    def _ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        if self._worker is None:
            self._worker = self._launch()
        try:
            return self._worker.ask(request, deadline)
        except WorkerDied:
            self._worker = None
            raise
