"""The command line: python -m grader ..."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from grader.errors import GraderError


class Commands(click.Group):
    """A group whose commands end with a clear line and exit code 2 on what the engine can't do."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GraderError as error:
            click.echo(f"Error: {error}", err=True)
            context.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Grade exercises, and everything around it."""


def exercises_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --exercises DIR."""

    @click.option(
        "--exercises",
        type=click.Path(path_type=Path),
        default=Path("exercises"),
        show_default=True,
        metavar="DIR",
        help="The folder with the files to grade.",
    )
    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        return command(*args, **options)

    return wrapped


@main.command()
@click.argument("ex", nargs=-1)
@exercises_option
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the result document.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What all inputs are drawn from.")
@click.option("--all", "everything", is_flag=True, help="Show every message, not only the first few of an exercise.")
@click.option("--plain", is_flag=True, help="No colour, ASCII only: for screen readers, logs and dumb terminals.")
def test(
    ex: tuple[str, ...], exercises: Path, json_file: Path | None, seed: int, everything: bool, plain: bool
) -> None:
    """Grade what was written: all exercises, or those named (5, 05, ex05, a file).

    Exit code 0 when nothing that was attempted fails, 1 when something does, 2 when the command can't run.
    """
    from grader.grading import Grading
    from grader.report import Report
    from grader.syllabus import find

    if json_file is not None and not json_file.resolve().parent.is_dir():
        raise GraderError(f"Can't write {json_file}: there is no folder {json_file.parent}.")
    entries = find(ex)
    report = Report(exercises, plain)
    with Grading(exercises, seed) as grading:
        try:
            result = grading.run(entries, report.row)
        except KeyboardInterrupt:
            click.echo("\nInterrupted. Your files are as they were.", err=True)
            sys.exit(130)
    for exercise in result.exercises:
        if exercise.status not in ("pass", "todo"):
            report.details(exercise, everything)
    report.summary(result)
    if json_file is not None:
        result.write(json_file)
    sys.exit(1 if result.failed else 0)


@main.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a stub is not what its solution gives.")
@click.option("--leaks", is_flag=True, help="Write nothing; exit 1 if a piece of a solution shows in a stub.")
@click.option("--force", is_flag=True, help="Replace edited stubs as well, and keep a backup of each.")
@click.option(
    "--exercises",
    type=click.Path(path_type=Path),
    default=Path("exercises"),
    show_default=True,
    metavar="DIR",
    help="The folder of the stubs.",
)
def stubs(check: bool, leaks: bool, force: bool, exercises: Path) -> None:
    """Write the stubs in exercises/ from the solutions (for authors)."""
    from grader import stubs as make

    if check or leaks:
        bad = (
            [f"{stub.path} is {stub.state}" for stub in make.survey(exercises) if stub.state != "current"]
            if check
            else []
        )
        for line in bad:
            click.echo(f"{line}: not what the solution gives. Write the stubs anew: make stubs", err=True)
        shown = make.leaks(exercises) if leaks else []
        for line in shown:
            click.echo(f"A piece of the solution shows in {line}", err=True)
        sys.exit(1 if bad or shown else 0)
    written, backups = make.write(exercises, force=force)
    for stub in written:
        click.echo(f"wrote {stub.path}")
    for backup in backups:
        click.echo(f"kept a backup: {backup}")
    if not written:
        click.echo("All stubs are what the solutions give.")


@main.command()
@click.argument("ex", required=True)
@click.argument("name", required=False)
@click.option(
    "--tier", type=click.IntRange(1, 3), default=1, show_default=True, help="1 asks, 2 explains, 3 nearly tells."
)
def hint(ex: str, name: str | None, tier: int) -> None:
    """A hint for an exercise, or for one NAME in it."""
    from grader.hints import hints_of
    from grader.report import console
    from grader.syllabus import find

    (entry,) = find([ex])
    hints = hints_of(entry)
    if name is not None and name not in hints:
        raise GraderError(f"{entry.label} has no hint for {name!r}. It has some for {', '.join(hints)}.")
    out = console()
    for each in [name] if name else hints:
        out.print(f"[bold]{each}[/bold]")
        out.print(hints[each][tier - 1], markup=False)
    if tier < 3:
        again = f"EX={entry.label[2:]} TIER={tier + 1}" + (f" NAME={name}" if name else "")
        out.print(f"[dim]The next tier says more: make hint {again}[/dim]")


@main.command("list")
def list_() -> None:
    """The exercises, with their points."""
    from grader.suite import checks_of
    from grader.syllabus import load

    for entry in load():
        infos = checks_of(entry.suite)
        hidden = sum(info.hidden for info in infos)
        points = sum(info.points for info in infos)
        click.echo(f"{entry.label}  {entry.title:<42}{points:>3} points  {len(infos)} checks, {hidden} hidden")
