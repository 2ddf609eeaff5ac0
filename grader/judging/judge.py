"""The judge: it runs a check's probe on two assemblies and compares what came back."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from grader.checks import ATTRIBUTES, Check, ShapesDiffer
from grader.content.hints import hints_of
from grader.content.stubs import attributes, generated
from grader.content.syllabus import Entry, load
from grader.files import shown
from grader.judging.calls import CALLS_KEPT, Calls
from grader.judging.comparison import Comparison, Mismatch
from grader.judging.definitions import Misfit, around, defined_at, misfit, returns_nothing
from grader.judging.origins import gradients, origin
from grader.judging.reference import Reference
from grader.judging.side_by_side import beside
from grader.judging.translations import translated
from grader.judging.verdict import Seen, Verdict
from grader.probing.assembly import Assembly, Exercise
from grader.probing.failing import look
from grader.probing.observation import thaw
from grader.probing.outcome import Failure, Guard, Outcome, Place, attempt, no_limit, observe
from grader.probing.prints import clean
from grader.probing.random import derive
from grader.results import Evidence, Status

STEPPING = "There is no terminal here to stop at: make test ARGS=--debug has one."
LACKING = re.compile(r"(?P<kind>\w+)'?(?: object)? has no attribute ['`\"](?P<at>\w+)")
BUILT_IN = ("bool", "int", "float", "str", "list", "tuple", "dict", "set")
UNJUDGED = "What your code returned can't be judged"


class Judge:
    """Judges the checks of one exercise: `learner` is the assembly under test, `reference` what to compare with.

    Code under test runs in this process. A judge whose learner lives elsewhere overrides `run_import` and `run_probe`.
    """

    def __init__(
        self,
        stem: str,
        learner: Assembly,
        reference: Reference,
        seed: int,
        guard: Guard = no_limit,
        owned: bool = False,
        stretch: bool = False,
    ) -> None:
        """
        Args:
            stem: the exercise.
            learner: the assembly under test.
            reference: what it is compared with.
            seed: what all inputs are drawn from.
            guard: stops what runs too long.
            owned: whether the hidden checks are the learner's own, who may be told what their code says in them.
            stretch: whether the checks are of stretch goals, which nobody has to begin.
        """
        self.stem = stem
        self.learner = learner
        self.reference = reference
        self.seed = seed
        self.guard = guard
        self.owned = owned
        self.stretch = stretch
        self.seen: dict[str, Seen] = {}  # by the check's name
        ATTRIBUTES.update(attributes())

    def load(self, limit: float) -> Verdict:
        """Import the learner's module: the first rung of the ladder."""
        outcome = self.run_import(limit)
        failure, printed = outcome.failure, outcome.printed.splitlines()
        spot = self._spot(failure.places[-1]) if failure is not None and failure.places else ""
        return replace(self._verdict(outcome), evidence=Evidence(spot, code=self._code(failure), printed=printed))

    def judge(self, check: Check, limit: float, hidden: bool = False) -> Verdict:
        """Run one check and say what came of it; the learner's side may take `limit` seconds.

        Of a hidden check the verdict says nothing that a probe put in, and nothing that learner's code says of it,
        unless the check is `owned`.

        Raises:
            ReferenceBroken: the probe fails on the reference.
        """
        want, calls = self.run_reference(check, hidden)
        outcome, secret = self.run_probe(check, limit), hidden and not self.owned
        told = _withheld(outcome) if secret else outcome
        if outcome.failure is not None:
            message, verdict = None, self._verdict(told, outcome.failure, calls)
        else:
            message = self.compare(check, outcome.value, want, secret)
            status: Status = "pass" if message is None else "fail"
            verdict = Verdict(status, message or "", outcome.seconds)
        self.seen[check.__name__] = Seen(verdict.status, message or "", outcome, want)
        evidence = Evidence()
        if verdict.status != "pass":
            evidence = self._evidence(check, calls, outcome.failure, message)
        if verdict.status == "todo":
            evidence = replace(evidence, inputs=[])
        code = self._code(told.failure)
        return replace(verdict, evidence=replace(evidence, code=code, printed=told.printed.splitlines()))

    def close(self) -> None:
        """Clear the code under test away."""
        self.learner.close()

    @cached_property
    def _entry(self) -> Entry:
        return next(entry for entry in load() if entry.stem == self.stem)

    @cached_property
    def asked(self) -> frozenset[str]:
        """The names of the exercise that are to be written."""
        return frozenset(name.partition(".")[0] for name in hints_of(self._entry))

    def run_reference(self, check: Check, hidden: bool) -> tuple[Any, Calls]:
        """The reference's observation, and the calls that the probe makes."""
        return self.reference.observed(self.stem, check, self.seed_of(check), hidden)

    def run_import(self, limit: float) -> Outcome:
        """Import the code under test."""
        return attempt(lambda: self.learner.module(self.stem), self.learner, self.guard, limit, look)

    def run_probe(self, check: Check, limit: float) -> Outcome:
        """Run a check's probe on the code under test."""
        exercise = self.learner.exercise(self.stem)
        return attempt(lambda: self.observe(check, exercise), self.learner, self.guard, limit, look)

    def observe(self, check: Check, exercise: Exercise) -> Any:
        """Run the probe in a clean state and freeze what it returns."""
        return observe(check.probe, exercise, self.seed_of(check))

    def seed_of(self, check: Check) -> int:
        """Return what a check's inputs are drawn from: no two checks have the same."""
        return derive(self.seed, self.stem, check.__name__)

    def expected(self, check: Check) -> Any:
        """The reference's observation."""
        return self.run_reference(check, hidden=True)[0]

    def compare(self, check: Check, got: Any, want: Any, hidden: bool = False) -> Mismatch | None:
        """The first thing that is wrong with an observation, in words; None if all is well.

        Whatever is raised on the way is an answer, too: the observation can't be judged.
        """
        try:
            return self._difference(
                check, got, want, Comparison(check.tolerance, check.axes, hidden, check.free, gradients(check.probe))
            )
        except Exception as error:
            return Mismatch(f"What your code returned can't be compared with what is expected: {type(error).__name__}.")

    def _difference(self, check: Check, got: Any, want: Any, comparison: Comparison) -> Mismatch | None:
        """As `compare`; what an explanation says goes with the numbers that differ."""
        if check.compare == "values":
            found = comparison.structure(got, want)
            if found is not None:
                return found
            found = comparison.values(got, want)
            if found is None and not check.free:
                return None  # an explanation has words for what is wrong; it has no say in what is
            said = self._explain(check, got, want)
        else:
            found = comparison.outline(got, want)
            if found is not None and check.compare != "nothing":
                return found
            said = self._explain(check, got, want, found is not None)
            if found is None and said is None:
                found = comparison.alike(got, want) or comparison.exact(got, want, check.exact)
        return found if said is None else Mismatch(said, None, None if found is None else found.difference)

    def _explain(self, check: Check, got: Any, want: Any, misshapen: bool = False) -> str | None:
        """Return what an explanation says, or that it breaks if the comparison has nothing to say (not `misshapen`)."""
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
        except TimeoutError:
            raise  # it is about all of the comparison
        except Exception as error:
            if check.compare == "values" or misshapen:
                return None  # the comparison has the last word
            return str(error) if isinstance(error, ShapesDiffer) else f"{what}: {type(error).__name__}: {error}"

    def _evidence(self, check: Check, calls: Calls, failure: Failure | None, mismatch: Mismatch | None) -> Evidence:
        more = calls.count - CALLS_KEPT
        rest = [f"and {more} more {'call' if more == 1 else 'calls'}"] if more > 0 and not calls.secret else []
        name, spot = self._at_fault(check, calls, failure, mismatch)
        rows = []
        if mismatch is not None and mismatch.difference is not None and not calls.secret:
            axes = Comparison(axes=check.axes).axes_of(mismatch.difference.path)
            rows = beside(mismatch.difference, axes)
        numbers = bool(rows) and mismatch is not None and mismatch.path is not None
        return Evidence(spot, name, [*calls.lines, *rest], rows, numbers)

    def _at_fault(
        self, check: Check, calls: Calls, failure: Failure | None, mismatch: Mismatch | None
    ) -> tuple[str, str]:
        """The function that raises, or whose result differs, and the line to open: "" if they are not known."""
        text = self.learner.sources[self.stem].text
        if failure is not None and failure.places:
            inside = [around(text, place.line) for place in reversed(failure.places) if place.stem == self.stem]
            asked = (name for name in inside if name.partition(".")[0] in self.asked)
            return next(asked, inside[-1] if inside else calls.only()), self._spot(failure.places[-1])
        if failure is not None:
            misfit = self._misfit(failure)
            name = misfit.name if misfit is not None else calls.only()
        elif mismatch is not None and mismatch.path is not None:
            name = calls.result_at(mismatch.path) or origin(check, self.asked, mismatch.path) or calls.only()
        else:
            name = origin(check, self.asked, None) or calls.only()
        line = defined_at(text, name) if name else 0
        return name, self._spot(Place(self.stem, line)) if line else ""

    def _misfit(self, failure: Failure) -> Misfit | None:
        """A call of the exercise that its parameters do not allow."""
        if failure.type != "TypeError" or failure.places:
            return None
        return misfit(failure.message, self.learner.sources[self.stem].text, generated(self._entry))

    def _unusable(self, failure: Failure, kind: str, calls: Calls) -> str:
        """Return what there is to say of an error that is raised where the check uses the exercise, not in its code."""
        found = self._misfit(failure)
        if found is not None:
            return str(found)
        words = f"The check can't go on with what your code gives it: {kind}{'' if kind.endswith('?') else '.'}"
        several = re.search(r"values to unpack \(expected (\d+)", failure.message)
        if several is not None and failure.type == "ValueError" and int(several[1]) in calls.parts.values():
            name = f"`{calls.only()}`" if calls.parts.get(calls.only()) == int(several[1]) else "a function"
            number = "a pair" if several[1] == "2" else f"{several[1]} values"
            return f"The check takes apart what {name} returns: it must return {number}. {kind}."
        text = self.learner.sources[self.stem].text
        empty = [name for name in calls.names if returns_nothing(text, name)] if "NoneType" in failure.message else []
        if empty:
            return f"{words} `{empty[0]}` has no `return`."
        if "NoneType" in failure.message and calls.only():
            return f"{words} Does `{calls.only()}` return something in every case, and make every attribute?"
        lacking = LACKING.search(failure.message)
        if lacking is None:
            return words
        if lacking["at"].isdecimal():
            return f"{words} How many parts should there be?"
        if lacking["kind"] in BUILT_IN:
            return f"{words} Of which type should it be, by the docstring?"
        return f"{words} Compare the names with those in the docstring."

    def _verdict(self, outcome: Outcome, whole: Failure | None = None, calls: Calls | None = None) -> Verdict:
        """Put an outcome into words. A call that came back is a pass.

        Args:
            outcome: what came of the code, as far as it may be told.
            whole: how it failed, if it did.
            calls: what the check calls.
        """
        failure, seconds = outcome.failure, outcome.seconds
        if failure is None:
            return Verdict("pass", seconds=seconds)
        where = f" at {self._spot(failure.places[-1])}" if failure.places else ""
        if self._is_todo(failure):
            return Verdict("todo", f"Not written yet:{where.removeprefix(' at')}", seconds)
        if failure.kind == "missing" and self.stretch and (goal := self._goal(failure)):
            return Verdict("todo", f"Not begun: {goal}, see Stretch in the lesson.", seconds)
        if failure.kind == "timeout":
            return Verdict("timeout", failure.message, seconds)
        if failure.kind in ("missing", "died"):
            return Verdict("error", failure.message, seconds)
        if failure.kind == "flood":
            return Verdict("error", f"{failure.message}{where}. Take the print out, or out of the loop.", seconds)
        if failure.kind == "exit":
            return Verdict("error", f"Your code ends the program (exit, quit, sys.exit or os._exit){where}.", seconds)
        if failure.kind == "debugger":
            return Verdict(
                "error", f"Your code calls a debugger (breakpoint or pdb.set_trace){where}. {STEPPING}", seconds
            )
        if failure.kind == "syntax":
            return Verdict("error", self._syntax(failure), seconds)
        kind = _words_of(failure)
        if failure.kind == "memory":
            kind = f"Your code asks for more memory than it may have.\n{kind}"
        if not failure.places:
            words = self._unusable(whole or failure, kind, calls or Calls())
            return Verdict("fail", words, seconds)
        told = translated(failure)
        lines = [kind, *self._trace(failure.places)]
        return Verdict("error", "\n".join([told, *lines[1:], kind] if told else lines), seconds)

    def _code(self, failure: Failure | None) -> list[str]:
        """The line at which code failed, what stands in it, and what Python says."""
        if failure is None or failure.kind != "raised" or not failure.places or self._is_todo(failure):
            return []
        operands = failure.failing.operands if failure.failing is not None else ()
        width = max((len(each.text) for each in operands), default=0)
        shown = [f"  {each.text:<{width}}{str(each).removeprefix(each.text)}" for each in operands]
        says = [_words_of(failure).splitlines()[0]] if translated(failure) else []
        return [clean(line) for line in (self._line(failure.places[-1]), *dict.fromkeys(shown), *says)]

    def _is_todo(self, failure: Failure) -> bool:
        return (
            "NotImplementedError" in failure.bases
            and bool(failure.places)
            and "NotImplementedError" in self._line(failure.places[-1])
        )

    def _goal(self, failure: Failure) -> str:
        """The name that is missing, if the exercise does not ask for it itself; else ""."""
        found = re.search(r"defines no `(\w+)`", failure.message)
        return found[1] if found is not None and found[1] not in self.asked else ""

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


def _words_of(failure: Failure) -> str:
    """Return what Python says of an error, with the name that was probably meant."""
    words = f"{failure.type}: {failure.message}" if failure.message else failure.type
    return f"{words}. Did you mean: '{failure.meant}'?" if failure.meant else words


def _withheld(outcome: Outcome) -> Outcome:
    """An outcome without what the learner's code says itself, which could repeat a hidden check's input."""
    failure = outcome.failure
    if failure is not None and failure.kind in ("raised", "memory"):
        failure = replace(failure, message="", failing=None, meant="")
    return replace(outcome, failure=failure, printed="")
