"""Grading: which sources an exercise is run with, in which order, and what its checks say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader import rules, stubs
from grader.assembly import Assembly, Source, read_folder
from grader.errors import GraderError, SourceUnreadable
from grader.judge import Verdict, shown
from grader.results import CheckResult, ExerciseResult, Result
from grader.runner import Runner
from grader.suite import CheckInfo, checks_of
from grader.syllabus import ROOT, Entry, load
from grader.verdicts import VerdictCache, fingerprint

CACHE = ROOT / ".stubformer" / "verdicts.json"


class Grading:
    """Grades the files of one folder. Each exercise runs on the learner's earlier pieces where those pass."""

    def __init__(self, exercises: Path, seed: int = 0) -> None:
        """
        Raises:
            GraderError: the folder does not exist or holds none of the exercises.
        """
        if not exercises.is_dir():
            raise GraderError(f"There is no folder {exercises}. Name the one with your exercises: --exercises DIR")
        if not any((exercises / entry.stub.name).is_file() for entry in load()):
            first, last = load()[0].stub.name, load()[-1].stub.name
            raise GraderError(f"{exercises} holds none of the exercises ({first} ... {last}).")
        self.exercises = exercises
        self.seed = seed
        self.runner = Runner(seed)
        self.reference = read_folder(ROOT / "solutions", "reference")
        self._entries = {entry.stem: entry for entry in load()}
        self.learner: dict[str, Source] = {}
        self.unreadable: dict[str, str] = {}
        self._attempts: dict[str, Attempt] = {}
        self._passes: dict[str, bool] = {}
        self._verdicts = VerdictCache(CACHE)
        for path in sorted(exercises.glob("*.py")):
            try:
                self.learner[path.stem] = Source.read(path, "learner")
            except (SourceUnreadable, OSError) as error:
                self.unreadable[path.stem] = str(error)

    def __enter__(self) -> Grading:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.close()

    def run(self, entries: Sequence[Entry], done: Callable[[ExerciseResult], None] = lambda _: None) -> Result:
        """Grade the exercises in order; `done` is called with each result as soon as it is there."""
        result = Result(self.seed)
        for entry in entries:
            result.exercises.append(self.grade(entry))
            done(result.exercises[-1])
        return result

    def grade(self, entry: Entry) -> ExerciseResult:
        """Run all checks of one exercise."""
        attempt = self.attempt(entry)
        result = ExerciseResult.of(entry.stem, map(attempt.check, checks_of(entry.suite)), attempt.borrowed)
        self._passes[entry.stem] = result.status == "pass"
        if attempt.ran:
            self._verdicts.put(self._fingerprint(entry, attempt.sources), result.status == "pass")
        return result

    def attempt(self, entry: Entry) -> Attempt:
        """The learner's attempt at one exercise; the same one each time."""
        if entry.stem not in self._attempts:
            self._attempts[entry.stem] = Attempt(self, entry)
        return self._attempts[entry.stem]

    def sources(self, entry: Entry) -> tuple[dict[str, Source], list[str]]:
        """The sources that an exercise is run with, and the stems among its needs that are the reference's."""
        borrowed = [need for need in entry.needs if not self.passes(self._entries[need])]
        own = {stem: source for stem, source in self.learner.items() if stem not in self._entries}
        chosen = {need: self.reference[need] if need in borrowed else self.learner[need] for need in entry.needs}
        if entry.stem in self.learner:
            chosen[entry.stem] = self.learner[entry.stem]
        return own | chosen, borrowed

    def passes(self, entry: Entry) -> bool:
        """Whether the learner's exercise passes; it is graded now if that is not known yet."""
        if entry.stem not in self._passes:
            if entry.stem not in self.learner or stubs.is_untouched(entry, self.learner[entry.stem].text):
                self._passes[entry.stem] = False
            else:
                known = self._verdicts.get(self._fingerprint(entry, self.sources(entry)[0]))
                self._passes[entry.stem] = self.grade(entry).status == "pass" if known is None else known
        return self._passes[entry.stem]

    def _fingerprint(self, entry: Entry, sources: Mapping[str, Source]) -> str:
        texts = [entry.suite.read_text(encoding="utf-8"), self.reference[entry.stem].text]
        for stem in sorted(sources):
            texts += [stem, sources[stem].text]
        return fingerprint(self.seed, texts)


class Attempt:
    """A learner's attempt at one exercise: its sources, and the results of its checks as they are asked for."""

    def __init__(self, grading: Grading, entry: Entry) -> None:
        self.grading = grading
        self.entry = entry
        self.sources, self.borrowed = grading.sources(entry)
        self.ran = False
        self._infos = {info.name: info for info in checks_of(entry.suite)}
        self._results: dict[str, CheckResult] = {}
        self._obstacle: Verdict | None = None
        self._climbed = False

    def check(self, info: CheckInfo) -> CheckResult:
        """The result of one check, run now if it was not yet."""
        if info.name not in self._results:
            verdict = self._verdict(info)
            passed = verdict.status == "pass"
            self._results[info.name] = CheckResult(
                id=f"{self.entry.stem}::{info.name}",
                says=info.says,
                hidden=info.hidden,
                status=verdict.status,
                points=info.points if passed else 0,
                max_points=info.points,
                message="" if passed else verdict.message,
                seconds=round(verdict.seconds, 4),
            )
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
            runner.open(self.entry, self.sources)
        self.ran = True
        return runner.check(info)

    def first_rungs(self) -> Verdict | None:
        """What stops every check of the exercise: it is missing, not started, breaks a rule or can't be imported."""
        entry, path = self.entry, shown(str(self.grading.exercises / self.entry.stub.name))
        if entry.stem in self.grading.unreadable:
            return Verdict("error", self.grading.unreadable[entry.stem])
        if entry.stem not in self.grading.learner:
            return Verdict("todo", f"There is no file {path} yet.")
        if stubs.is_untouched(entry, self.sources[entry.stem].text):
            return Verdict("todo", "Not started.")
        for violation in rules.violations(self.sources[entry.stem].text, entry.forbids):
            return Verdict(
                "fail",
                f"{path}:{violation.line} uses {violation.name}, which is off limits here since you build it yourself. "
                f"Nothing in {entry.label} counts until it is gone.",
            )
        verdict = self.grading.runner.open(entry, self.sources)
        return None if verdict.status == "pass" else verdict


@dataclass(frozen=True)
class Assembled:
    """The learner's own pieces put together, with what had to be borrowed from the reference."""

    assembly: Assembly
    borrowed: list[str]


def assemble(exercises: Path, seed: int = 0) -> Assembled:
    """Assemble everything that a learner has written and that passes; the reference fills the gaps.

    Raises:
        GraderError: the folder does not exist or holds none of the exercises.
    """
    with Grading(exercises, seed) as grading:
        borrowed = [entry.stem for entry in load() if not grading.passes(entry)]
        own = {stem: source for stem, source in grading.learner.items() if stem not in borrowed}
        return Assembled(Assembly.of(grading.reference, own), borrowed)
