"""The command group that every command joins, and the options that several of them share."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from grader.errors import GraderError
from grader.files import ROOT


class Commands(click.Group):
    """A group whose commands end with a clear line and exit code 2 on what the engine can't do."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GraderError as error:
            echo(f"Error: {error}", err=True)
            context.exit(2)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever read the output has seen enough
            echo(f"Error: {error.filename or 'the output'}: {error.strerror or error}", err=True)
            context.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Grade exercises, and everything around it.

    Exit code 0: all is well. 1: a result that is not (a check fails, a question was answered with no). 2: the command
    can't do what it is asked to, and says why. 130: interrupted.
    """


def own_exercises() -> Path:
    """The folder `exercises` here; from anywhere else inside the project, the project's."""
    here = Path("exercises")
    inside = Path.cwd().is_relative_to(ROOT)
    return ROOT / "exercises" if inside and not here.is_dir() else here


def exercises_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --exercises DIR; by default the folder of the project, wherever inside it one is."""

    @click.option(
        "--exercises",
        type=click.Path(path_type=Path),
        default=own_exercises,
        show_default="exercises",
        metavar="DIR",
        help="The folder with the files to grade.",
    )
    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        return command(*args, **options)

    return wrapped


plain_option = click.option(
    "--plain", is_flag=True, help="No colour, ASCII only: for screen readers, logs and dumb terminals."
)


def say(notes: Iterable[str]) -> None:
    """Print what there is to say about the progress file, apart from a command's own output."""
    for line in notes:
        echo(line, err=True)


def echo(text: str = "", err: bool = False) -> None:
    """Print a text, broken between words where a terminal ends."""
    from grader.screens.console import Printer

    out = Printer(file=sys.stderr if err else None)
    for line in text.split("\n"):
        out.line(line)


def agreed(question: str) -> bool:
    """Ask; no answer (an end of input, Ctrl-C) is a no."""
    from grader.screens.console import Printer

    out = Printer()
    *above, last = out.lines(question, width=out.width - len(" [y/N]: "))
    out.show(above)
    try:
        return click.confirm(last.plain, default=False)
    except click.Abort:
        click.echo()
        return False
