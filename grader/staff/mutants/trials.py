"""Tests that are tested: every known mistake must be rejected, every right solution in another style must pass."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grader.content.regions import SOLUTION, without_markers
from grader.content.stubs import make_stub
from grader.content.suite import CheckInfo, checks_of
from grader.content.syllabus import Entry, load
from grader.diagnosis.diagnose import Diagnosis
from grader.errors import GraderError
from grader.files import ROOT
from grader.misconceptions.catalogue import catalogue
from grader.misconceptions.recordings import known_file, quick_checks
from grader.probing.assembly import Source, read_folder
from grader.results import Status
from grader.store import read_document
from grader.workers.runner import Runner

VARIANTS = ROOT / "tests" / "variants"
OPEN = ("pass", "blocked", "todo")  # statuses that reject nobody
LIMIT = 10.0  # seconds for a check that usually takes a fraction of one


@dataclass(frozen=True)
class Candidate:
    """One source to be put in the place of an exercise: a mistake that must fail, or a variant that must pass."""

    entry: Entry
    name: str
    source: Source
    unfinished: bool = False  # what comes after the mistake is not written yet
    seed: int | None = None  # what its inputs are drawn from, if not the seed of all

    def at(self, seed: int | None) -> Candidate:
        """Return the same, to be tried at a seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Trial:
    """The suite's word on a candidate: the status of each check that ran, and what the diagnosis names."""

    candidate: Candidate
    statuses: Mapping[str, Status]
    messages: Mapping[str, str]
    seconds: float
    named: Mapping[str, Diagnosis] = field(default_factory=dict)

    @property
    def rejected_by(self) -> list[str]:
        """The checks that do not pass, in the order of the suite."""
        return [name for name, status in self.statuses.items() if status not in OPEN]

    def names(self, id: str) -> bool:
        """Whether every diagnosis that is made is this misconception, alone or as one of two, and one is made."""
        made = list(self.named.values())
        return bool(made) and all(id in each.ids and each.kind != "both" and len(each.ids) <= 2 for each in made)

    @property
    def misnamed(self) -> bool:
        """Whether a diagnosis is made that leaves out the mistake that was put in."""
        return any(self.candidate.name not in each.ids for each in self.named.values())


def mistakes(entries: Iterable[Entry], reference: Mapping[str, Source]) -> list[Candidate]:
    """Return the misconceptions of some exercises as candidates, in both situations in which people make them.

    With every function written; and, where there is a function after the mistake, with those still to be written.

    Raises:
        GraderError: an edit does not fit the reference.
    """
    found = []
    for entry in entries:
        for each in catalogue(entry):
            try:
                whole = each.applied(reference[entry.stem])
            except ValueError as error:
                raise GraderError(f"The misconception {each.id} of {entry.label} does not fit: {error}") from None
            found.append(Candidate(entry, each.id, whole))
            begun = as_begun(whole, reference[entry.stem])
            if begun is not None:
                found.append(Candidate(entry, each.id, begun, unfinished=True))
    return found


def as_begun(mistaken: Source, reference: Source) -> Source | None:
    """Return a mistake in the file of somebody who works from top to bottom: what comes after it is a stub.

    None if nothing is to be written after it.
    """
    ends = zip(reversed(mistaken.text), reversed(reference.text), strict=False)
    alike = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], ends)))
    last = mistaken.text[: len(mistaken.text) - alike].count("\n") + 1  # the line on which the mistake ends
    text = make_stub(mistaken.text, mistaken.path.name, after=last)
    if text == without_markers(mistaken.text, SOLUTION):
        return None
    return replace(mistaken, text=text)


def variants(entries: Iterable[Entry], folder: Path = VARIANTS) -> list[Candidate]:
    """Right solutions in other styles: `tests/variants/<stem>/<style>.py`."""
    return [
        Candidate(entry, path.stem, replace(Source.read(path, "learner"), stem=entry.stem))
        for entry in entries
        for path in sorted((folder / entry.stem).glob("*.py"))
    ]


class Bench:
    """Tries candidates in warm workers, several at a time."""

    def __init__(self, seed: int = 0, jobs: int | None = None) -> None:
        self.seed = seed
        self.jobs = jobs or os.cpu_count() or 1
        self.reference = read_folder(ROOT / "solutions", "reference")
        self._pool = ThreadPoolExecutor(self.jobs)
        self._local = threading.local()  # of each thread: its runner, and the recording that it read last
        self._recordings: dict[Entry, Path | None] = {}  # of the exercises whose mistakes are named
        self._runners: list[Runner] = []

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        for runner in self._runners:
            runner.close()

    def run(
        self,
        candidates: Sequence[Candidate],
        *,
        diagnose: bool = False,
        thorough: bool = False,
        briefly: bool = False,
        recorded: bool = False,
    ) -> Iterator[Trial]:
        """Yield a trial for each candidate, in the order in which they are done.

        Args:
            candidates: what to try.
            diagnose: whether to ask for a diagnosis, too.
            thorough: run the slow checks in any case, not only when no quick one has rejected the candidate.
            briefly: stop at the first check that rejects the candidate.
            recorded: a mistake with every function written has just been run to record its traces; where these reject
                it, take them for the trial, and do not run it a second time. Implies that there is a diagnosis.
        """
        if diagnose:  # the later ones take longest
            entries = dict.fromkeys(candidate.entry for candidate in reversed(candidates))
            self._recordings.update(zip(entries, self._pool.map(self._record, entries), strict=True))
        one = self._recalled if recorded else self._try
        tries = [self._pool.submit(one, candidate, diagnose, thorough, briefly) for candidate in candidates]
        try:
            for done in as_completed(tries):
                yield done.result()
        finally:
            for each in tries:
                each.cancel()
            wait(tries)

    def _try(self, candidate: Candidate, diagnose: bool, thorough: bool, briefly: bool) -> Trial:
        started = time.perf_counter()
        entry, runner = candidate.entry, self._runner()
        runner.seed = self.seed if candidate.seed is None else candidate.seed
        infos = sorted(checks_of(entry.suite), key=lambda info: info.slow)
        earlier = itertools.takewhile(
            lambda other: other != entry, load()
        )  # a variant may import what the reference does not
        sources = {other.stem: self.reference[other.stem] for other in earlier} | {entry.stem: candidate.source}
        first = runner.open(entry, sources)
        statuses: dict[str, Status] = {}
        messages: dict[str, str] = {}
        for info in infos:
            enough = briefly or (info.slow and not thorough and first.status == "pass")
            if enough and _rejected(statuses):
                break
            verdict = first
            if first.status == "pass":
                if info.after is not None and statuses.get(info.after, "pass") not in ("pass", "todo"):
                    statuses[info.name] = "blocked"
                    continue
                verdict = runner.check(info, _limit(info, thorough))
            statuses[info.name], messages[info.name] = verdict.status, verdict.message
        named: dict[str, Diagnosis] = {}
        if diagnose and _rejected(statuses):
            known = self._recordings[entry]
            named = runner.diagnose(known) if known is not None else {}
        return Trial(candidate, statuses, messages, time.perf_counter() - started, named)

    def _recalled(self, candidate: Candidate, diagnose: bool, thorough: bool, briefly: bool) -> Trial:
        """Return the trial of a mistake by what was recorded of it; by running it, where that does not reject it."""
        started = time.perf_counter()
        entry, runner = candidate.entry, self._runner()
        path = None if candidate.unfinished else self._recordings[entry]
        known = {} if path is None else self._read(path)
        statuses: dict[str, Status] = {}
        for info in quick_checks(entry):
            status = known.get("statuses", {}).get(candidate.name, {}).get(info.name, "pass")
            waits = info.after is not None and statuses.get(info.after, "pass") not in ("pass", "todo")
            statuses[info.name] = "blocked" if waits else status
        if not _rejected(statuses):
            return self._try(candidate, diagnose, thorough, briefly)
        seen = {name: each for name, each in known["singles"][candidate.name].items() if statuses[name] != "blocked"}
        messages = {name: seen[name]["message"] if name in seen else status for name, status in statuses.items()}
        runner.seed = self.seed
        runner.recall(entry, statuses, seen)
        assert path is not None
        named = runner.diagnose(path)
        return Trial(candidate, statuses, messages, time.perf_counter() - started, named)

    def _record(self, entry: Entry) -> Path | None:
        """The recording of an exercise, made now if need be: in the worker that tries candidates, which is warm."""
        runner = self._runner()
        runner.seed = self.seed
        return known_file(entry, self.seed, self.reference, runner=runner)

    def _read(self, path: Path) -> dict[str, Any]:
        """Return a recording: one candidate after the other needs the same."""
        if getattr(self._local, "path", None) != path:
            self._local.path, self._local.document = path, read_document(path) or {}
        document: dict[str, Any] = self._local.document
        return document

    def _runner(self) -> Runner:
        if not hasattr(self._local, "runner"):
            self._local.runner = Runner(self.seed)
            self._runners.append(self._local.runner)
        runner: Runner = self._local.runner
        return runner


def superfluous(trials: Sequence[Trial], entry: Entry) -> list[str]:
    """The quick checks of an exercise that reject no mistake which no other check rejects."""
    whole = [trial for trial in trials if trial.candidate.entry == entry and not trial.candidate.unfinished]
    sole = {trial.rejected_by[0] for trial in whole if len(trial.rejected_by) == 1}
    return [info.name for info in checks_of(entry.suite) if not info.slow and info.name not in sole]


def _rejected(statuses: Mapping[str, Status]) -> bool:
    return any(status not in OPEN for status in statuses.values())


def _limit(info: CheckInfo, thorough: bool) -> float:
    return info.limit if thorough or info.slow else min(info.limit, LIMIT)
