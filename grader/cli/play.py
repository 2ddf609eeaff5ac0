"""Commands to play with what was built: look, try, shell, jupyter."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grader.cli.app import echo, exercises_option, main, plain_option
from grader.errors import GraderError

if TYPE_CHECKING:
    from grader.learning.trying import Built
    from grader.screens.console import Printer


@main.command()
@click.argument("ex", nargs=-1, required=True)
@exercises_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", show_default="pictures", help="Where the pictures go."
)
@click.option("--open", "show", is_flag=True, help="Open them.")
@plain_option
def look(ex: tuple[str, ...], exercises: Path, out: Path | None, show: bool, plain: bool) -> None:
    """A picture of what your code does: the exercise's experiment, and what to see in it."""
    from grader.content.syllabus import find
    from grader.files import shown
    from grader.learning import look as looking
    from grader.screens.console import Printer

    printer = Printer(plain)
    for entry in find(ex):
        printer.line(f"{entry.label} {entry.title}", style="bold")
        seen = looking.look(entry, exercises, out or looking.FOLDER)
        if seen.borrowed:
            names, do = ", ".join(seen.borrowed), "does" if len(seen.borrowed) == 1 else "do"
            printer.line(f"With the reference's {names}, since yours {do} not pass yet.")
        printer.line()
        printer.block(" ".join(seen.experiment.text.split()), 2)
        printer.line()
        for path in seen.pictures:
            printer.line(printer.place(shown(str(path)), "cyan"))
            if show:
                webbrowser.open(path.resolve().as_uri())
        printer.line()


@main.command("try")
@click.argument("ex", required=True)
@exercises_option
@plain_option
def try_(ex: str, exercises: Path, plain: bool) -> None:
    """The lesson's worked example on your own code, then a Python prompt with its variables and all you have built."""
    from grader.content.syllabus import find
    from grader.learning import trying
    from grader.screens.console import Printer

    (entry,) = find([ex])
    printer = Printer(plain)
    styles = {"code": "", "result": "cyan", "wrong": "red", "note": "yellow"}
    with trying.opened(exercises, entry) as built:
        printer.line(f"{entry.label} {entry.title}: the lesson's example, on your code", style="bold")
        transcript = trying.by_hand(entry, built.assembly)
        for kind, line in transcript.lines:
            printer.line(line, styles[kind])
        printer.line()
        other = transcript.examples - transcript.right
        if other:
            do = "does" if other == 1 else "do"
            printer.line(f"{other} of {transcript.examples} lines {do} not come out as in the lesson.", style="bold")
        else:
            printer.line(f"All {transcript.examples} lines come out as in the lesson.", style="bold green")
        _prompt(built, transcript.variables, printer)


@main.command()
@exercises_option
@plain_option
def shell(exercises: Path, plain: bool) -> None:
    """A Python prompt with everything that you have built and that passes."""
    from grader.learning import trying
    from grader.screens.console import Printer

    with trying.opened(exercises) as built:
        if not built.names:
            raise GraderError("None of your exercises passes yet. With one that you work on: make try EX=01")
        _prompt(built, {}, Printer(plain))


def _prompt(built: Built, variables: dict[str, object], printer: Printer) -> None:
    """Say what is at hand, and read Python until the learner leaves."""
    from grader.learning import trying

    printer.line()
    for stem, names in built.names.items():
        printer.block(f"{stem.partition('_')[0]}  {', '.join(names)}", 2)
    if built.borrowed:
        borrowed, do = ", ".join(built.borrowed), "does" if len(built.borrowed) == 1 else "do"
        printer.line(f"With the reference's {borrowed}, since yours {do} not pass yet.")
    leave = "Ctrl-Z and Enter" if os.name == "nt" else "Ctrl-D"
    trying.prompt(built.namespace() | variables, f"Python, with all of these, np and torch. {leave} leaves.")


@main.command()
@click.argument("ex", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", show_default="notebooks", help="Where they go.")
def jupyter(ex: tuple[str, ...], out: Path | None) -> None:
    """The lessons as notebooks of your own, with the checks and the experiments live; what is there is left alone."""
    from grader.content.syllabus import find
    from grader.files import shown
    from grader.nb import own

    for entry in find(ex):
        path, new = own.write(entry, out or own.FOLDER)
        again = "" if new else " is there already and was left alone; delete it to get a fresh one"
        echo(f"{'wrote ' if new else ''}{shown(str(path))}{again}")
    echo(f"Open them in VS Code, or: {shown(sys.executable)} -m jupyter lab {shown(str(out or own.FOLDER))}")
