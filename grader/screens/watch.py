"""What a watch shows. On a terminal each verdict has one screen of its own; elsewhere line follows line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from rich.text import Text

from grader.content.hints import Hint
from grader.content.suite import withheld
from grader.content.syllabus import Entry, load
from grader.files import shown
from grader.results import ExerciseResult
from grader.screens.run import Report

KEYS = (
    ("h", "int"),
    ("i", "nside"),
    ("o", "pen"),
    ("r", "un again"),
    ("n", "ext"),
    ("l", "ist"),
    ("s", "olution"),
    ("d", "iff"),
    ("p", "icture"),
    ("q", "uit"),
)
BAR = 30  # columns


class Course(NamedTuple):
    """How far a learner is: the exercises that pass, how many there are, and the next one that does not pass."""

    passing: int
    total: int
    following: Entry | None


class Screen:
    """The screen of one watch."""

    def __init__(self, exercises: Path, plain: bool, seed: int, keys: bool) -> None:
        self.exercises = exercises
        self.report = Report(exercises, plain, seed, watching=keys)
        self.out = self.report.out
        self._keys = keys
        self._others: list[ExerciseResult] = []  # graded since the last verdict, and not told yet
        self._barred = False  # whether the keys stand below the last verdict
        self._clears = keys and not plain and self.out.console.is_terminal and not self.out.console.is_dumb_terminal

    def clear(self) -> None:
        """Begin a new screen; what was there stays in the terminal's memory of lines."""
        if self._clears:
            rows = self.out.console.height
            self.out.console.file.write("\n" * rows + "\x1b[H\x1b[2J")
            self.out.console.file.flush()

    def say(self, text: str, style: str = "") -> None:
        """A line."""
        self.out.line(text, style=style)

    def bar(self) -> None:
        """The keys."""
        self._barred = True
        self.out.show(self._bar())

    def settled(self) -> None:
        """Nothing more is being graded: where a verdict has a screen of its own, the others have one line below it."""
        others, self._others = self._others, []
        if not self._clears or not self._barred:
            self.bar()
        failing = [result for result in others if result.status not in ("pass", "todo")]
        if others:
            said = ", ".join(f"{result.stem.partition('_')[0]} ({result.status})" for result in failing)
            self.out.line(
                f"Also graded: {len(others)} that use it{f'; not passing: {said}' if said else ''}.", style="dim"
            )

    def _bar(self) -> list[Text]:
        if not self._keys:
            return []
        line = Text()
        for key, rest in KEYS:
            line.append(f"[{key}]", style="bold").append(f"{rest.replace(' ', chr(0xA0))} ", style="dim")
        return [Text(), *self.out.lines(line)]

    def verdict(self, entry: Entry, result: ExerciseResult, seconds: float, course: Course) -> None:
        """Show what came of the exercise that is worked on, on one screen."""
        self._others, self._barred = [], False
        top = self._course(course, f"{entry.label} graded in {seconds:.2f} s")
        self.out.show(top)
        if result.status == "pass":
            self._passed(entry, result, course.following)
        elif result.status == "todo":
            self._todo(entry, result)
        elif self._keys:
            room = self.out.console.height - len(top) - len(self._bar()) - 2 if self._clears else None
            self.report.failure.show(entry, result, room=room)
        else:
            self.report.failure.show(entry, result)
        if self._clears:
            self.bar()

    def notice(self, entry: Entry, message: str) -> None:
        """Show what is known while the other checks go on."""
        self.report.notice(entry, message)

    def inside(self, entry: Entry, result: ExerciseResult) -> None:
        """Show what the screen of a failure leaves out."""
        self.out.line()
        self.report.failure.rest(entry, result)

    def hint(self, name: str, hint: Hint, tier: int) -> None:
        """One tier of a hint."""
        self.out.line()
        line = Text(f"Hint {tier} of {len(hint.tiers)}", style="bold").append(f"  {name}", style="not bold cyan")
        self.out.line(line)
        self.out.block(hint.tier(tier), 2)
        if tier == len(hint.tiers):
            self.out.line("  That was the last one. s shows the solution, if you give up.", style="dim")

    def row(self, result: ExerciseResult) -> None:
        """Show what came of another exercise."""
        if self._clears:
            self._others.append(result)
        else:
            self.report.row(result)

    @property
    def quiet(self) -> bool:
        """Whether a verdict stands on the screen that no news of other exercises should push away."""
        return self._clears and self._barred

    def _course(self, course: Course, what: str) -> list[Text]:
        """Return how far the learner is in the whole, and what was graded when."""
        line = Text()
        if not self.out.plain:
            line.append_text(self.out.bar(course.passing / course.total, BAR)).append("  ")
        line.append(f"{course.passing} of {course.total} exercises")
        for now in (f"{time.strftime('%H:%M:%S')}  {what}", what):
            gap = min(self.out.width, 100) - line.cell_len - len(now)
            if gap > 1:
                line.append(" " * gap + now, style="dim")
                break
        return [line, Text()]

    def _passed(self, entry: Entry, result: ExerciseResult, following: Entry | None) -> None:
        line = Text("  ").append_text(self.out.mark("pass"))
        more = withheld(entry)
        what = f"{'public checks pass' if more else 'passes'}, {result.points} of {result.max_points} points"
        line.append(f" {entry.label} {entry.title}: {what}", style="bold green")
        self.out.line(line)
        self.out.line(self.report.failure.marks(result.checks))
        self.report.learned(entry, result)
        if self._keys:
            name = f", {following.label} {following.title}" if following is not None else ""
            beside = (
                "shows yours beside the reference's" if entry.solution.exists() else "says what is idiomatic in yours"
            )
            self.out.line(f"  d {beside}, n goes on to the next exercise{name}.")

    def _todo(self, entry: Entry, result: ExerciseResult) -> None:
        path = shown(str(self.exercises / entry.stub.name))
        waiting = [check for check in result.checks if check.status == "todo"]
        spot = waiting[0].evidence.spot or path
        line = Text("  ").append_text(self.out.mark("todo"))
        state = f"in progress, {result.points} of {result.max_points} points" if result.points else "to do"
        line.append(f" {entry.label} {entry.title}: {state}", style="bold")
        self.out.line(line)
        self.out.line(self.report.failure.marks(result.checks))
        self.out.line()
        if (self.exercises / entry.stub.name).exists():
            self.out.line(Text("  Write here: ").append_text(self.out.place(spot, "cyan")))
        else:
            self.out.line(f"  There is no file {path}. To have the stub again: make reset EX={entry.label[2:]}")
        self.out.line(f"  What must hold first: {waiting[0].says}")
        self.report.printed(result)
        if not self._keys:
            self.out.line(f"  Hints: make hint EX={entry.label[2:]}")

    def listing(self, results: dict[str, ExerciseResult], focus: Entry) -> None:
        """All exercises, with what this watch knows of them."""
        for entry in load():
            mine = "   <- you are here" if entry == focus else ""
            if entry.stem in results:
                self.report.row(results[entry.stem])
                if mine:
                    self.out.line(f"         {mine.strip()}")
            else:
                self.out.line(f"  . {entry.label}  {entry.title:<42}not graded in this watch{mine}")
