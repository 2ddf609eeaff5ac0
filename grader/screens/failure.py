"""The failure screen: the first thing to mend in an exercise, on one screen; the rest when it is asked for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.text import Text

from grader.content.hints import name_for
from grader.content.syllabus import Entry, load
from grader.files import ROOT, real, shown
from grader.judging.side_by_side import narrow
from grader.results import CheckResult, ExerciseResult, Named, Status
from grader.screens.console import Printer

OTHERS = 4  # further problems that are named
SENTENCE = 6  # lines that the sentence may have on the first screen
PRINTED = 4  # lines of the learner's prints there
FAILING = ("fail", "error", "timeout")
OWN = "the lesson, "  # how a link to the exercise's own lesson begins
COUNTED: tuple[tuple[Status, str, str], ...] = (  # how many checks there are of each kind, in words
    ("pass", "passes", "pass"),
    ("fail", "fails", "fail"),
    ("blocked", "waits", "wait"),
    ("todo", "to be written", "to be written"),
)


@dataclass(frozen=True)
class Story:
    """What is told of a failing check, most important first.

    `sentence` says what is wrong, `why` why that may be (a misconception, named once), `facts` is what else was said of
    it, for those who want to see everything.
    """

    sentence: str
    why: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, check: CheckResult) -> Story:
        """The story of a check; a message on the numbers alone gives way to a misconception that explains them."""
        first, _, more = check.message.partition("\n")
        sentence, rest = capital(first), [more] if more else []
        named = check.misconception
        if named is None:
            return cls(sentence, [], rest)
        nudges = [turn.nudge for turn in named.of]
        if check.evidence.numbers:
            return cls(named.says, nudges[:2], [*nudges[2:], sentence, *rest])
        if named.kind == "one" and check.status == "fail":
            return cls(sentence, nudges, [named.says, *rest])
        return cls(sentence, [named.says, *(nudges if named.kind == "one" else [])], [*nudges, *rest])


class FailureScreen:
    """Shows what does not pass in an exercise. One mistake trips many checks, so the first one has the stage."""

    def __init__(self, printer: Printer, exercises: Path, seed: int = 0, watching: bool = False) -> None:
        self.out = printer
        self.exercises = exercises
        self.seed = seed
        self.watching = watching  # a save grades again, and a key shows the rest or gives a hint

    def show(self, entry: Entry, result: ExerciseResult, everything: bool = False, room: int | None = None) -> None:
        """Print it.

        Args:
            entry: the exercise.
            result: what came of it.
            everything: each reason, with all there is to see of it.
            room: lines of the screen that there are for it; what does not fit is left out, the least important first.
        """
        reasons = self.reasons(result)
        if not everything or not reasons:
            self.out.show(self._brief(entry, result, room))
            if not self.watching and reasons:
                self._next(entry, result)
            return
        self.out.show(self.header(entry, result))
        for checks in reasons:
            self.out.line()
            for block in self._blocks(checks):
                self.out.show([*block, Text()])
            self._rest_of(entry, checks)
        self._waiting(entry, result)
        self._next(entry, result, shown=True)

    def rest(self, entry: Entry, result: ExerciseResult) -> None:
        """Print what the first screen leaves out."""
        reasons = self.reasons(result)
        if not reasons:
            return
        self._headline(reasons[0])
        self.out.line()
        self._rest_of(entry, reasons[0])
        others = reasons[1:]
        if others:
            self.out.line()
            self.out.line("  Also:" if len(others) <= OTHERS else f"  Also, among {len(others)} more:", style="dim")
            for checks in others[:OTHERS]:
                self._headline(checks)
            self.out.show(self.out.labelled("All of them in full:", self._make(entry, "--all"), 2))
        self._waiting(entry, result)

    @staticmethod
    def reasons(result: ExerciseResult) -> list[list[CheckResult]]:
        """The checks that fail, those with the same message together."""
        found: dict[tuple[str, str], list[CheckResult]] = {}
        for check in result.checks:
            if check.status in FAILING:
                found.setdefault((check.status, check.message), []).append(check)
        return list(found.values())

    def header(self, entry: Entry, result: ExerciseResult) -> list[Text]:
        """The exercise with its points, and a mark for each of its checks."""
        title = Text(f"{entry.label} {entry.title}", style="bold")
        worth = "stretch goals" if entry.stretch else f"{result.points} of {result.max_points} points"
        title.append(f"  {worth}", style="not bold")
        return [*self.out.lines(title), *self.out.lines(self.marks(result.checks))]

    def marks(self, checks: Sequence[CheckResult]) -> Text:
        """A mark for each check, and how many there are of each kind."""
        line = Text("  ")
        for check in checks:
            line.append_text(self.out.mark(check.status))
        counts = []
        for status, one, several in COUNTED:
            kinds = FAILING if status == "fail" else (status,)
            count = sum(check.status in kinds for check in checks)
            if count:
                counts.append(f"{count} {one if count == 1 else several}")
        return line.append("  ").append(", ".join(counts), style="dim")

    def printed(self, lines: Sequence[str], most: int = 1000) -> list[Text]:
        """Return what the learner's code printed, marked as theirs."""
        if not lines:
            return []
        found = [Text("  Your code printed:", style="dim")]
        for line in lines[:most]:
            found += self.out.marked("  | ", line)
        if len(lines) > most:
            found.append(Text(f"  | ... and {len(lines) - most} more lines", style="dim"))
        return found

    # ---- the first screen -------------------------------------------------------------------------------------------

    def _brief(self, entry: Entry, result: ExerciseResult, room: int | None) -> list[Text]:
        """The exercise, and the first reason with what there is room for."""
        reasons, head = self.reasons(result), self.header(entry, result)
        if not reasons:  # nothing was run: an earlier exercise has to pass first
            return [*head, Text(), *self.out.paragraph(result.checks[0].message, 2)]
        blocks = self._blocks(reasons[0], SENTENCE, PRINTED)
        left = 1000 if room is None else room - len(head)
        while len(blocks) > 1 and sum(len(block) + 1 for block in blocks) > left:
            blocks.pop()
        return [*head, *(line for block in blocks for line in (Text(), *block))]

    def _blocks(self, checks: Sequence[CheckResult], sentence: int = 1000, printed: int = 1000) -> list[list[Text]]:
        """Return what is told of a reason, in the order in which it is read and may be left out from the end."""
        check, evidence, story = checks[0], checks[0].evidence, Story.of(checks[0])
        told = self.out.paragraph(story.sentence, 2, "bold")
        if len(told) > sentence:
            told = [*told[:sentence], Text("  ...", style="bold")]
        first = [*self._head(checks), *told]
        if evidence.spot:
            place = Text("  ").append_text(self.out.place(evidence.spot, "cyan"))
            place.append(f"  {evidence.name}" if evidence.name else "", style="dim")
            first += self.out.lines(place)
        code = [self.out.row(line, 4) for line in evidence.code]
        why = [line for each in story.why for line in self.out.paragraph(each, 2)]
        rows = [self.out.row(line, 4) for line in narrow(evidence.beside, self.out.width - 4)]
        if check.status == "error" and not code and story.facts:  # where Python stood, or could not go on
            code = self.out.paragraph(story.facts[-1], 2)
        return [block for block in (first, code, why, rows, self.printed(evidence.printed, printed)) if block]

    def _head(self, checks: Sequence[CheckResult]) -> list[Text]:
        check = checks[0]
        line = Text("  ").append_text(self.out.mark(check.status))
        line.append(f" {check.says}")
        hidden = ", hidden" if check.hidden else ""
        return self.out.lines(line.append(f"  ({check.status}{hidden})", style="dim"))

    # ---- the rest ---------------------------------------------------------------------------------------------------

    def _rest_of(self, entry: Entry, checks: Sequence[CheckResult]) -> None:
        """Show what else there is to see of one reason."""
        check, evidence, story = checks[0], checks[0].evidence, Story.of(checks[0])
        facts = [fact for fact in story.facts if fact]
        links = read_again(check.misconception)
        for fact in [*facts, links] if links else facts:
            self.out.show([*self.out.paragraph(fact, 2), Text()])
        if evidence.inputs:
            self.out.line(f"  The check calls (seed {self.seed}):", style="dim")
            self.out.show([*(self.out.row(line, 4, style="dim") for line in evidence.inputs), Text()])
        self.out.show(self.out.labelled("This check alone:", self._pytest(entry, check), 2))
        self.out.line("  (--trace: step by step; --pdb: stops where it goes wrong)", style="dim")

    def _headline(self, checks: Sequence[CheckResult]) -> None:
        self.out.show(self._head(checks))
        if len(checks) > 1:
            self.out.line(f"    and {len(checks) - 1} more, for the same reason", style="dim")

    def _waiting(self, entry: Entry, result: ExerciseResult) -> None:
        """Show what is blocked, what is still to be written, what was borrowed, and who uses it."""
        self.out.line()
        for status, one, several in (
            ("blocked", "check waits for the above", "checks wait for the above"),
            ("todo", "check is about what you have not written yet", "checks are about what you have not written yet"),
        ):
            count = sum(check.status == status for check in result.checks)
            if count:
                self.out.line(f"  {count} more {one if count == 1 else several}.")
        users = [other.label for other in load() if entry.stem in other.needs and not entry.stretch]
        if users:
            uses, waits = ("uses", "waits") if len(users) == 1 else ("use", "wait")
            until = f"{uses} it: the reference's, until yours passes" if entry.solution.exists() else f"{waits} for it"
            self.out.line(f"  {', '.join(users)} {until}.")
        self.borrowed(result)

    def borrowed(self, result: ExerciseResult) -> None:
        """Say what was not the learner's own."""
        if result.borrowed:
            names, do = ", ".join(result.borrowed), "does" if len(result.borrowed) == 1 else "do"
            self.out.line(f"  Graded with the reference's {names}, since yours {do} not pass yet.")

    def _next(self, entry: Entry, result: ExerciseResult, shown: bool = False) -> None:
        """Show what to type next, where there are no keys."""
        first = next(check for check in result.checks if check.status in FAILING)
        name = name_for(entry, first.evidence.name)
        self.out.line()
        self.out.show(self.out.labelled("Fix it, then:", self._make(entry), 2))
        hint = f"make hint EX={entry.label[2:]}" + (f" NAME={name}" if name else "")
        if not entry.stretch:
            self.out.show(self.out.labelled("Stuck?", hint, 2))
        if not shown:
            self.out.show(self.out.labelled("All there is to see:", self._make(entry, "--all"), 2))

    def _make(self, entry: Entry, *options: str) -> str:
        options = (*options, *self._where(), *(("--seed", str(self.seed)) if self.seed else ()))
        return f"make {'stretch' if entry.stretch else 'test'} EX={entry.label[2:]}{for_make(options)}"

    def _pytest(self, entry: Entry, check: CheckResult) -> str:
        options = (*self._where(), *(("--seed", str(self.seed)) if self.seed else ()))
        node = f"{shown(str(entry.suite))}::{check.id.partition('::')[2]}"
        words = [shown(sys.executable), "-m", "pytest", node, *options]
        return " ".join(words) if sys.platform == "win32" else shlex.join(words)

    def _where(self) -> tuple[str, ...]:
        own = real(self.exercises) == ROOT / "exercises"
        return () if own else ("--exercises", shown(str(self.exercises)))


def for_make(options: Sequence[str]) -> str:
    """Options as an argument of make, to be typed into a shell: a path among them may hold anything."""
    if not options:
        return ""
    arguments = shlex.join(options).replace("$", "$$")
    plain = not set(arguments) & set('"$`\\!')
    return f' ARGS="{arguments}"' if plain and " " in arguments else f" ARGS={shlex.quote(arguments)}"


def known(misconception: Named | None) -> Iterator[str]:
    """Yield what is said of the known wrong turns that a check shows: each one, its nudge, where to read on."""
    if misconception is not None:
        yield misconception.says
        for turn in misconception.of:
            yield turn.nudge
        links = read_again(misconception)
        if links:
            yield links


def read_again(misconception: Named | None) -> str:
    """Return where to read on about a misconception; "" if there is nothing."""
    turns = misconception.of if misconception is not None else ()
    links = dict.fromkeys(link for turn in turns for link in turn.links)
    own = [link for link in links if link.startswith(OWN)]  # it is in the very file
    return f"Read again: {'; '.join([*own, *(link for link in links if link not in own)])}" if links else ""


def capital(message: str) -> str:
    """The message with a capital at its beginning, unless that is code."""
    first = message.split(" ", 1)[0]
    return message[:1].upper() + message[1:] if first.isalpha() and first.islower() and len(first) > 1 else message
