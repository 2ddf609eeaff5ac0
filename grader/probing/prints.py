"""What code under test prints: recorded, and stopped when it is megabytes."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator

LIMIT = 1 << 20
EXCERPT_LINES = 10
EXCERPT_WIDTH = 200


class OutputFlood(Exception):
    """The code printed more than the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Your code printed more than {limit >> 20} MiB and was stopped")


class Tape(io.TextIOBase):
    """Stands in for stdout and stderr, keeps the first part of what is printed, and stops a flood."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.size = 0
        self.flooded_at = ""
        self._kept: list[str] = []

    @property
    def flooded(self) -> bool:
        return self.size > self.limit

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.size < EXCERPT_LINES * EXCERPT_WIDTH:
            self._kept.append(text[: EXCERPT_LINES * EXCERPT_WIDTH])
        self.size += len(text)
        if self.flooded:
            caller = sys._getframe(1)
            self.flooded_at = self.flooded_at or f"{caller.f_code.co_filename}:{caller.f_lineno}"
            raise OutputFlood(self.limit)
        return len(text)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Put the tape in the place of stdout and stderr."""
        with contextlib.redirect_stdout(self), contextlib.redirect_stderr(self):
            yield

    def excerpt(self) -> str:
        """The first lines; '' if nothing was printed."""
        text = "".join(self._kept)
        if not text.strip():
            return ""
        lines = text.rstrip("\n").split("\n")
        shown = [clean(_short(line)) for line in lines[:EXCERPT_LINES]]
        if len(lines) > EXCERPT_LINES or self.size > sum(map(len, self._kept)):
            shown.append("... (run your code by itself to see the rest)")
        return "\n".join(shown)


def _short(line: str) -> str:
    """A line, or its beginning, cut between two words."""
    if len(line) <= EXCERPT_WIDTH:
        return line
    begun = line[: EXCERPT_WIDTH - 4]
    return f"{begun.rpartition(' ')[0].rstrip() or begun} ..."


def marked(printed: str) -> str:
    """Return what was printed, marked as the learner's, to be added to a message; '' if nothing was."""
    return "\n".join(["", "Your code printed:", *(f"  | {line}" for line in printed.splitlines())]) if printed else ""


def clean(text: str) -> str:
    """Text without control characters, so that nothing printed can move the cursor or recolour a report."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text)
