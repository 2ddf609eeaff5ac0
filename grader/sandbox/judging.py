"""The judge of code that nobody vouches for: the reference and the verdict here, the code under test in the sandbox."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from grader.checks import Check
from grader.judging.comparison import Mismatch
from grader.judging.judge import Judge
from grader.judging.reference import Reference
from grader.probing.assembly import Assembly
from grader.probing.outcome import Failure, Guard, Outcome, no_limit
from grader.probing.stopwatch import RanOut, ran_out, stopwatch
from grader.sandbox.inside import limits, wire
from grader.sandbox.inside.child import warm_up
from grader.sandbox.launchers import Launcher, launcher
from grader.sandbox.probes import probe_source
from grader.sandbox.process import TOP, Allowance, Cause, Gone, Process
from grader.workers.autopsy import autopsy
from grader.workers.here import Worker, send, serve, streams
from grader.workers.libraries import libraries

COMPARISON_LIMIT = 60.0  # seconds that the judge takes to compare, whatever it was sent
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
        self._used = False  # whether the process has run a probe

    def compare(self, check: Check, got: Any, want: Any, hidden: bool = False) -> Mismatch | None:
        """As everywhere, but not for ever: what was sent may be made to be slow."""
        with self._patience(COMPARISON_LIMIT):
            return super().compare(check, got, want, hidden)

    def run_import(self, limit: float) -> Outcome:
        """Send the sources to a fresh process, which imports the exercise."""
        self.close()
        self._import_limit = limit
        self._used = False
        plots = any("matplotlib" in source.text for source in self.learner.sources.values())
        self._process = self._launcher.launch(self._allowance, PLOTS if plots else ())
        sources = {stem: [f"{stem}.py", source.text, source.origin] for stem, source in self.learner.sources.items()}
        request = {
            "stem": self.stem,
            "sources": sources,
            "libraries": libraries().names,
            "forbids": self.forbids,
            "operators": self.operators,
            "limit": limit,
        }
        return self._ask({"open": request}, limit, f"importing {self.stem}.py")

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
        files = {str(TOP / f"{stem}.py"): self.learner.filename(stem) for stem in self._own}
        return autopsy(gone.trace, gone.code, limit, what, files, cause)


class IsolatedWorker(Worker):
    """Serves the same requests as the worker that runs checks here."""

    remembers = False  # it trusts no file that anybody's code could have written

    def __init__(self) -> None:
        super().__init__()
        self.launcher: Launcher = launcher()
        self.capped = False
        self.warm = False

    def prepare(self, suite: Path, stem: str) -> Reference:
        """As everywhere; while the sandbox comes up, load what the reference will need as well."""
        reference = super().prepare(suite, stem)
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
            patience=stopwatch,
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
    requests, answers = streams()
    limits.hide_memory()
    worker = IsolatedWorker()
    for line in requests:
        send(answers, serve(worker, json.loads(line)))
    worker.launcher.close()


if __name__ == "__main__":
    main()
