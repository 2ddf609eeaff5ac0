"""What the lab says when it can't go on: one clear line or two, and exit status 2."""

from __future__ import annotations

from typing import IO, Any

import click

from lab.launch import rank


class LabError(click.ClickException):
    """Something that the user can put right. The message says what was expected, what came, and what to do next."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Said once, however many processes come to it."""
        if rank() == 0:
            self.speak(file)

    def speak(self, file: IO[Any] | None) -> None:
        """Write it."""
        super().show(file)
