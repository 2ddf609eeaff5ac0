"""The terminal report: a row for each exercise as it is graded, then the first thing to mend and where to begin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from grader.judge import shown
from grader.results import CheckResult, ExerciseResult, Result, Status
from grader.syllabus import Entry, load

MARKS: dict[Status, tuple[str, str, str]] = {  # status -> (mark, the same in ASCII, style)
    "pass": ("✓", "+", "green"),
    "fail": ("✗", "x", "red"),
    "error": ("✗", "x", "red"),
    "timeout": ("✗", "x", "red"),
    "blocked": ("·", "-", "yellow"),
    "todo": ("○", ".", "dim"),
}
IN_FULL = 3  # messages shown of one exercise; one mistake trips many checks
WORDS: dict[Status, str] = {"todo": "to do"}


def console(plain: bool = False, stderr: bool = False) -> Console:
    """A console that fits its stream: no colour where it is not wanted, never a character that can't be encoded."""
    dumb = os.environ.get("TERM") == "dumb"
    made = Console(
        stderr=stderr,
        no_color=True if plain else None,
        highlight=False,
        color_system=None if plain or dumb else "auto",
        soft_wrap=plain,
    )
    if hasattr(made.file, "reconfigure"):
        made.file.reconfigure(errors="replace")
    return made


class Report:
    """Prints a run while it happens."""

    def __init__(self, exercises: Path, plain: bool = False) -> None:
        self.console = console(plain)
        self.exercises = exercises
        self.plain = plain
        self.ascii = plain or not self.console.encoding.lower().startswith("utf")
        self.entries = {entry.stem: entry for entry in load()}

    def row(self, result: ExerciseResult) -> None:
        """One line on one exercise, as soon as it is graded."""
        entry = self.entries[result.stem]
        line = Text("  ")
        line.append_text(self._mark(result.status))
        started = result.status == "todo" and result.points > 0
        word = "in progress" if started else WORDS.get(result.status, result.status)
        line.append(f" {entry.label}  {entry.title:<42}{word:<12}")
        line.append(f"{result.points:>3} of {result.max_points}", style="bold" if result.points else "dim")
        if result.status != "todo" and result.borrowed:
            line.append(
                f"   with the reference's {', '.join(stem.partition('_')[0] for stem in result.borrowed)}", style="dim"
            )
        self._print(line)

    def details(self, result: ExerciseResult, everything: bool = False) -> None:
        """What does not pass in one exercise, each reason once: the first few in full unless `everything`."""
        entry = self.entries[result.stem]
        path = shown(str(self.exercises / entry.stub.name))
        self._print("")
        self._print(f"[bold]{entry.label} {escape(entry.title)}[/bold]  {escape(path)}")
        reasons: dict[tuple[Status, str], list[CheckResult]] = {}
        for check in result.checks:
            if check.status not in ("pass", "blocked", "todo"):
                reasons.setdefault((check.status, check.message), []).append(check)
        full = len(reasons) if everything else IN_FULL
        for (status, message), checks in list(reasons.items())[:full]:
            self._reason(status, message, checks)
        for (status, _), checks in list(reasons.items())[full:]:
            self._headline(status, checks)
        if len(reasons) > full:
            self._print(f"    All messages: make test EX={entry.label[2:]} ARGS=--all")
        for status, words in (("blocked", "wait for the above"), ("todo", "to do")):
            waiting = [check for check in result.checks if check.status == status]
            if waiting:
                self._print(f"    {len(waiting)} more {'check' if len(waiting) == 1 else 'checks'} {words}")
        if result.borrowed:
            names, do = ", ".join(result.borrowed), "does" if len(result.borrowed) == 1 else "do"
            self._print(f"    Graded with the reference's {names}, since yours {do} not pass yet.")
        first = next((check for check in result.checks if check.status not in ("pass", "todo", "blocked")), None)
        if first is not None:
            where = "" if self.exercises == Path("exercises") else f" --exercises {shown(str(self.exercises))}"
            self._print(
                f"    Again: make test EX={entry.label[2:]}   with a debugger: python -m pytest "
                f"{shown(str(entry.suite))} -k {first.id.partition('::')[2]} --pdb{where}"
            )

    def summary(self, result: Result) -> None:
        """The last lines: how many exercises pass, and what to do next."""
        total = len(result.exercises)
        passing = sum(exercise.status == "pass" for exercise in result.exercises)
        self._print("")
        exercises = "exercise" if total == 1 else "exercises"
        self._print(f"[bold]{passing} of {total} {exercises}[/bold], {result.points} of {result.max_points} points")
        following = next((exercise for exercise in result.exercises if exercise.status != "pass"), None)
        if following is not None:
            self._next(self.entries[following.stem], following)
        elif total == len(self.entries):
            self._print("Everything passes. Train what you built: make train")

    def _next(self, entry: Entry, result: ExerciseResult) -> None:
        path = shown(str(self.exercises / entry.stub.name))
        begin = "Begin with" if result.status == "todo" and not result.points else "Go on with"
        self._print(f"{begin} {escape(path)} (hints: make hint EX={entry.label[2:]})")

    def _reason(self, status: Status, message: str, checks: Sequence[CheckResult]) -> None:
        self._headline(status, checks)
        for part in message.splitlines():
            padded = Padding(Text(self._safe(part)), (0, 0, 0, 6), expand=False)
            self.console.print(padded, soft_wrap=self.plain)

    def _headline(self, status: Status, checks: Sequence[CheckResult]) -> None:
        line = Text("  ")
        line.append_text(self._mark(status))
        line.append(f" {checks[0].says}", style="bold")
        hidden = ", hidden" if checks[0].hidden else ""
        line.append(f"  ({status}{hidden}: {checks[0].id.partition('::')[2]})", style="dim")
        self._print(line)
        if len(checks) > 1:
            self._print(Text(f"    and {len(checks) - 1} more, for the same reason", style="dim"))

    def _mark(self, status: Status) -> Text:
        mark, plain, style = MARKS[status]
        return Text(plain if self.ascii else mark, style=style)

    def _print(self, line: Text | str) -> None:
        self.console.print(self._safe(line) if isinstance(line, str) else line, soft_wrap=True)

    def _safe(self, text: str) -> str:
        return text.encode("ascii", "replace").decode() if self.ascii else text
