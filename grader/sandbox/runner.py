"""Runs checks in the sandbox, within the budget of one submission: the same interface as running them here."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from grader.content.suite import CheckInfo
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.judging.rules import Look
from grader.judging.verdict import Verdict
from grader.probing.assembly import Source
from grader.results import Isolation
from grader.sandbox.levels import Level
from grader.workers.confined import Ended, Unanswered
from grader.workers.inspection import Inspection
from grader.workers.process import Worker, WorkerDied, WorkerProcess
from grader.workers.runner import PATIENCE, Runner
from grader.written import Written

SEED_BITS = 128  # nobody finds a seed by trying, whatever a check sees of what was derived from it


class JudgeDied(GraderError):
    """The judge itself has ended: that says nothing about the submission, which has to be graded again."""


@dataclass(frozen=True)
class Budget:
    """The limits of one submission, all its exercises together; each check has a limit of its own as well.

    Args:
        wall: seconds by the clock, without those in which it waits for a processor that others use.
        cpu: seconds of processor time.
        memory: bytes of memory that a process may take on top of what it starts with.
        check: seconds for one check that is not marked as slow (on the reference these take milliseconds).
    """

    wall: float = 900.0
    cpu: float = 900.0
    memory: int = 1 << 30
    check: float = 10.0


class IsolatedRunner(Runner):
    """Runs the checks of any number of submissions, one after the other; `begin` each of them.

    The judge is a process of its own, and keeps the reference's observations: with one seed for many submissions they
    are computed once.
    """

    def __init__(self, seed: int | None = None, budget: Budget | None = None) -> None:
        """
        Args:
            seed: what all inputs are drawn from; drawn afresh by default.
            budget: what one submission may use.
        """
        super().__init__(fresh_seed() if seed is None else seed, launch_judge)
        self.budget = budget or Budget()
        self._inspection = Inspection()
        self.begin()

    def begin(self) -> None:
        """Begin with the next submission: it has the whole budget."""
        self._time = self._cpu = 0.0
        self._opened = None

    @cached_property
    def level(self) -> Level:
        """Return how well the code is isolated, and what is missing."""
        told = self._ask({"do": "level"}, PATIENCE)
        return Level(told["name"], tuple(told["layers"]), tuple(told["missing"]), tuple(told["notes"]))

    @property
    def isolation(self) -> Isolation:
        return self.level.name

    def read(self, folder: Path) -> Written:
        """Read the sources in a folder that somebody else has filled.

        Raises:
            GraderError: that takes too much.
        """
        try:
            return self._inspection.read(folder)
        except Unanswered as why:
            raise GraderError(f"{folder} can't be read: {why}.") from None

    def imported(self, stem: str, text: str, stems: Collection[str]) -> frozenset[str]:
        """As in `Runner`, in a process with limits."""
        try:
            return self._inspection.imported(stem, text, stems)
        except Ended as ended:
            raise JudgeDied(f"The process that reads the sources has ended: {ended}.") from None

    def look(self, stem: str, texts: Mapping[str, str], forbids: Sequence[str], asked: Collection[str]) -> Look:
        """As in `Runner`, in a process with limits."""
        try:
            return self._inspection.look(stem, texts, forbids, asked)
        except Ended as ended:
            raise JudgeDied(f"The process that reads the sources has ended: {ended}.") from None

    def close(self) -> None:
        """End the judge, and the process that looks at sources."""
        super().close()
        self._inspection.close()

    def open(self, entry: Entry, sources: Mapping[str, Source]) -> Verdict:
        """As in `Runner`, unless the budget is used up."""
        verdict = self._used_up()
        if verdict is not None:
            self._opened = (entry, dict(sources))
        return verdict or super().open(entry, sources)

    def check(self, info: CheckInfo, limit: float | None = None) -> Verdict:
        """As in `Runner`, unless the budget is used up."""
        limit = info.limit if limit is None else limit
        if not info.slow:
            limit = min(limit, self.budget.check)
        return self._used_up() or super().check(info, min(limit, self._left()))

    def _left(self) -> float:
        """The seconds that are left of the budget, but enough to begin."""
        return max(1.0, min(self.budget.wall - self._time, self.budget.cpu - self._cpu))

    def _used_up(self) -> Verdict | None:
        for used, limit, what in (
            (self._time, self.budget.wall, "time"),
            (self._cpu, self.budget.cpu, "processor time"),
        ):
            if used >= limit:
                return Verdict("timeout", f"Not run: the whole submission has used up its {limit:g} seconds of {what}.")
        return None

    def _request_open(self, entry: Entry, sources: Mapping[str, Source]) -> dict[str, Any]:
        asked = super()._request_open(entry, sources)
        return asked | {"memory": self.budget.memory, "limit": min(asked["limit"], self._left())}

    def _ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """As in `Runner`; what is under test runs in another process, and has no part in a death of this one."""
        try:
            answer = super()._ask(request, deadline)
        except WorkerDied as death:
            raise _died(death) from None
        self._cpu += answer.get("cpu", 0.0)
        self._time += answer.get("time", 0.0)
        return answer


def _died(death: WorkerDied) -> JudgeDied:
    last = death.trace.strip().rpartition("\n")[2]
    return JudgeDied(f"The judge ended before it had a verdict (code {death.code}{f': {last}' if last else ''}).")


def launch_judge() -> Worker:
    """A judge of its own, which may wait for those whom it judges."""
    return WorkerProcess("grader.sandbox.judging", may_rest=True)


def fresh_seed() -> int:
    """A seed that nobody knows beforehand."""
    return secrets.randbits(SEED_BITS)
