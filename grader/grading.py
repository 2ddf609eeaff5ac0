"""Grading: which sources an exercise is run with, in which order, and what its checks say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

from grader.content import stubs
from grader.content.suite import CheckInfo, asked_of, checks_of, exercises_used
from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import shown
from grader.judging.reference import here
from grader.judging.rules import NotLookedAt, Violation
from grader.judging.verdict import Verdict
from grader.misconceptions.catalogue import catalogue
from grader.misconceptions.recordings import Puzzle, traces_file
from grader.probing.assembly import Assembly, Source
from grader.results import CheckResult, Evidence, ExerciseResult, Named, Result, WrongTurn
from grader.store import Store, fingerprint
from grader.verdict_cache import VerdictCache
from grader.workers.process import Worker, WorkerProcess
from grader.workers.runner import Runner
from grader.written import Written, imported, reached, read_written


class Chosen(NamedTuple):
    """The sources that an exercise is run with, and the stems of others that are borrowed, or not to be had."""

    sources: dict[str, Source]
    borrowed: list[str]
    missing: list[str]


class Grading:
    """Grades the files of one folder. Each exercise runs on the learner's earlier pieces where those pass."""

    def __init__(
        self,
        exercises: Path,
        seed: int = 0,
        launch: Callable[[], Worker] = WorkerProcess,
        runner: Runner | None = None,
        written: Written | None = None,
        noticed: Callable[[CheckResult], None] = lambda _: None,
    ) -> None:
        """
        Args:
            exercises: the folder; with `written` it needs not exist, and only names what is graded.
            seed: what all inputs are drawn from.
            launch: starts the process in which checks run.
            runner: runs the checks, with its own seed; it is not closed at the end, and serves the next folder, too.
            written: what stands in the folder, if it was read already.
            noticed: called with the first check of an exercise that runs out of time, while the others go on.

        Raises:
            GraderError: the folder does not exist or holds none of the exercises.
        """
        if written is None and not exercises.is_dir():
            raise GraderError(f"There is no folder {exercises}. Name the one with your exercises: --exercises DIR")
        read = written or read_written(exercises)
        if not any(entry.stem in (read.sources | read.unreadable) for entry in load()):
            first, last = load()[0].stub.name, load()[-1].stub.name
            raise GraderError(f"{exercises} holds none of the exercises ({first} ... {last}).")
        self.exercises = exercises
        self.seed = seed if runner is None else runner.seed
        self.launch = launch
        self.runner = runner or Runner(seed, launch)
        self._lent = runner is not None
        self.noticed = noticed
        self.standard = here()
        self.reference = self.standard.sources
        self._entries = {entry.stem: entry for entry in load()}
        self.learner = read.sources
        self.unreadable = read.unreadable
        self._attempts: dict[Entry, Attempt] = {}
        self._passes: dict[str, bool] = {}
        self._imported: dict[Source, frozenset[str]] = {}
        self._verdicts = None if self._lent else VerdictCache(Store())

    def __enter__(self) -> Grading:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._lent:
            self.runner.close()

    def run(self, entries: Sequence[Entry], done: Callable[[ExerciseResult], None] = lambda _: None) -> Result:
        """Grade the exercises in order; `done` is called with each result as soon as it is there."""
        result = Result(self.seed, isolation=self.runner.isolation)
        for entry in entries:
            result.exercises.append(self.grade(entry))
            done(result.exercises[-1])
        return result

    def grade(self, entry: Entry) -> ExerciseResult:
        """Run all checks of one exercise."""
        attempt = self.attempt(entry)
        checks = [attempt.check(info) for info in checks_of(entry.suite)]
        result = ExerciseResult.of(entry.stem, checks, attempt.borrowed, attempt.notes, attempt.printed)
        self._passes[entry.stem] = result.status == "pass"
        if result.status in ("fail", "error"):
            self._diagnose(entry, result)
        if attempt.ran and self._verdicts is not None:
            self._verdicts.put(self._fingerprint(entry, attempt.chosen.sources), result.status == "pass")
        return result

    def stretch(self, goals: Entry) -> ExerciseResult:
        """Run all checks of an exercise's stretch goals (`Entry.goals`); nothing depends on what comes of them."""
        attempt = self.attempt(goals)
        checks = [attempt.check(info) for info in checks_of(goals.suite)]
        return ExerciseResult.of(goals.stem, checks, attempt.borrowed, attempt.notes, attempt.printed)

    def _diagnose(self, entry: Entry, result: ExerciseResult) -> None:
        """Name the known misconceptions that the failing checks show."""
        if self.runner.entry != entry:
            return  # nothing was run: it broke a rule, or could not be read
        known = traces_file(self.standard, entry, self.seed, self.launch)
        if known is None:
            return
        found = self.runner.diagnose(known)
        passing, failing = (
            frozenset(check.name for check in result.checks if check.status in statuses)
            for statuses in (("pass",), ("fail", "error"))
        )
        if failing - found.keys():
            traces_file(self.standard, entry, self.seed, self.launch, Puzzle(passing, failing, failing - found.keys()))
            found = self.runner.diagnose(known)
        turns = {each.id: WrongTurn(each.id, each.says, each.nudge, each.links) for each in catalogue(entry)}
        for name, diagnosis in found.items():
            result.check(name).misconception = Named(diagnosis.kind, tuple(turns[id] for id in diagnosis.ids))

    def attempt(self, entry: Entry) -> Attempt:
        """The learner's attempt at one exercise, or at its stretch goals; the same one each time.

        Raises:
            GraderError: the exercise can't be judged with this seed, or with its checks as they are now.
        """
        if entry not in self._attempts:
            (here(stretch=True) if entry.stretch else self.standard).ready(entry, self.seed)
            self._attempts[entry] = Attempt(self, entry)
        return self._attempts[entry]

    def chosen(self, entry: Entry) -> Chosen:
        """Return what an exercise is run with: all that it imports, and what its checks take from others."""
        earlier, find = self._before(entry), self.earlier(entry)
        offered = [*earlier, *(stem for stem in self.learner if not self.is_exercise(stem))]
        begin = [entry.stem, *exercises_used(entry.suite).intersection(earlier)]
        found = reached(
            begin,
            lambda stem: self.learner.get(stem) if stem == entry.stem else find(stem),
            lambda source: self._imports(source).intersection(offered),
        )
        sources = {stem: source for stem, source in found.items() if source is not None}
        missing = [stem for stem in earlier if stem in found and stem not in sources]
        borrowed = [stem for stem in earlier if stem in sources and not self.passes(self._entries[stem])]
        return Chosen(sources, borrowed, missing)

    def _imports(self, source: Source) -> frozenset[str]:
        """The modules that a source may import. A learner's that can't be looked at is unreadable from then on."""
        if source not in self._imported:
            stems = self._entries.keys() | self.learner.keys()
            try:
                look = imported if source.origin == "reference" else partial(self.runner.imported, source.stem)
                self._imported[source] = look(source.text, stems)
            except NotLookedAt as why:
                self.unreadable[source.stem] = f"{shown(str(source.path))}: {why}"
                self._imported[source] = frozenset()
        return self._imported[source]

    def earlier(self, entry: Entry) -> Callable[[str], Source | None]:
        """Return what finds a module that an exercise may import, by its stem.

        An earlier exercise is the learner's own, where it passes, or else the reference's, where that is at hand.
        """
        earlier = self._before(entry)

        def find(stem: str) -> Source | None:
            if not self.is_exercise(stem):
                return self.learner.get(stem)
            if stem not in earlier:
                return None
            return (self.learner if self.passes(self._entries[stem]) else self.reference).get(stem)

        return find

    def _before(self, entry: Entry) -> list[str]:
        return list(itertools.takewhile(lambda stem: stem != entry.stem, self._entries))

    def passes(self, entry: Entry, look: Callable[[Entry], None] = lambda _: None) -> bool:
        """Return whether the learner's exercise passes; graded now, after `look` was told, if that is not known."""
        if entry.stem not in self._passes:
            if entry.stem not in self.learner or stubs.is_untouched(entry, self.learner[entry.stem].text):
                self._passes[entry.stem] = False
            else:
                known = None if self._verdicts is None else self._verdicts.get(self.fingerprint(entry))
                if known is None:
                    look(entry)
                self._passes[entry.stem] = self.grade(entry).status == "pass" if known is None else known
        return self._passes[entry.stem]

    def is_exercise(self, stem: str) -> bool:
        """Return whether a module is one of the exercises, and no helper of the learner's own."""
        return stem in self._entries

    def fingerprint(self, entry: Entry) -> str:
        """A fingerprint of all that decides an exercise's result."""
        return self._fingerprint(entry, self.chosen(entry).sources)

    def _fingerprint(self, entry: Entry, sources: Mapping[str, Source]) -> str:
        texts = [entry.suite.read_text(encoding="utf-8"), self.standard.identity(entry.stem)]
        for stem in sorted(sources):
            texts += [stem, sources[stem].text]
        return fingerprint(self.seed, texts)


def built_on(entry: Entry, missing: Sequence[str]) -> str:
    """A sentence about what is missing."""
    labels = ", ".join(need.partition("_")[0] for need in missing)
    return f"{entry.label} is built on your {labels}, which {'does' if len(missing) == 1 else 'do'} not pass yet."


class Attempt:
    """A learner's attempt at one exercise: its sources, and the results of its checks as they are asked for."""

    def __init__(self, grading: Grading, entry: Entry) -> None:
        self.grading = grading
        self.entry = entry
        self.ran = False
        self.notes: list[str] = []  # what is to be told and costs nothing
        self.printed: list[str] = []  # what the sources print when they are imported
        self._infos = {info.name: info for info in checks_of(entry.suite)}
        self._results: dict[str, CheckResult] = {}
        self._obstacle: Verdict | None = None
        self._climbed = False
        self._late = False  # whether a check has run out of time

    @cached_property
    def chosen(self) -> Chosen:
        """Return what it is run with. That may take grading what it imports, so it is asked for when something runs."""
        return self.grading.chosen(self.entry)

    @property
    def borrowed(self) -> list[str]:
        """The stems of what was borrowed to run it."""
        return self.chosen.borrowed if "chosen" in vars(self) else []

    def check(self, info: CheckInfo) -> CheckResult:
        """The result of one check, run now if it was not yet."""
        if info.name not in self._results:
            verdict = self._verdict(info)
            passed, worth = verdict.status == "pass", 0 if self.entry.stretch else info.points
            self._results[info.name] = CheckResult(
                id=f"{self.entry.stem}::{info.name}",
                says=info.says,
                hidden=info.hidden,
                status=verdict.status,
                points=worth if passed else 0,
                max_points=worth,
                message="" if passed else verdict.message,
                words="" if passed else verdict.words,
                seconds=round(verdict.seconds, 4),
                evidence=verdict.evidence,
            )
            if verdict.status == "timeout" and not self._late:
                self._late = True
                self.grading.noticed(self._results[info.name])
        return self._results[info.name]

    def _verdict(self, info: CheckInfo) -> Verdict:
        if not self._climbed:
            self._climbed = True
            self._obstacle = self.first_rungs()
            if self._obstacle is not None:
                return self._obstacle
        if self._obstacle is not None:
            if self._obstacle.status == "todo":
                return self._obstacle
            return Verdict("blocked", f"Waits for the first problem of {self.entry.label} to be solved.")
        if info.after is not None:
            first = self.check(self._infos[info.after])
            if first.status not in ("pass", "todo"):
                return Verdict("blocked", f"Waits for another check to pass: {first.says}.")
        runner = self.grading.runner
        if runner.entry != self.entry:
            runner.open(self.entry, self.chosen.sources)
        self.ran = True
        return runner.check(info)

    def first_rungs(self) -> Verdict | None:
        """Return what stops every check: the exercise is missing, not started, breaks a rule or can't be imported."""
        entry = self.entry
        written = self.grading.learner.get(entry.stem)
        path = shown(str(written.path if written else self.grading.exercises / entry.stub.name))
        if entry.stem in self.grading.unreadable:
            return Verdict("error", self.grading.unreadable[entry.stem])
        if written is None:
            return Verdict("todo", f"There is no file {path} yet.")
        if stubs.is_untouched(entry, written.text):
            line = written.text.partition("NotImplementedError")[0].count("\n") + 1
            return Verdict("todo", "Not started.", evidence=Evidence(f"{path}:{line}"))
        return self._broken_rule() or self._missing_need() or self._failed_import()

    def _broken_rule(self) -> Verdict | None:
        """The first use of something forbidden, in the exercise or in what it imports of the learner's own."""
        own = {stem: source.text for stem, source in self.chosen.sources.items() if source.origin != "reference"}
        for stem in own:
            if stem in self.grading.unreadable:
                return Verdict("error", self.grading.unreadable[stem])
        try:
            found = self.grading.runner.look(self.entry.stem, own, self.entry.forbids, asked_of(self.entry.suite))
        except NotLookedAt as error:
            return Verdict("error", f"{shown(str(self.chosen.sources[error.stem].path))}: {error}")
        self.notes = [
            f"{self._spot(each)} mentions {each.name}, which is off limits in {self.entry.label}, {each.idle}: "
            "that costs nothing."
            for each in found.mentions
        ]
        for each in found.violations:
            return Verdict(
                "fail",
                f"{self._spot(each)} uses {each.name}, which is off limits in {self.entry.label} since you build it "
                f"yourself. Nothing in {self.entry.label} counts until it is gone.",
                evidence=Evidence(self._spot(each)),
            )
        return None

    def _spot(self, violation: Violation) -> str:
        return f"{shown(str(self.chosen.sources[violation.stem].path))}:{violation.line}"

    def _missing_need(self) -> Verdict | None:
        """An earlier exercise that this one is built on, which does not pass and can't be borrowed."""
        missing = self.chosen.missing
        if not missing:
            return None
        first = shown(str(self.grading.exercises / f"{missing[0]}.py"))
        return Verdict("blocked", f"{built_on(self.entry, missing)} Go on with {first} first.")

    def _failed_import(self) -> Verdict | None:
        verdict = self.grading.runner.open(self.entry, self.chosen.sources)
        self.printed = verdict.evidence.printed
        return None if verdict.status == "pass" else verdict


@dataclass(frozen=True)
class Assembled:
    """The learner's own pieces put together, with what had to be borrowed from the reference, and what is missing."""

    assembly: Assembly
    borrowed: list[str]
    missing: list[str]  # exercises that do not pass and can't be borrowed


def assemble(exercises: Path, seed: int = 0, look: Callable[[Entry], None] = lambda _: None) -> Assembled:
    """Assemble everything that a learner has written and that passes; the reference fills the gaps.

    Args:
        exercises: the folder with the learner's files.
        seed: what all inputs are drawn from.
        look: called with each exercise that has to be graded for it, before it is.

    Raises:
        GraderError: the folder does not exist or holds none of the exercises.
    """
    with Grading(exercises, seed) as grading:
        failing = []
        for entry in load():
            if not grading.passes(entry, look):
                failing.append(entry.stem)
        own = {stem: source for stem, source in grading.learner.items() if stem not in failing}
        borrowed = [stem for stem in failing if stem in grading.reference]
        missing = [stem for stem in failing if stem not in grading.reference]
        return Assembled(Assembly.of(grading.reference, own), borrowed, missing)
