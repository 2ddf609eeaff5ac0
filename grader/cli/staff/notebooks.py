"""The command that writes a course for nbgrader."""

from __future__ import annotations

from pathlib import Path

import click

from grader.cli.app import main
from grader.errors import GraderError


@main.command()
@click.argument("ex", nargs=-1)
@click.option(
    "--style",
    type=click.Choice(["files", "cells"]),
    default="files",
    show_default=True,
    help="Where students write: in exNN_*.py beside a thin notebook, or in cells of the notebook.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("course"), show_default=True, metavar="DIR")
@click.option("--force", is_flag=True, help="Replace files of the course that were edited, too.")
def notebooks(ex: tuple[str, ...], style: str, out: Path, force: bool) -> None:
    """Write an nbgrader course: an assignment for each exercise, or for those named (for instructors)."""
    try:
        from grader.staff.nbgrader.course import write_course
    except ModuleNotFoundError as error:
        raise GraderError(f"{error.name} is not installed. Add nbgrader: pip install -e '.[nbgrader]'") from None
    from grader.content.syllabus import find
    from grader.nb.content import content

    entries = find(ex)
    written = write_course(out, entries, style, force)  # type: ignore[arg-type]  # click has seen to it
    whole = [content(entry) for entry in entries]
    questions = sum(each.question is not None for each in whole)
    points = sum(each.points for each in whole)
    count, marked = _counted(len(entries), "assignment"), _counted(questions, "question")
    click.echo(f"{out}: {count}, {points} points for checks, {marked} to mark.")
    for name in written.edited:
        click.echo(f"  {name} was edited, so it was left as it is")
    if written.edited and not force:
        click.echo("--force (make: ARGS=--force) replaces it and keeps a copy; the configuration stays in any case.")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
