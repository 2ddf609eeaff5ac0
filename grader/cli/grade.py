"""Commands that grade: test, stretch, and list, which says what there is to grade."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from grader.cli.app import exercises_option, main, plain_option, say
from grader.errors import GraderError
from grader.files import ROOT, real

if TYPE_CHECKING:
    from grader.content.syllabus import Entry
    from grader.sandbox.runner import IsolatedRunner
    from grader.written import Written


@main.command()
@click.argument("ex", nargs=-1)
@exercises_option
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the result document.")
@click.option(
    "--seed", type=click.IntRange(0), help="What all inputs are drawn from. [default: 0; a fresh one with --isolated]"
)
@click.option("--isolated", is_flag=True, help="Run the code in a sandbox: for code of other people.")
@click.option(
    "--debug",
    is_flag=True,
    help="Stop in a debugger where a check goes wrong; breakpoint(), pdb.set_trace() and input() work in your code.",
)
@click.option("--all", "everything", is_flag=True, help="Show every message, not only the first few of an exercise.")
@plain_option
def test(
    ex: tuple[str, ...],
    exercises: Path,
    json_file: Path | None,
    seed: int | None,
    isolated: bool,
    debug: bool,
    everything: bool,
    plain: bool,
) -> None:
    """Grade what was written: all exercises, or those named (5, 05, ex05, a file, attend; 05,07; 01-03).

    Exit code 0 when nothing that was attempted fails, 1 when something does, 2 when the command can't run. `make test`
    fails with 2 alone; with STRICT=1, or where CI is set, with 1 as well.
    """
    from grader.content.syllabus import find
    from grader.grading import Grading
    from grader.progress import record
    from grader.results import CheckResult, ExerciseResult
    from grader.screens.run import Report

    if json_file is not None and not real(json_file).parent.is_dir():
        raise GraderError(f"Can't write {json_file}: there is no folder {json_file.parent}.")
    entries = find(ex)
    if debug:
        sys.exit(debugged(entries, exercises, seed or 0))
    runner, written = isolation(exercises, seed) if isolated else (None, None)
    seed = seed or 0 if runner is None else runner.seed
    report = Report(exercises, plain, seed)
    graded: list[ExerciseResult] = []

    def done(exercise: ExerciseResult) -> None:
        report.row(exercise)
        graded.append(exercise)

    def noticed(check: CheckResult) -> None:
        report.notice(report.entries[check.id.partition("::")[0]], check.message)

    if runner is None:
        starting(entries)
    with (
        runner or nullcontext(),
        Grading(exercises, seed, runner=runner, written=written, noticed=noticed) as grading,
    ):
        try:
            result = grading.run(entries, done)
        except KeyboardInterrupt:
            interrupted()
        finally:
            say(record(graded, exercises, grading.learner))
    for exercise in result.exercises:
        if exercise.status not in ("pass", "todo"):
            report.details(exercise, everything)
        elif ex and exercise.status == "pass":
            report.passed(exercise)
        elif ex:
            report.printed(exercise)
    report.summary(result, next_after(entries[-1], exercises))
    if json_file is not None:
        result.write(json_file)
    sys.exit(1 if result.failed else 0)


@main.command()
@click.argument("ex", nargs=-1, required=True)
@exercises_option
@click.option("--all", "everything", is_flag=True, help="Show every message, not only the first.")
@plain_option
def stretch(ex: tuple[str, ...], exercises: Path, everything: bool, plain: bool) -> None:
    """Check what was made of the stretch goals at the end of a lesson: no points, and what was not begun is no failure.

    Exit code 0 when nothing that was begun fails, 1 when something does, 2 when the command can't run.
    """
    from grader.content.syllabus import find
    from grader.grading import Grading
    from grader.screens.run import Report

    entries, report, failed = find(ex), Report(exercises, plain), False
    starting([entry.goals for entry in entries if entry.goals is not None])
    with Grading(exercises) as grading:
        for entry in entries:
            if entry.goals is None:
                report.out.line(f"{entry.label} has no stretch goals that can be checked.")
                continue
            try:
                result = grading.stretch(entry.goals)
            except KeyboardInterrupt:
                interrupted()
            report.stretch(entry.goals, result, everything)
            failed |= result.status not in ("pass", "todo")
    sys.exit(1 if failed else 0)


def starting(entries: Sequence[Entry]) -> None:
    """Say why nothing is to be seen yet, where somebody waits for PyTorch."""
    if sys.stderr.isatty() and any("import torch" in entry.suite.read_text("utf-8") for entry in entries):
        click.echo("Starting PyTorch ...", err=True)


def interrupted() -> NoReturn:
    """End after a Ctrl-C."""
    click.echo("\nInterrupted. Your files are as they were.", err=True)
    sys.exit(130)


def debugged(entries: Sequence[Entry], exercises: Path, seed: int) -> int:
    """Run checks by pytest in one process with the terminal, up to the first that goes wrong; returns the exit code."""
    suites = [str(entry.suite) for entry in entries]
    options = ["--exercises", str(real(exercises)), "--seed", str(seed), f"--rootdir={ROOT}"]
    command = [sys.executable, "-m", "pytest", "--pdb", "-x", "-q", "-p", "no:cacheprovider", *suites, *options]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    return code if code in (0, 1) else 2


def next_after(last: Entry, exercises: Path) -> Entry | None:
    """The exercise to go on with: by the progress that is kept, else the one after the last; None if there is none."""
    from grader.content.stubs import FOLDER
    from grader.content.syllabus import load
    from grader.progress import following, standings

    later = next(iter(load()[load().index(last) + 1 :]), None)
    if real(exercises) != real(FOLDER):
        return later
    try:
        found = following(standings()[0])
    except GraderError:  # a progress file that can't be used was told of when this was to be written down
        return later
    return next((entry for entry in load() if found is not None and entry.stem == found.stem), None)


def isolation(exercises: Path, seed: int | None) -> tuple[IsolatedRunner, Written]:
    """Return what it takes to grade a folder in the sandbox: a runner, and the sources, read with care."""
    from grader.sandbox.runner import IsolatedRunner

    runner = IsolatedRunner(seed)
    click.echo(f"Isolation: {runner.level.name}", err=True)
    for line in (*runner.level.missing, *runner.level.notes):
        click.echo(f"  {line}", err=True)
    return runner, runner.read(exercises)


@main.command("list")
@plain_option
def list_(plain: bool) -> None:
    """The exercises by part: their points and checks, about how long each takes, and how steep it is."""
    from grader.screens import listing

    listing.show(plain)
