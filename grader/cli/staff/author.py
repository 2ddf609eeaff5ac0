"""Commands for authors: stubs, mutants, mutate."""

from __future__ import annotations

import sys
from dataclasses import astuple
from pathlib import Path

import click

from grader.cli.app import main, plain_option


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
    from grader.content import stubs as make

    if check or leaks:
        bad = (
            [f"{stub.path} is {stub.state}" for stub in make.survey(exercises) if stub.state != "current"]
            if check
            else []
        )
        for line in bad:
            click.echo(f"{line}: not what the solution gives. Write the stubs again: make stubs", err=True)
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
@click.argument("ex", nargs=-1)
@click.option("--jobs", type=click.IntRange(1), help="How many workers.  [default: one for each core]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What all inputs are drawn from.")
@click.option("--messages", is_flag=True, help="Show what the first check says of each mistake.")
@click.option(
    "--changed", is_flag=True, help="Only where something has changed since all was right; no mistake is run twice."
)
@plain_option
def mutants(ex: tuple[str, ...], jobs: int | None, seed: int, messages: bool, changed: bool, plain: bool) -> None:
    """Try the suite: every known mistake must be rejected and named, every variant must get all points.

    A mistake is tried with every function written, and with those after it still to be written, as people work. Exit
    code 1 if a mistake survives, a variant loses a point, a mistake is called what it is not, or fewer than 95 % of
    those that show are named, in either situation.
    """
    from grader.content.syllabus import find
    from grader.staff.mutants.table import Counted, Counts, MutantsReport
    from grader.staff.mutants.trials import Bench, mistakes, variants
    from grader.staff.settled import Settled, content

    settled = {entry: Settled(f"mutants-{entry.stem}-{seed}", content(entry)) for entry in find(ex)}
    known = {entry: each.known for entry, each in settled.items() if changed and each.known}
    entries = [entry for entry in settled if entry not in known]
    if known:
        click.echo(f"As it was when all was right: {', '.join(entry.label for entry in known)}.")
    with Bench(seed, jobs) as bench:
        counted = [Counted(Counts(*whole), Counts(*begun), right) for whole, begun, right in known.values()]
        report = MutantsReport(entries, messages, plain, counted)
        for trial in bench.run(mistakes(entries, bench.reference), diagnose=True, recorded=changed):
            report.mistake(trial)
        for trial in bench.run(variants(entries), thorough=True):
            report.variant(trial)
    for entry in entries:
        if (right := report.counted(entry)) is not None:
            settled[entry].keep(astuple(right))
    sys.exit(0 if report.finish() else 1)


@main.command()
@click.argument("ex", nargs=-1)
@click.option("--jobs", type=click.IntRange(1), help="How many workers.  [default: one for each core]")
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True, help="How many seeds: 0, 1, 2, ...")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="The first of them.")
@plain_option
def seeds(ex: tuple[str, ...], jobs: int | None, seeds: int, first: int, plain: bool) -> None:
    """Try every check on every right solution, the reference and all variants, at many seeds: all must pass.

    What passed before is not run again, as long as nothing has changed that decides it. Exit code 1 if a point is lost.
    """
    from grader.content.syllabus import find
    from grader.screens.console import Printer
    from grader.staff.mutants.seeds import Seeds
    from grader.staff.mutants.trials import Bench

    out = Printer(plain)
    with Bench(first, jobs) as bench:
        trials = Seeds(find(ex), bench, range(first, first + seeds))
        known = f", {trials.known} of them known to pass" if trials.known else ""
        out.line(
            f"{trials.total} trials of right solutions at seeds {first} to {first + seeds - 1}{known}", style="dim"
        )
        lost = 0
        for each in trials.run():
            lost += 1
            out.line(
                f"{each.candidate.entry.label}  {each.candidate.name}  seed {each.seed}  {each.check}", style="red"
            )
            out.block(each.message, 6)
    out.line(f"{lost} points lost" if lost else "Every check passes on every right solution.", style="bold")
    sys.exit(1 if lost else 0)


@main.command()
@click.argument("ex", nargs=-1)
@click.option("--jobs", type=click.IntRange(1), help="How many workers.  [default: one for each core]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What all inputs are drawn from.")
@plain_option
def mutate(ex: tuple[str, ...], jobs: int | None, seed: int, plain: bool) -> None:
    """Try the suite on every small mechanical change of the reference; list those that it does not notice.

    Exit code 1 if fewer than 95 % of the changes are noticed or recorded as equivalent.
    """
    from grader.content.syllabus import find
    from grader.staff.mutants.table import MutationReport
    from grader.staff.mutants.trials import Bench

    with Bench(seed, jobs) as bench:
        report = MutationReport(find(ex), bench.reference, plain)
        for trial in bench.run(report.candidates, briefly=True):
            report.done(trial)
    sys.exit(0 if report.finish() else 1)
