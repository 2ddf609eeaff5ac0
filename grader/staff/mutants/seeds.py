"""Chance that must not decide: every check on every right solution, the reference and all variants, at many seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grader.content.syllabus import Entry
from grader.probing.assembly import Source
from grader.staff.mutants.trials import Bench, Candidate, Trial, variants
from grader.store import Store, fingerprint

KEPT = "seeds.json"
OFTEN = 50  # trials after which what is known is kept


def right_solutions(entries: Iterable[Entry], reference: Mapping[str, Source]) -> list[Candidate]:
    """Return what must get all points whatever the seed: the reference and every variant."""
    entries = list(entries)
    return [*(Candidate(entry, "the reference", reference[entry.stem]) for entry in entries), *variants(entries)]


@dataclass(frozen=True)
class Lost:
    """A right solution that loses a point: at which seed, in which check, and what is said of it."""

    candidate: Candidate
    seed: int
    check: str
    message: str


class Seeds:
    """Tries right solutions at many seeds, but for what is known to pass from an earlier run."""

    def __init__(self, entries: Sequence[Entry], bench: Bench, seeds: Sequence[int]) -> None:
        self.bench = bench
        self.store = Store()
        kept = self.store.read(KEPT)
        self._known: set[str] = set(kept) if isinstance(kept, list) else set()
        self._fresh: set[str] = set()
        solutions = right_solutions(entries, bench.reference)
        jobs = [(candidate, seed) for candidate in solutions for seed in seeds]
        jobs.sort(key=lambda job: (job[0].entry.stem, job[1]))
        self._jobs = {self._digest(*job): job for job in jobs}
        self.total = len(self._jobs)
        self.known = len(self._jobs.keys() & self._known)

    def run(self) -> Iterator[Lost]:
        """Yield each point that is lost. What passes is kept, also when this is interrupted."""
        digests = {job: digest for digest, job in self._jobs.items() if digest not in self._known}
        try:
            for trial in self.bench.run([candidate.at(seed) for candidate, seed in digests], thorough=True):
                yield from self._judge(trial, digests)
        finally:
            self._keep()

    def _judge(self, trial: Trial, digests: Mapping[tuple[Candidate, int], str]) -> Iterator[Lost]:
        seed = trial.candidate.seed
        candidate = trial.candidate.at(None)
        assert seed is not None
        lost = [name for name, status in trial.statuses.items() if status != "pass"]
        for name in lost:
            yield Lost(candidate, seed, name, trial.messages.get(name, trial.statuses[name]))
        if not lost:
            self._fresh.add(digests[candidate, seed])
            if len(self._fresh) % OFTEN == 0:
                self._keep()

    def _keep(self) -> None:
        """Keep what passes of the present state, and of other exercises what was known."""
        self.store.write(KEPT, sorted(self._known | self._fresh)[-100_000:])

    def _digest(self, candidate: Candidate, seed: int) -> str:
        entry = candidate.entry
        sources = [self.bench.reference[stem].text for stem in entry.needs]
        texts = [entry.suite.read_text(encoding="utf-8"), candidate.source.text, *sources]
        return fingerprint(seed, texts)[:24]
