"""The judge: it runs a check's probe on two assemblies and compares what came back."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from grader.checks import Check
from grader.files import shown
from grader.judging.calls import CALLS_KEPT, Calls
from grader.judging.comparison import Comparison
from grader.judging.reference import Reference
from grader.judging.side_by_side import beside
from grader.judging.verdict import Seen, Verdict
from grader.probing.assembly import Assembly, Exercise
from grader.probing.observation import thaw
from grader.probing.outcome import Failure, Guard, Outcome, Place, attempt, no_limit, observe
from grader.probing.random import derive
from grader.results import Evidence, Status

UNJUDGED = "What your code returned can't be judged"


class Judge:
    """Judges the checks of one exercise: `learner` is the assembly under test, `reference` what to compare with.

    Code under test runs in this process. A judge whose learner lives elsewhere overrides `run_import` and `run_probe`.
    """

    def __init__(self, stem: str, learner: Assembly, reference: Reference, seed: int, guard: Guard = no_limit) -> None:
        self.stem = stem
        self.learner = learner
        self.reference = reference
        self.seed = seed
        self.guard = guard
        self.seen: dict[str, Seen] = {}  # by the check's name

    def load(self, limit: float) -> Verdict:
        """Import the learner's module: the first rung of the ladder."""
        outcome = self.run_import(limit)
        verdict, failure = self._verdict(outcome), outcome.failure
        if failure is None or not failure.places:
            return verdict
        return replace(verdict, evidence=Evidence(self._spot(failure.places[-1])))

    def judge(self, check: Check, limit: float, hidden: bool = False) -> Verdict:
        """Run one check and say what came of it; the learner's side may take `limit` seconds.

        Of a hidden check the verdict says nothing that a probe put in, and nothing that learner's code says of it.

        Raises:
            ReferenceBroken: the probe fails on the reference.
        """
        want, calls = self.run_reference(check, hidden)
        outcome = self.run_probe(check, limit)
        told = _withheld(outcome) if hidden else outcome
        if outcome.failure is not None:
            message, verdict = None, self._verdict(told)
        else:
            message = self.compare(check, outcome.value, want, hidden)
            status: Status = "pass" if message is None else "fail"
            verdict = Verdict(status, (message or "") + told.printed, outcome.seconds)
        self.seen[check.__name__] = Seen(verdict.status, message or "", outcome, want)
        if verdict.status == "pass":
            return verdict
        rows = [] if hidden or outcome.failure is not None else self._beside(check, outcome.value, want)
        evidence = self._evidence(calls, outcome.failure, rows)
        return replace(verdict, evidence=replace(evidence, inputs=[]) if verdict.status == "todo" else evidence)

    def close(self) -> None:
        """Clear the code under test away."""
        self.learner.close()

    def run_reference(self, check: Check, hidden: bool) -> tuple[Any, Calls]:
        """The reference's observation, and the calls that the probe makes."""
        return self.reference.observed(self.stem, check, self.seed_of(check), hidden)

    def run_import(self, limit: float) -> Outcome:
        """Import the code under test."""
        return attempt(lambda: self.learner.module(self.stem), self.learner, self.guard, limit)

    def run_probe(self, check: Check, limit: float) -> Outcome:
        """Run a check's probe on the code under test."""
        return attempt(lambda: self.observe(check, self.learner.exercise(self.stem)), self.learner, self.guard, limit)

    def observe(self, check: Check, exercise: Exercise) -> Any:
        """Run the probe in a clean state and freeze what it returns."""
        return observe(check.probe, exercise, self.seed_of(check))

    def seed_of(self, check: Check) -> int:
        """What a check's inputs are drawn from: no two checks have the same."""
        return derive(self.seed, self.stem, check.__name__)

    def expected(self, check: Check) -> Any:
        """The reference's observation."""
        return self.run_reference(check, hidden=True)[0]

    def compare(self, check: Check, got: Any, want: Any, hidden: bool = False) -> str | None:
        """The first thing that is wrong with an observation, in words; None if all is well.

        Whatever is raised on the way is an answer, too: the observation can't be judged.
        """
        try:
            return self._difference(check, got, want, Comparison(check.tolerance, check.axes, hidden, check.free))
        except Exception as error:
            return f"What your code returned can't be compared with what is expected: {type(error).__name__}."

    def _difference(self, check: Check, got: Any, want: Any, comparison: Comparison) -> str | None:
        if check.compare == "values":
            message = comparison.structure(got, want) or self._explain(check, got, want)
            return message or comparison.values(got, want)
        message = comparison.outline(got, want)
        if message is None:
            return self._explain(check, got, want) or comparison.alike(got, want)
        said = self._explain(check, got, want) if check.compare == "nothing" else None
        return message if said is None or said.startswith(UNJUDGED) else said

    def _explain(self, check: Check, got: Any, want: Any) -> str | None:
        if check.explanation is None:
            return None
        arguments: list[Any] = [thaw(got), thaw(want)]
        what = UNJUDGED
        if len(inspect.signature(check.explanation).parameters) == 3:
            instrument = self.reference.exercise(self.stem)
            if instrument is None and check.compare == "values":
                return None  # the comparison of values has the last word
            if instrument is None:  # a release: there is nothing else to measure with
                instrument = self.learner.exercise(self.stem)
                what = "What your code returned is measured with your own code here, which fails"
            arguments.append(instrument)
        try:
            with np.errstate(all="ignore"):
                return next(iter(check.explanation(*arguments) or ()), None)
        except Exception as error:
            if check.compare == "values":
                return None  # the comparison of values has the last word
            return f"{what}: {type(error).__name__}: {error}"

    def _beside(self, check: Check, got: Any, want: Any) -> list[str]:
        """The learner's numbers beside the expected ones, if there is an array of the right shape that differs."""
        comparison = Comparison(check.tolerance, check.axes)
        if check.compare != "values":
            comparison.outline(got, want)
        elif comparison.structure(got, want) is None:
            comparison.values(got, want)
        found = comparison.difference
        return [] if found is None else beside(found, comparison.axes_of(found.path))

    def _evidence(self, calls: Calls, failure: Failure | None, rows: list[str]) -> Evidence:
        places = failure.places if failure is not None else ()
        place = places[-1] if places else Place(self.stem, defined_at(self.learner.sources[self.stem].text, calls.name))
        more = calls.count - CALLS_KEPT
        rest = [f"and {more} more {'call' if more == 1 else 'calls'}"] if more > 0 and not calls.secret else []
        return Evidence(self._spot(place), calls.name, [*calls.lines, *rest], rows)

    def _verdict(self, outcome: Outcome) -> Verdict:
        """Put an outcome into words. A call that came back is a pass; its message holds the prints."""
        failure, seconds = outcome.failure, outcome.seconds
        if failure is None:
            return Verdict("pass", outcome.printed, seconds)
        where = f" at {self._spot(failure.places[-1])}" if failure.places else ""
        if self._is_todo(failure):
            return Verdict("todo", f"Not written yet:{where.removeprefix(' at')}", seconds)
        if failure.kind == "timeout":
            return Verdict("timeout", failure.message, seconds)
        if failure.kind in ("missing", "died"):
            return Verdict("error", failure.message, seconds)
        if failure.kind == "flood":
            return Verdict("error", f"{failure.message}{where}. Take the print out, or out of the loop.", seconds)
        if failure.kind == "exit":
            return Verdict("error", f"Your code ends the program (exit, quit, sys.exit or os._exit){where}.", seconds)
        if failure.kind == "syntax":
            return Verdict("error", self._syntax(failure), seconds)
        kind = f"{failure.type}: {failure.message}" if failure.message else failure.type
        if failure.kind == "memory":
            kind = f"Your code asks for more memory than it may have.\n{kind}"
        if not failure.places:
            words = f"What your code returned can't be used: {kind}{_nudge(failure.message)}"
            return Verdict("fail", words + outcome.printed, seconds)
        return Verdict("error", "\n".join([kind, *self._trace(failure.places)]) + outcome.printed, seconds)

    def _is_todo(self, failure: Failure) -> bool:
        return (
            "NotImplementedError" in failure.bases
            and bool(failure.places)
            and "NotImplementedError" in self._line(failure.places[-1])
        )

    def _trace(self, places: tuple[Place, ...]) -> Iterable[str]:
        """The learner's own lines on the way to an error; of a long way, both ends."""
        few = len(places) <= 6
        for place in places if few else places[:2]:
            yield f"  {self._spot(place)}, in {place.function}\n      {self._line(place)}"
        if not few:
            yield "  ..."
            yield from self._trace(places[-3:])

    def _spot(self, place: Place) -> str:
        return f"{shown(self.learner.filename(place.stem))}:{place.line}"

    def _line(self, place: Place) -> str:
        lines = self.learner.sources[place.stem].text.splitlines()
        return lines[place.line - 1].strip() if 0 < place.line <= len(lines) else ""

    def _syntax(self, failure: Failure) -> str:
        lines = [f"{failure.type}: {failure.message} at {self._spot(failure.places[-1])}"]
        if failure.text:
            text = failure.text.rstrip("\n")
            body = text.lstrip()
            lines.append(f"      {body}")
            if failure.offset:
                lines.append(" " * (6 + max(0, failure.offset - 1 - (len(text) - len(body)))) + "^")
        return "\n".join(lines)


def _withheld(outcome: Outcome) -> Outcome:
    """An outcome without what the learner's code says itself, which could repeat a hidden check's input."""
    printed = "\nYour code prints something here; of a hidden check it is not shown." if outcome.printed else ""
    failure = outcome.failure
    if failure is not None and failure.kind in ("raised", "memory"):
        failure = replace(failure, message="")
    return replace(outcome, failure=failure, printed=printed)


def defined_at(text: str, name: str) -> int:
    """The line on which a source defines a function, a class or a method ("softmax", "LayerNorm.forward"), or 1."""
    line, body = 1, ast.parse(text).body
    for part in name.split("."):
        found = next(
            (n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == part),
            None,
        )
        if found is None:
            break
        line, body = found.lineno, found.body
    return line


def _nudge(text: str) -> str:
    if "NoneType" in text:
        return ". Is a `return` missing?"
    if "has no attribute" in text:
        return ". Compare the names with those in the docstring."
    return ""
