"""Commands to play with what was built: look."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from grader.cli.app import exercises_option, main, plain_option


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
