"""The judge of code that nobody vouches for: the reference and the verdict here, the code under test in the sandbox."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from grader.checks import Check
from grader.content.stubs import attributes
from grader.content.suite import checks_of
from grader.judging.comparison import Comparison, Mismatch
from grader.judging.judge import Judge
from grader.judging.reference import Reference
from grader.judging.verdict import Verdict
from grader.probing.assembly import Assembly, Source
from grader.probing.outcome import Failure, Guard, Outcome, no_limit
from grader.probing.prints import marked
from grader.probing.stopwatch import RanOut, interruption, ran_out
from grader.results import Evidence
from grader.sandbox import telling
from grader.sandbox.borrowed import compiled
from grader.sandbox.inside import limits, wire
from grader.sandbox.inside.child import warm_up
from grader.sandbox.launchers import Launcher, launcher
from grader.sandbox.probes import probe_source
from grader.sandbox.process import TOP, Allowance, Cause, Gone, Process
from grader.workers.autopsy import autopsy
from grader.workers.here import Checker
from grader.workers.libraries import libraries
from grader.workers.serving import serve

COMPARISON_LIMIT = 5.0  # seconds of processor time in which the judge compares, whatever it was sent; most take 0.01
COMPARISON_MEMORY = 2 << 30  # bytes that one comparison may take
JUDGE_MEMORY = 8 << 30  # bytes of address space that the judge may take on top of what it starts with
PLOTS = ("matplotlib.pyplot",)  # it needs files at its import: it is there before the sandbox is closed

RAN_OUT: dict[str, RanOut] = {each: each for each in get_args(RanOut)}

WORDS: dict[Cause, str] = {
    "output": "Your code printed more than 2 MiB past `print` and was stopped",
    "protocol": "Your code got in the way of the process that runs it, which sent something that is no result",
}


class IsolatedJudge(Judge):
    """A judge whose learner runs in a process of the sandbox, a fresh one for each exercise.

    `learner` is never imported here; it only says whose file is whose.
    """

    def __init__(
        self,
        stem: str,
        learner: Assembly,
        reference: Reference,
        seed: int,
        *,
        suite: Path,
        forbids: Sequence[str] = (),
        operators: Sequence[str] = (),
        launch: Launcher,
        allowance: Allowance | None = None,
        patience: Guard = no_limit,
    ) -> None:
        super().__init__(stem, learner, reference, seed)
        self.suite = suite
        self.forbids = list(forbids)
        self.operators = list(operators)
        self.cpu = 0.0  # seconds of processor time that the learner's side has used
        self.time = 0.0  # seconds that it has used, or waited for
        self._launcher = launch
        self._allowance = allowance or Allowance()
        self._patience = patience
        self._process: Process | None = None
        self._own = {
            stem: source.text.count("\n") + 1
            for stem, source in learner.sources.items()
            if source.origin != "reference"
        }
        self._import_limit = 0.0
        self._imported: Failure | None = None  # how the last import failed
        self._used = False  # whether the process has run a probe

    @cached_property
    def secret(self) -> bool:
        """Whether there is anything in the process that must not come out in the submission's own words."""
        borrowed = any(source.origin == "reference" for source in self.learner.sources.values())
        return borrowed or any(info.hidden for info in checks_of(self.suite))

    def load(self, limit: float) -> Verdict:
        """As everywhere; of what fails, in words that are not the submission's."""
        verdict = super().load(limit)
        if not self.secret:
            return verdict
        if verdict.status == "pass":
            return replace(verdict, evidence=Evidence())
        assert self._imported is not None
        message, spot = telling.not_imported(self._imported, self.learner.sources)
        said = verdict.message + marked("\n".join(verdict.evidence.printed))
        evidence = Evidence("" if spot is None else self._spot(spot))
        return replace(verdict, message=message, evidence=evidence, words=telling.words(said))

    def judge(self, check: Check, limit: float, hidden: bool = False) -> Verdict:
        """As everywhere; of what fails, in words that are not the submission's. Its own are kept beside them."""
        verdict = super().judge(check, limit, hidden)
        if not self.secret:
            return verdict
        if verdict.status == "pass":
            return replace(verdict, evidence=Evidence())
        seen, (want, calls) = self.seen[check.__name__], self.run_reference(check, hidden)
        failure, mismatch = seen.outcome.failure, None
        if verdict.status == "todo":
            message = "Not written yet."
        elif failure is not None:
            misfit = self._misfit(failure)
            message = telling.failed(failure) if misfit is None else telling.MISFIT if hidden else str(misfit)
        elif hidden:
            message = telling.WRONG
        else:
            mismatch = self.compare(check, telling.masked(seen.outcome.value, want), want)
            message = telling.sentence(mismatch or telling.DIFFERENT)
        evidence = Evidence()
        if not hidden:
            placeless = None if failure is None else replace(failure, places=())
            evidence = self._evidence(check, calls, placeless, mismatch)
            evidence = replace(evidence, beside=[telling.sentence(row) for row in evidence.beside])
        if verdict.status == "todo":
            evidence = replace(evidence, inputs=[])
        whole = seen.message + marked(seen.outcome.printed)
        if failure is not None:
            whole = self._verdict(seen.outcome, failure, calls).message + marked(seen.outcome.printed)
        return replace(verdict, message=message, evidence=evidence, words=telling.words(whole))

    def _difference(self, check: Check, got: Any, want: Any, comparison: Comparison) -> Mismatch | None:
        """As everywhere, but not for ever: what was sent may be made to be slow."""
        with self._patience(max(COMPARISON_LIMIT, check.limit / 10)), limits.memory_capped(COMPARISON_MEMORY):
            return super()._difference(check, got, want, comparison)

    def run_import(self, limit: float) -> Outcome:
        """Send the sources to a fresh process, which imports the exercise."""
        self.close()
        self._import_limit = limit
        self._used = False
        plots = any("matplotlib" in source.text for source in self.learner.sources.values())
        self._process = self._launcher.launch(self._allowance, PLOTS if plots else ())
        sources = {stem: self._sent(source) for stem, source in self.learner.sources.items()}
        request = {
            "stem": self.stem,
            "sources": sources,
            "libraries": libraries().names,
            "attributes": attributes(),
            "forbids": self.forbids,
            "operators": self.operators,
            "limit": limit,
        }
        outcome = self._ask({"open": request}, limit, f"importing {self.stem}.py")
        self._imported = outcome.failure
        return outcome

    @staticmethod
    def _sent(source: Source) -> list[str]:
        """A source as it travels: what is borrowed can be run there, and not read."""
        text = compiled(source.text) if source.origin == "reference" else source.text
        return [f"{source.stem}.py", text, source.origin]

    def run_probe(self, check: Check, limit: float) -> Outcome:
        """Send a probe to the process; if that is gone, a fresh one imports the exercise first.

        A process that dies may do so for what an earlier probe has left in it: then a fresh one runs the probe again.
        """
        request = {
            "name": check.__name__,
            "source": probe_source(self.suite, check.__name__),
            "seed": self.seed_of(check),
            "limit": limit,
        }
        while True:
            if self._process is None:
                outcome = self.run_import(self._import_limit)
                if outcome.failure is not None:
                    return outcome
            used, self._used = self._used, True
            outcome = self._ask({"probe": request}, limit, "the check")
            if not used or outcome.failure is None or outcome.failure.kind != "died":
                return outcome

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end("wall")
            self._process = None

    def _ask(self, head: dict[str, Any], limit: float, what: str) -> Outcome:
        assert self._process is not None
        process, before = self._process, self._process.cpu
        started = time.perf_counter()
        try:
            frame = process.ask(head, limit)
            return wire.unpack_outcome(frame, self._own, time.perf_counter() - started)
        except Gone as gone:
            self._process = None
            return Outcome(failure=self._why(gone, limit, what), seconds=time.perf_counter() - started)
        except wire.WireError:
            self._process = None
            return Outcome(
                failure=self._why(process.end("protocol"), limit, what), seconds=time.perf_counter() - started
            )
        finally:
            used = max(0.0, process.cpu - before)
            self.cpu += used
            self.time += used + process.rest

    def _why(self, gone: Gone, limit: float, what: str) -> Failure:
        """Name what ran out, or how it ended."""
        if gone.cause in WORDS:
            return Failure("died", "", message=f"{WORDS[gone.cause]} ({what}).")
        cause = RAN_OUT.get(gone.cause) or ran_out(gone.code, gone.trace)
        files = {str(TOP / f"{stem}.py"): self.learner.sources[stem] for stem in self._own}
        return autopsy(gone.trace, gone.code, limit, what, files, cause)


class IsolatedChecker(Checker):
    """Serves the same requests as the worker that runs checks here."""

    remembers = False  # it trusts no file that anybody's code could have written

    def __init__(self) -> None:
        super().__init__()
        self.launcher: Launcher = launcher()
        self.capped = False
        self.warm = False

    def prepare(self, suite: Path, stem: str, stretch: bool = False) -> Reference:
        """As everywhere; while the sandbox comes up, load what the reference will need as well."""
        reference = super().prepare(suite, stem, stretch)
        if not self.warm and "torch" in sys.modules:
            self.warm = True
            warm_up()
        return reference

    def make_judge(self, request: dict[str, Any], learner: Assembly, reference: Reference) -> Judge:
        """A judge for an exercise whose code under test runs in the sandbox."""
        if not self.capped:
            self.capped = True
            limits.cap_memory(JUDGE_MEMORY)
        return IsolatedJudge(
            request["stem"],
            learner,
            reference,
            request["seed"],
            suite=Path(request["suite"]),
            forbids=request["forbids"],
            operators=request["operators"],
            launch=self.launcher,
            allowance=Allowance(memory=request["memory"]),
            patience=interruption,
        )

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request; with the verdict comes the time that the code under test has used."""
        if request["do"] == "level":
            level = self.launcher.level
            return asdict(level)
        judge, (cpu, time) = self.judge, self._used()
        answer = super().answer(request)
        now = self._used()
        if self.judge is not judge:
            cpu = time = 0.0
        return answer | {"cpu": now[0] - cpu, "time": now[1] - time}

    def _used(self) -> tuple[float, float]:
        return (self.judge.cpu, self.judge.time) if isinstance(self.judge, IsolatedJudge) else (0.0, 0.0)


def main() -> None:
    """Serve until stdin closes."""
    limits.hide_memory()
    checker = IsolatedChecker()
    serve(checker.answer)
    checker.launcher.close()


if __name__ == "__main__":
    main()
