"""The failure screen: the first thing to mend in an exercise with all there is to see of it, then what waits for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.text import Text

from grader.content.hints import name_for
from grader.content.syllabus import Entry, load
from grader.files import ROOT, shown
from grader.judging.side_by_side import narrow
from grader.results import CheckResult, ExerciseResult, Named
from grader.screens.console import Printer

OTHERS = 4  # further problems that are named
FAILING = ("fail", "error", "timeout")


class FailureScreen:
    """Shows what does not pass in an exercise. One mistake trips many checks, so the first one has the stage."""

    def __init__(self, printer: Printer, exercises: Path, seed: int = 0, watching: bool = False) -> None:
        self.out = printer
        self.exercises = exercises
        self.seed = seed
        self.watching = watching  # a save grades again, and a key gives a hint

    def show(self, entry: Entry, result: ExerciseResult, everything: bool = False) -> None:
        """Print it; `everything` shows each reason as fully as the first."""
        reasons = self.reasons(result)
        self.out.line()
        header = Text(f"{entry.label} {entry.title}", style="bold")
        header.append(f"  {result.points} of {result.max_points} points", style="not bold")
        self.out.line(header)
        for checks in reasons if everything else reasons[:1]:
            self._reason(entry, checks)
        rest = [] if everything else reasons[1:]
        if rest:
            self.out.line()
            self.out.line("    Also:" if len(rest) <= OTHERS else f"    Also, among {len(rest)} more:", style="dim")
            for checks in rest[:OTHERS]:
                self._headline(checks)
            self.out.line(f"    All of them in full: {self._make(entry, '--all')}", style="dim")
        if reasons:
            self._waiting(entry, result)
        else:  # nothing was run: an earlier exercise has to pass first
            self.out.line()
            self.out.block(result.checks[0].message, 4)

    @staticmethod
    def reasons(result: ExerciseResult) -> list[list[CheckResult]]:
        """The checks that fail, those with the same message together."""
        found: dict[tuple[str, str], list[CheckResult]] = {}
        for check in result.checks:
            if check.status in FAILING:
                found.setdefault((check.status, check.message), []).append(check)
        return list(found.values())

    def _reason(self, entry: Entry, checks: Sequence[CheckResult]) -> None:
        check, evidence = checks[0], checks[0].evidence
        self.out.line()
        self._headline(checks)
        if evidence.spot:
            place = Text("    ").append_text(self.out.place(evidence.spot, "cyan"))
            place.append(f"  {evidence.name}" if evidence.name else "", style="dim")
            self.out.line(place)
        self.out.line()
        self.out.block(_capital(check.message), 4)
        for line in known(check.misconception):
            self.out.block(line, 4)
        if evidence.beside:
            self.out.line()
            for line in narrow(evidence.beside, self.out.width - 6):
                self.out.row(line, 6)
        if evidence.inputs:
            self.out.line()
            self.out.line(f"    The check calls (seed {self.seed}):", style="dim")
            for line in evidence.inputs:
                self.out.row(line, 6, style="dim")
        self.out.line()
        self.out.line(f"    This check alone: {self._pytest(entry, check)}   (--trace: step by step)", style="dim")

    def _headline(self, checks: Sequence[CheckResult]) -> None:
        check = checks[0]
        line = Text("  ").append_text(self.out.mark(check.status))
        line.append(f" {check.says}", style="bold")
        hidden = ", hidden" if check.hidden else ""
        line.append(f"  ({check.status}{hidden})", style="dim")
        self.out.line(line)
        if len(checks) > 1:
            self.out.line(f"    and {len(checks) - 1} more, for the same reason", style="dim")

    def _waiting(self, entry: Entry, result: ExerciseResult) -> None:
        """What is blocked, what was borrowed, and what to do."""
        self.out.line()
        for status, words in (("blocked", "for the above"), ("todo", "to be written")):
            count = sum(check.status == status for check in result.checks)
            if count:
                self.out.line(f"    {count} more {'check waits' if count == 1 else 'checks wait'} {words}.")
        users = [other.label for other in load() if entry.stem in other.needs]
        if users:
            uses, waits = ("uses", "waits") if len(users) == 1 else ("use", "wait")
            until = f"{uses} it: the reference's, until yours passes" if entry.solution.exists() else f"{waits} for it"
            self.out.line(f"    {', '.join(users)} {until}.")
        if result.borrowed:
            names, do = ", ".join(result.borrowed), "does" if len(result.borrowed) == 1 else "do"
            self.out.line(f"    Graded with the reference's {names}, since yours {do} not pass yet.")
        first = next((check for check in result.checks if check.status in FAILING), None)
        if first is not None and self.watching:
            self.out.line("    Mend it and save. Stuck? h gives a hint.")
        elif first is not None:
            name = name_for(entry, first.evidence.name)
            hint = f"make hint EX={entry.label[2:]}" + (f" NAME={name}" if name else "")
            self.out.line(f"    Mend it, then: {self._make(entry)}   Stuck? {hint}")

    def _make(self, entry: Entry, *options: str) -> str:
        options = (*options, *self._where(), *(("--seed", str(self.seed)) if self.seed else ()))
        arguments = f' ARGS="{" ".join(options)}"' if len(options) > 1 else f" ARGS={options[0]}" if options else ""
        return f"make test EX={entry.label[2:]}{arguments}"

    def _pytest(self, entry: Entry, check: CheckResult) -> str:
        options = (*self._where(), *(("--seed", str(self.seed)) if self.seed else ()))
        node = f"{shown(str(entry.suite))}::{check.id.partition('::')[2]}"
        return " ".join([shown(sys.executable), "-m", "pytest", node, *options])

    def _where(self) -> tuple[str, ...]:
        own = self.exercises.resolve() == ROOT / "exercises"
        return () if own else ("--exercises", shown(str(self.exercises)))


def known(misconception: Named | None) -> Iterator[str]:
    """What is said of the known wrong turns that a check shows: what they are, a nudge for each, where to read on."""
    if misconception is not None:
        yield misconception.says
        for turn in misconception.of:
            yield turn.nudge
        links = dict.fromkeys(link for turn in misconception.of for link in turn.links)
        if links:
            yield f"Read again: {'; '.join(links)}"


def _capital(message: str) -> str:
    """The message with a capital at its beginning, unless that is code."""
    first = message.split(" ", 1)[0]
    return message[:1].upper() + message[1:] if first.isalpha() and first.islower() and len(first) > 1 else message
