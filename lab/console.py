"""What the lab shows: a live progress bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from grader.screens.console import Printer
from lab.launch import rank


def prepare_streams() -> None:
    """Let no stream fail on a character that it can't encode: it shows a question mark instead."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


class Screen:
    """The place where lines go, and whether something may move there."""

    def __init__(self, plain: bool = False, file: TextIO | None = None) -> None:
        quiet = rank() > 0  # of several processes, one speaks
        self.console = Console(
            file=file, color_system=None if plain else "auto", highlight=False, soft_wrap=True, quiet=quiet
        )
        self._printer = Printer(plain, file)
        self.animated = self.console.is_terminal and not (self.console.is_dumb_terminal or plain or quiet)

    def say(self, text: str = "", style: str = "") -> None:
        """One line or several, without markup; on a terminal, each is broken between words where it ends."""
        if not self.animated:
            self.console.print(text, style=style or None, markup=False, emoji=False)
            return
        for line in text.split("\n"):
            for each in self._printer.lines(line, style):
                self.console.print(each)

    def heading(self, text: str) -> None:
        """A line that begins a new part."""
        self.say(f"\n{text}\n{'-' * len(text)}", style="bold")
        self.console.file.flush()  # what follows may come from another process


class Shown:
    """Something with a bar on an animated screen, from `with` to the end of its block."""

    _bar: Progress | None = None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class Meter(Shown):
    """Steps, loss, tokens per second and time left, while something trains."""

    LINES = 20  # how many plain lines a whole run prints

    def __init__(self, screen: Screen, total: int, done: int, tokens_per_step: int, lines: int = LINES) -> None:
        self.screen = screen
        self.total = total
        self.tokens_per_step = tokens_per_step
        self.pace = Pace()
        self.pace.note(done)
        self._every = max(1, total // lines) if lines else None
        if screen.animated:
            self._bar = Progress(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                console=screen.console,
                refresh_per_second=4,
                transient=True,
            )
            self._task = self._bar.add_task("", total=total, completed=done, figures="")

    def show(self, step: int, loss: float) -> None:
        """After a step."""
        self.pace.note(step)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, figures=self._figures(step, loss))
        elif self._every is not None and (step % self._every == 0 or step == self.total):
            self.screen.say(f"step {step:>6,}/{self.total:,}  {self._figures(step, loss)}")

    def say(self, text: str, style: str = "") -> None:
        """A line of its own, above the bar."""
        self.screen.say(text, style)
        self.pace.skip_pause()  # what took time just now was not a step

    def _figures(self, step: int, loss: float) -> str:
        rate = self.pace.steps_per_second
        left = clock((self.total - step) / rate) if rate else "--:--"
        return f"loss {loss:.3f}  {rate * self.tokens_per_step:>7,.0f} tokens/s  {left} left"


class Pace:
    """Steps per second over the last few seconds, pauses left out."""

    def __init__(self, window: float = 10.0) -> None:
        self.window = window
        self._marks: deque[tuple[float, int]] = deque()
        self._last_rate = 0.0

    def note(self, step: int) -> None:
        """A step is done now."""
        now = time.monotonic()
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[0][0] > self.window:
            self._marks.popleft()
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        if end > start and last > first:
            self._last_rate = (last - first) / (end - start)

    def skip_pause(self) -> None:
        """Since the last step, time went into something else: leave it out."""
        if self._marks:
            pause = time.monotonic() - self._marks[-1][0]
            self._marks = deque((moment + pause, step) for moment, step in self._marks)

    @property
    def steps_per_second(self) -> float:
        """0 until two steps are done."""
        return self._last_rate


class Gauge(Shown):
    """How much of a known total is through, in bytes or another unit."""

    LINES = 10  # how many plain lines it prints at most

    def __init__(self, screen: Screen, what: str, total: int, unit: str = "bytes") -> None:
        self.screen = screen
        self.what = what
        self.total = total
        self.unit = unit
        self._lines = 0
        if screen.animated:
            self._bar = Progress(
                TextColumn(what, markup=False),
                BarColumn(),
                *((DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(),)),
                TimeRemainingColumn(),
                console=screen.console,
                refresh_per_second=4,
                transient=True,
            )
            self._task = self._bar.add_task("", total=total)

    def show(self, done: int) -> None:
        """So much is through."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif self.LINES * done // self.total > self._lines:
            self._lines = self.LINES * done // self.total
            self.screen.say(f"{self.what}  {done:,} of {self.total:,} {self.unit}")


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any.

    >>> clock(75.2), clock(3700)
    ('1:15', '1:01:40')
    """
    whole = round(seconds)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...]) -> str:
    """Columns of text: the first to the left, the rest to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
