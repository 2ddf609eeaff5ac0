"""Commands for instructors: grade, which takes a whole class."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grader.cli.app import main, plain_option
from grader.errors import GraderError
from grader.staff.words import printable

if TYPE_CHECKING:
    from grader.sandbox.levels import Level
    from grader.staff.batch.record import Record
    from grader.staff.batch.run import Batch, Graders, Standing


NAME = 80  # characters of a student's name on a terminal


@main.command()
@click.argument("submissions", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where the results go.")
@click.option("--only", "ex", multiple=True, metavar="EX", help="Grade these exercises only; can be repeated.")
@click.option("--jobs", type=click.IntRange(1, 256), help="How many at the same time.  [default: one for each core]")
@click.option("--cluster", metavar="ADDRESS", help="Run on the workers of this Dask cluster instead.")
@click.option("--resume", is_flag=True, help="Go on with a batch that was interrupted.")
@click.option(
    "--seed", type=click.IntRange(0, 2**128 - 1), help="What all inputs are drawn from.  [default: a fresh one]"
)
@click.option(
    "--former",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Look for look-alikes in the submissions of a former year, too; can be repeated.",
)
@click.option("--seconds", type=click.FloatRange(1), default=900.0, show_default=True, help="For each submission.")
@click.option("--memory", type=click.IntRange(64), default=1024, show_default=True, help="MiB for each submission.")
@click.option("--allow-unsandboxed", is_flag=True, help="Grade even where the code can't be isolated in full.")
@plain_option
def grade(
    submissions: Path,
    out: Path,
    ex: tuple[str, ...],
    jobs: int | None,
    cluster: str | None,
    resume: bool,
    seed: int | None,
    former: tuple[Path, ...],
    seconds: float,
    memory: int,
    allow_unsandboxed: bool,
    plain: bool,
) -> None:
    """Grade a folder with a folder, an archive (zip, tar) or files for each student, in the sandbox.

    DIR gets a JSON document for each student as soon as it is done, three tables (CSV) and a class report (HTML).

    Exit code 0 when every submission was graded, 1 when some could not be, 2 when the command can't run.
    """
    from grader.content.syllabus import find
    from grader.sandbox.levels import probe
    from grader.sandbox.runner import Budget
    from grader.staff.batch.run import Batch

    level = probe()
    _require(level, allow_unsandboxed)
    entries = find(ex)
    budget = Budget(wall=seconds, cpu=seconds, memory=memory << 20)
    batch = Batch.begin(submissions, out, entries, seed=seed, budget=budget, resume=resume)
    click.echo(f"Isolation: {level.name}. Seed: {batch.terms.seed}.", err=True)
    with closing(_pool(jobs, cluster)) as pool:
        try:
            records = _with_progress(batch, pool, plain)
        except KeyboardInterrupt:
            click.echo(f"\nInterrupted. What is graded is kept: go on with --resume --out {out}", err=True)
            os._exit(130) if cluster is None else sys.exit(130)  # judges at work would be waited for
    _write(batch, records, former)
    bad = [record for record in records if record.problem]
    click.echo(f"{len(records) - len(bad)} of {len(records)} submissions graded. Everything is in {out}: report.html")
    for record in bad:
        click.echo(f"  {printable(record.student, NAME)}: {printable(record.problem)}")
    sys.exit(1 if bad else 0)


def _require(level: Level, allowed: bool) -> None:
    if level.name != "full" and not allowed:
        raise GraderError(
            "Code of other people can't be isolated in full on this machine "
            f"(isolation: {level.name}: {'; '.join(level.missing)}). "
            "Use a Linux machine with Landlock and seccomp, or one that you can lose, with --allow-unsandboxed."
        )


def _pool(jobs: int | None, cluster: str | None) -> Graders:
    if cluster is not None:
        from grader.staff.batch.cluster import ClusterPool

        return ClusterPool(cluster)
    from grader.staff.batch.run import LocalPool

    return LocalPool(jobs or os.cpu_count() or 1)


def _with_progress(batch: Batch, pool: Graders, plain: bool) -> list[Record]:
    """Run the batch with a progress bar on a terminal, and with a line for each student elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from grader.screens.console import console

    out = console(plain, stderr=True)
    columns = (
        TextColumn("graded"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}", markup=False),
    )
    with Progress(*columns, console=out, disable=plain or not out.is_terminal) as bar:
        job = bar.add_task("", last="")

        def begun(standing: Standing) -> None:
            already = len(standing.kept)
            bar.update(job, total=standing.total, completed=already)
            if already:
                out.print(f"{already} of {standing.total} are graded already.")
            for names, what in (
                (standing.changed, "Handed in again, so graded again"),
                (standing.again, "Could not be graded, so tried again"),
                (standing.gone, "Graded earlier, and not in the folder any more"),
            ):
                if names:
                    listed = printable(", ".join(names), 1000)
                    out.print(f"{what}: {listed}.", markup=False, soft_wrap=True)

        def done(record: Record) -> None:
            name = printable(record.student, NAME)
            bar.update(job, advance=1, last=name)
            if bar.disable:
                result = record.result
                what = f"{result.points} of {result.max_points}" if result else printable(record.problem)
                out.print(f"{name}: {what}", markup=False, soft_wrap=True)

        if batch.folder.left_out:
            left = printable(", ".join(batch.folder.left_out), 500)
            out.print(f"Not looked at, since it is nobody's: {left}.", markup=False, soft_wrap=True)
        for name, students in batch.folder.several.items():
            listed = printable(", ".join(students), 200)
            told = f"{printable(name, NAME)} is one submission, though folders in it hold the same exercise: {listed}."
            out.print(f"{told} If these are students, grade that folder.", markup=False, soft_wrap=True)
        return batch.run(pool, begun, done)


def _write(batch: Batch, records: list[Record], former: tuple[Path, ...]) -> None:
    from grader.content.syllabus import find
    from grader.staff.batch.report import write_report
    from grader.staff.batch.tables import write_tables
    from grader.staff.lookalikes.search import lookalikes

    entries = find(batch.terms.exercises)
    write_tables(records, batch.terms.exercises, batch.out)
    write_report(records, entries, batch, lookalikes(batch.folder, former, entries, batch.out))
