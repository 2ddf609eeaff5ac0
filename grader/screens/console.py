"""Printing that fits its stream: colour, marks and links where they can be shown, and the same words everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from grader.files import real
from grader.results import Status

MARKS: dict[Status, tuple[str, str, str]] = {  # status -> (mark, the same in ASCII, style)
    "pass": ("✓", "+", "green"),
    "fail": ("✗", "x", "red"),
    "error": ("✗", "x", "red"),
    "timeout": ("✗", "x", "red"),
    "blocked": ("·", "-", "yellow"),
    "todo": ("○", ".", "dim"),
}
WIDEST = 110  # columns of prose: longer lines are hard to read
LINKING = {"iTerm.app", "WezTerm", "ghostty", "Hyper", "rio", "Tabby"}  # values of TERM_PROGRAM


def console(plain: bool = False, stderr: bool = False, file: IO[str] | None = None) -> Console:
    """A console that fits its stream: no colour where it is not wanted, never a character that can't be encoded."""
    dumb = os.environ.get("TERM") == "dumb"
    made = Console(
        stderr=stderr,
        file=file,
        no_color=True if plain else None,
        highlight=False,
        color_system=None if plain or dumb else "auto",
        soft_wrap=plain,
    )
    if hasattr(made.file, "reconfigure"):
        made.file.reconfigure(errors="replace")
    return made


def hyperlinks(environment: Mapping[str, str]) -> bool:
    """Whether a terminal shows OSC 8 hyperlinks, as far as its environment tells. FORCE_HYPERLINK=1 or 0 decides.

    VS Code and JetBrains turn a plain path:line into a link of their own, which opens the very line: no need there.
    """
    forced = environment.get("FORCE_HYPERLINK")
    if forced is not None:
        return forced != "0"
    if environment.get("TERM", "").startswith(("dumb", "screen", "tmux")) or "SSH_CONNECTION" in environment:
        return False  # a multiplexer may not pass it on; over ssh the file is on another machine
    return (
        environment.get("TERM_PROGRAM") in LINKING
        or environment.get("TERM", "") in ("xterm-kitty", "xterm-ghostty", "foot", "alacritty")
        or "WT_SESSION" in environment
        or "KONSOLE_VERSION" in environment
        or _number(environment.get("VTE_VERSION", "")) >= 5000
    )


class Printer:
    """Prints lines of a report to one console.

    `ascii` says that nothing but ASCII is printed: for screen readers (`plain`), or as the stream can't encode more.
    """

    def __init__(self, plain: bool = False, file: IO[str] | None = None) -> None:
        self.console = console(plain, file=file)
        self.plain = plain
        self.ascii = plain or not self.console.encoding.lower().startswith("utf")
        self._links = self.console.is_terminal and self.console.color_system is not None and hyperlinks(os.environ)

    def line(self, line: Text | str = "", style: str = "") -> None:
        """Print a line, broken between words where the terminal ends. A string is taken as it is."""
        for each in self.lines(line, style):
            self.console.print(each, soft_wrap=True)

    def lines(self, line: Text | str = "", style: str = "", width: int | None = None) -> list[Text]:
        """A line as it is printed: broken between words, and further lines indented as the first one is.

        Nothing is broken inside of a word, and what is read aloud, or goes into a file, is not broken at all.

        Args:
            line: the line; one that holds several is left as it is.
            style: of a string.
            width: how long it may be; as long as the terminal's by default.
        """
        text = Text(line, style=style) if isinstance(line, str) else line.copy()
        if self.ascii:
            text.plain = self.safe(text.plain)
        width = self.width if width is None else width
        if text.cell_len <= width or "\n" in text.plain:
            return [text]
        indent = min(len(text.plain) - len(text.plain.lstrip()), width // 2)
        first, *more = text[indent:].divide(_breaks(text.plain[indent:], width - indent))
        found = [text[:indent].append_text(first), *(Text(" " * indent).append_text(each) for each in more)]
        for each in found:
            each.rstrip()
        return found

    def marked(self, mark: str, line: str, style: str = "") -> list[Text]:
        """A line behind a mark, such as a bar or a sign, which further lines bear as well."""
        rest = self.lines(line, style, self.width - len(mark))
        return [Text(mark, style=style).append_text(each) for each in rest]

    @property
    def width(self) -> int:
        """Return how long a row may be; what is read aloud, or goes into a file, is never cut."""
        return self.console.width if self.console.is_terminal and not self.plain else 10_000

    def row(self, line: str, indent: int, style: str = "") -> Text:
        """A row of numbers, cut off between two of them where the line ends."""
        width = self.width - indent
        if len(line) > width:
            line = f"{line[: width - 3].rpartition(' ')[0].rstrip()} ..."
        return Text(" " * indent + line, style=style)

    def block(self, text: str, indent: int, style: str = "") -> None:
        """Print a message of several lines, each wrapped with its indentation kept."""
        self.show(self.paragraph(text, indent, style))

    def paragraph(self, text: str, indent: int, style: str = "") -> list[Text]:
        """A message of several lines as it is printed: prose is not as wide as a wide terminal."""
        width = 10_000 if self.plain else min(self.console.width, WIDEST)
        return [
            line for part in text.splitlines() for line in self.lines(" " * indent + part.rstrip(), style, width=width)
        ]

    def command(self, text: str, indent: int, style: str = "") -> list[Text]:
        """A command as it is printed: where it goes on in the next line, a backslash says so to the shell."""
        found = self.lines(" " * indent + text, style, self.width - 2)
        for each in found[:-1]:
            each.append(" \\")
        return found

    def labelled(self, label: str, command: str, indent: int = 0, style: str = "dim") -> list[Text]:
        """A command with what it is for; it has a line of its own where both don't fit into one."""
        line = f"{' ' * indent}{label} {command}"
        if len(line) <= self.width:
            return [Text(line, style=style)]
        return [*self.lines(f"{' ' * indent}{label}", style), *self.command(command, indent + 2, style)]

    def show(self, lines: Iterable[Text]) -> None:
        """Print lines that are broken already."""
        for each in lines:
            self.console.print(each, soft_wrap=True)

    def safe(self, text: str) -> str:
        """The text, or what of it is ASCII."""
        return text.encode("ascii", "replace").decode() if self.ascii else text

    def bar(self, share: float, width: int) -> Text:
        """A bar that is filled to a share."""
        full, empty = ("#", ".") if self.ascii else ("█", "░")
        filled = int(width * share)
        return Text(full * filled, style="green").append(empty * (width - filled), style="dim")

    def mark(self, status: Status) -> Text:
        """The mark of a status. It never stands alone: the status is there in words, too."""
        mark, plain, style = MARKS[status]
        return Text(plain if self.ascii else mark, style=style)

    def place(self, spot: str, style: str = "") -> Text:
        """A path:line to open, as a link where the terminal has links."""
        text = Text(spot, style=style)
        if self._links:
            path = re.sub(r":\d+$", "", spot)
            text.stylize(Style(link=real(Path(path)).as_uri()))
        return text


def _breaks(text: str, width: int) -> list[int]:
    """Return where a text is divided, between words, into lines of a width; a longer word has a line of its own."""
    found, begin, used = [], 0, 0
    for word in re.finditer(r"\S+[ \t]*", text):
        if word.start() > begin and used + cell_len(word[0].rstrip()) > width:
            found.append(word.start())
            begin, used = word.start(), 0
        used += cell_len(word[0])
    return found


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
