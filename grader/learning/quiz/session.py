"""A sitting: the questions one after the other, on a terminal or from a pipe, each answer written down at once."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Sequence

from grader.content.stubs import FOLDER
from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import ROOT
from grader.learning.quiz import replies
from grader.learning.quiz.boxes import Key, choose, places
from grader.learning.quiz.questions import Ask, Question, questions_of
from grader.probing.assembly import Assembly, read_folder
from grader.probing.random import Random, derive
from grader.progress import History, note, survey
from grader.progress.history import Event
from grader.screens.console import Printer

QUIT, SKIP = ("quit", "exit"), ("skip",)
TRIES = 3  # replies that can't be read, before the question is skipped


class Sitting:
    """Asks questions and keeps the score."""

    def __init__(self, ask: Callable[[str], str], out: Printer, seed: int | None = None) -> None:
        self.ask = ask  # prompts and returns a line; raises EOFError at the end of the input
        self.out = out
        self.seed = secrets.randbits(32) if seed is None else seed
        self.right = self.asked = self.skipped = 0
        self.missed: list[str] = []
        self.notes: list[str] = []

    def run(self, chosen: Sequence[tuple[Entry, Question, int]], assembly: Assembly) -> None:
        """Ask the questions, given with the box that each is in (0: never asked), until the learner leaves."""
        for number, (entry, question, box) in enumerate(chosen, start=1):
            rng = Random(derive(self.seed, number, entry.stem, question.name))
            try:
                ask = question.ask(assembly.exercise(entry.stem), rng)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                self.out.block(f"({entry.label}, {question.title}: can't be computed here: {reason})", 0)
                continue
            where = f"box {box}" if box else "new"
            self.out.line()
            self.out.line(f"{number} of {len(chosen)}   {entry.label}, {question.title}   ({where})", style="bold")
            self._show(ask)
            if not self._answer(entry, question, ask):
                return

    def summary(self) -> None:
        """The last lines: the score, and what to read again."""
        self.out.line()
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        self.out.line(f"{self.right} of {self.asked} right{skipped}.", style="bold")
        if self.missed:
            self.out.block(f"Worth another look: the lessons of {', '.join(dict.fromkeys(self.missed))}.", 0)

    def _answer(self, entry: Entry, question: Question, ask: Ask) -> bool:
        """Take a reply and say what it was worth; False when the learner leaves."""
        for _ in range(TRIES):
            reply = self.ask("> ").strip()
            if reply.lower() in QUIT:
                return False
            if reply.lower() in SKIP:
                break
            try:
                right = replies.is_right(ask, reply)
            except replies.Unreadable as error:
                self.out.block(f"{error} (Or: skip, quit.)", 0)
                continue
            self._judge(entry, question, ask, right)
            return True
        self.skipped += 1
        self.out.block("Skipped.", 0)
        self._why(ask)
        return True

    def _judge(self, entry: Entry, question: Question, ask: Ask, right: bool) -> None:
        self.asked += 1
        self.right += right
        if not right:
            self.missed.append(entry.label)
        self.out.line("Right." if right else "Not quite.", style="green" if right else "red")
        self._why(ask)
        self.notes += note("answered", entry.stem, question=question.name, right=right)

    def _why(self, ask: Ask) -> None:
        self.out.block(f"The answer: {replies.written(ask.answer)}", 0)
        self.out.block(ask.why, 2)

    def _show(self, ask: Ask) -> None:
        self.out.block(ask.text, 0)
        for letter, choice in zip(replies.LETTERS, ask.choices, strict=False):
            self.out.block(f"{letter}) {choice}", 2)
        self.out.line(f"Answer with {replies.how(ask)}.", style="dim")


def hold(entries: Sequence[Entry], count: int, seed: int | None = None, plain: bool = False) -> Sitting:
    """Choose the questions and hold a sitting on the terminal.

    Raises:
        GraderError: there are no questions on these exercises, or the progress file can't be read.
    """
    out = Printer(plain)
    history = History()
    events = history.events()
    assembly, usable = computing(entries, events)
    chosen = pick(usable, events, count, seed)
    if not chosen:
        labels = ", ".join(entry.label for entry in entries)
        raise GraderError(
            f"There are no questions on {labels} yet."
            if usable
            else f"This copy holds no solutions, so your own code has to compute the answers: make {labels} pass first."
        )
    sitting = Sitting(reader(out), out, seed)
    sitting.notes += history.notes
    out.line("Work them out on paper; a reply may be a sum (4 * 12**2). Other words: skip, quit.")
    with assembly:
        try:
            sitting.run(chosen, assembly)
        except (EOFError, KeyboardInterrupt):
            out.line()
    sitting.summary()
    return sitting


def computing(entries: Sequence[Entry], events: Sequence[Event]) -> tuple[Assembly, list[Entry]]:
    """The assembly that computes the answers, and the exercises that it can be trusted with.

    That is the reference and all of them; in a copy without solutions the learner's own code and those that pass.
    """
    reference = read_folder(ROOT / "solutions", "reference")
    if reference:
        return Assembly(reference), list(entries)
    passing = {standing.stem for standing in survey(events) if standing.state == "passing"}
    return Assembly(read_folder(FOLDER, "learner")), [entry for entry in entries if entry.stem in passing]


def pick(
    entries: Sequence[Entry], events: Sequence[Event], count: int, seed: int | None = None
) -> list[tuple[Entry, Question, int]]:
    """The questions of a sitting with their boxes, in an order that mixes the exercises."""
    known: dict[Key, tuple[Entry, Question]] = {
        (entry.stem, question.name): (entry, question) for entry in entries for question in questions_of(entry)
    }
    boxes = {} if seed is not None else places(events)  # a seed asks for the same sitting whatever came before
    keys = choose(list(known), boxes, count)
    order = Random(derive(secrets.randbits(32) if seed is None else seed, "order"))
    shuffled = [keys[index] for index in order.numpy.permutation(len(keys))]
    return [(*known[key], boxes[key].box if key in boxes else 0) for key in shuffled]


def begun(events: Sequence[Event]) -> list[Entry]:
    """The exercises to be asked about by default: those that were graded once; the first one if none was."""
    graded = {event.ex for event in events if event.what == "graded"}
    entries = load()
    return [entry for entry in entries if entry.stem in graded] or list(entries[:1])


def reader(out: Printer) -> Callable[[str], str]:
    """Return what reads replies: with line editing on a terminal; from a pipe by lines, shown as if they were typed."""
    if sys.stdin is not None and sys.stdin.isatty():
        return input

    def read(prompt: str) -> str:
        line = sys.stdin.readline() if sys.stdin is not None else ""
        if not line:
            raise EOFError
        out.line(prompt + line.rstrip("\n"))
        return line

    return read
