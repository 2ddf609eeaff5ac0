"""The judge of code that nobody vouches for: the reference and the verdict here, the code under test in the sandbox."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grader.checks import Check
from grader.judging.judge import Judge
from grader.judging.reference import Reference
from grader.probing.assembly import Assembly
from grader.probing.outcome import Failure, Guard, Outcome, no_limit
from grader.sandbox.inside import limits, wire
from grader.sandbox.inside.child import warm_up
from grader.sandbox.launchers import Launcher, launcher
from grader.sandbox.probes import probe_source
from grader.sandbox.process import TOP, Allowance, Cause, Gone, Process
from grader.workers.autopsy import autopsy
from grader.workers.here import Worker, send, serve, stopwatch, streams

COMPARISON_LIMIT = 60.0  # seconds that the judge takes to compare, whatever it was sent
JUDGE_MEMORY = 8 << 30  # bytes of address space that the judge may take on top of what it starts with

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
        needs: Sequence[str] = (),
        launch: Launcher,
        allowance: Allowance | None = None,
        patience: Guard = no_limit,
    ) -> None:
        super().__init__(stem, learner, reference, seed)
        self.suite = suite
        self.forbids = list(forbids)
        self.guarded = [name for name in learner.sources if name not in needs]  # the exercise and the learner's helpers
        self.cpu = 0.0  # seconds of processor time that the learner's side has used
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

    def compare(self, check: Check, got: Any, want: Any, hidden: bool = False) -> str | None:
        """As everywhere, but not for ever: what was sent may be made to be slow."""
        with self._patience(COMPARISON_LIMIT):
            return super().compare(check, got, want, hidden)

    def run_import(self, limit: float) -> Outcome:
        """Send the sources to a fresh process, which imports the exercise."""
        self.close()
        self._import_limit = limit
        self._process = self._launcher.launch(self._allowance)
        sources = {stem: [f"{stem}.py", source.text, source.origin] for stem, source in self.learner.sources.items()}
        request = {
            "stem": self.stem,
            "sources": sources,
            "forbids": self.forbids,
            "guarded": self.guarded,
            "limit": limit,
        }
        return self._ask({"open": request}, limit, f"importing {self.stem}.py")

    def run_probe(self, check: Check, limit: float) -> Outcome:
        """Send a probe to the process; if that is gone, a fresh one imports the exercise first."""
        if self._process is None:
            outcome = self.run_import(self._import_limit)
            if outcome.failure is not None:
                return outcome
        request = {
            "name": check.__name__,
            "source": probe_source(self.suite, check.__name__),
            "seed": self.seed_of(check),
            "limit": limit,
        }
        return self._ask({"probe": request}, limit, "the check")

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
            frame = process.ask(head, wall=limit, cpu=limit)
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
            self.cpu += max(0.0, process.cpu - before)

    def _why(self, gone: Gone, limit: float, what: str) -> Failure:
        """Name what ran out, or how it ended."""
        if gone.cause in WORDS:
            return Failure("died", "", message=f"{WORDS[gone.cause]} ({what}).")
        used_up = gone.cause in ("wall", "cpu") or gone.code == -signal.SIGXCPU
        trace = f"Timeout\n{gone.trace}" if used_up else gone.trace
        files = {str(TOP / f"{stem}.py"): self.learner.filename(stem) for stem in self._own}
        return autopsy(trace, gone.code, limit, what, files, "of processor time " if gone.cause == "cpu" else "")


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
            needs=request["needs"],
            launch=self.launcher,
            allowance=Allowance(memory=request["memory"]),
            patience=stopwatch,
        )

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request; with the verdict comes the processor time that the code under test has used."""
        if request["do"] == "level":
            level = self.launcher.level
            return asdict(level)
        before = self._cpu()
        answer = super().answer(request)
        return answer | {"cpu": max(0.0, self._cpu() - (0.0 if request["do"] == "open" else before))}

    def _cpu(self) -> float:
        return self.judge.cpu if isinstance(self.judge, IsolatedJudge) else 0.0


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
