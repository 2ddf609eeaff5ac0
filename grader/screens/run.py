"""The terminal report: a row for each exercise as it is graded, then the first thing to mend and where to begin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from grader.content.edition import manifest
from grader.content.suite import withheld
from grader.content.syllabus import Entry, load
from grader.files import shown
from grader.results import ExerciseResult, Result, Status
from grader.screens.console import Printer, console
from grader.screens.failure import FailureScreen

__all__ = ["Report", "console"]

WORDS: dict[Status, str] = {"todo": "to do"}
ROW = 72  # columns that a row on an exercise takes; where there are fewer, it has two lines


class Report:
    """Prints a run while it happens."""

    def __init__(self, exercises: Path, plain: bool = False, seed: int = 0, watching: bool = False) -> None:
        self.out = Printer(plain)
        self.exercises = exercises
        self.entries = {entry.stem: entry for entry in load()}
        self.console = self.out.console
        self.failure = FailureScreen(self.out, exercises, seed, watching)

    def row(self, result: ExerciseResult) -> None:
        """One line on one exercise, as soon as it is graded."""
        entry = self.entries[result.stem]
        line = Text("  ").append_text(self.out.mark(result.status))
        started = result.status == "todo" and result.points > 0
        word = "in progress" if started else WORDS.get(result.status, result.status)
        with_what = ""
        if result.status != "todo" and result.borrowed:
            with_what = f"with the reference's {', '.join(stem.partition('_')[0] for stem in result.borrowed)}"
        if self.out.width >= ROW:
            line.append(f" {entry.label}  {entry.title:<42}{word:<12}")
            line.append(f"{result.points:>3} of {result.max_points}", style="bold" if result.points else "dim")
            self.out.line(line.append(f"   {with_what}" if with_what else "", style="dim"))
        else:
            self.out.line(line.append(f" {entry.label}  {entry.title}"))
            told = filter(None, (word, f"{result.points} of {result.max_points}", with_what))
            self.out.line(f"          {', '.join(told)}", style="dim")
        for note in result.notes:
            self.out.block(note, 4)
        more = withheld(entry)
        if result.status == "pass" and more:
            checks = f"{more} hidden {'check runs' if more == 1 else 'checks run'}"
            self.out.line(f"    {entry.label}: public checks passed; {checks} when it is graded.")

    def notice(self, entry: Entry, message: str) -> None:
        """Show what is known of an exercise while its other checks go on."""
        self.out.block(f"{entry.label}: {message} (The other checks go on.)", 2, "yellow")

    def details(self, result: ExerciseResult, everything: bool = False) -> None:
        """Show what does not pass in one exercise: the first reason, or each one with all that there is to see."""
        self.out.line()
        self.failure.show(self.entries[result.stem], result, everything)

    def passed(self, result: ExerciseResult) -> None:
        """Show what there is to say of an exercise that passes and was asked for."""
        entry = self.entries[result.stem]
        self.out.line()
        self.out.show(self.failure.header(entry, result))
        self.learned(entry, result)

    def learned(self, entry: Entry, result: ExerciseResult) -> None:
        """After a pass: what the learner has understood, what their code printed, and what was not their own."""
        if entry.understood:
            self.out.line()
            self.out.block(entry.understood, 2, "bold")
        more = withheld(entry)
        if more:
            self.out.line(f"  {more} hidden {'check runs' if more == 1 else 'checks run'} when it is graded.")
        self.failure.borrowed(result)
        self.printed(result)
        self.out.line()
        self.out.line(f"  A picture of what your code does: make look EX={entry.label[2:]}")
        if entry.goals is not None:
            self.out.line(f"  For more, the lesson's stretch goals: make stretch EX={entry.label[2:]}")

    def stretch(self, goals: Entry, result: ExerciseResult, everything: bool = False) -> None:
        """Show what came of an exercise's stretch goals: what was not begun is said, and is no failure."""
        self.out.line()
        failing = result.status not in ("pass", "todo")
        if failing:
            self.failure.show(goals, result, everything)
        else:
            self.out.show(self.failure.header(goals, result))
            self.failure.borrowed(result)
            self.printed(result)
        waiting = dict.fromkeys(check.message for check in result.checks if check.status == "todo")
        if waiting:
            self.out.line()
        for message in waiting:
            self.out.block(message, 2)

    def printed(self, result: ExerciseResult) -> None:
        """Show what the learner's code printed at its import, and in the first check in which it printed."""
        talkative = next((check for check in result.checks if check.evidence.printed), None)
        lines = [*result.printed, *(talkative.evidence.printed if talkative is not None else [])]
        if lines:
            self.out.line()
            self.out.show(self.failure.printed(lines))

    def summary(self, result: Result, then: Entry | None = None) -> None:
        """The last lines: how many exercises pass, and what to do next: `then`, if all that was graded passes."""
        bonus = [exercise for exercise in result.exercises if self.entries[exercise.stem].bonus]
        course = [exercise for exercise in result.exercises if exercise not in bonus]
        self.out.line()
        self.out.line(Text("; bonus: ").join(map(_count, filter(None, (course, bonus)))))
        passing = {exercise.stem for exercise in result.exercises if exercise.status == "pass"}
        released = manifest()
        open_ones = self._in_turn(result.exercises)
        if passing >= {entry.stem for entry in self.entries.values() if not entry.bonus}:
            everything = passing == self.entries.keys()
            if released is None or released.whole:
                what = "Everything passes" if everything else "The course is complete"
                self.out.line(f"{what}. Train what you built: make train")
            elif everything:
                self.out.line("Everything released so far passes.")
        if open_ones:
            self._next(self.entries[open_ones[0].stem], open_ones[0])
        elif then is not None:
            path = shown(str(self.exercises / then.stub.name))
            self.out.line(Text(f"Next: {then.label} {then.title}, ").append_text(self.out.place(path)))

    def _in_turn(self, results: Sequence[ExerciseResult]) -> list[ExerciseResult]:
        """Return what does not pass, in the order in which `make progress` names it, too.

        What was begun, then what comes after the last pass, then what was skipped; a bonus that was not begun is last.
        """
        last = max((place for place, one in enumerate(results) if one.status == "pass"), default=-1)

        def turn(numbered: tuple[int, ExerciseResult]) -> tuple[bool, bool, bool]:
            place, one = numbered
            begun = one.status != "todo" or one.points > 0
            return (not begun, not begun and self.entries[one.stem].bonus, not begun and place < last)

        waiting = [(place, one) for place, one in enumerate(results) if one.status not in ("pass", "blocked")]
        return [one for _, one in sorted(waiting, key=turn)]

    def _next(self, entry: Entry, result: ExerciseResult) -> None:
        path = shown(str(self.exercises / entry.stub.name))
        begin = "Begin with" if result.status == "todo" and not result.points else "Go on with"
        begin = f"Bonus: {begin.lower()}" if entry.bonus else begin
        line = Text(f"{begin} ").append_text(self.out.place(path))
        self.out.line(line.append(f" (hints: make hint EX={entry.label[2:]})"))


def _count(several: Sequence[ExerciseResult]) -> Text:
    """Return how many of some exercises pass, and their points."""
    passing, total = sum(one.status == "pass" for one in several), len(several)
    points, most = sum(one.points for one in several), sum(one.max_points for one in several)
    line = Text(f"{passing} of {total} {'exercise' if total == 1 else 'exercises'}", style="bold")
    return line.append(f", {points} of {most} points", style="not bold")
