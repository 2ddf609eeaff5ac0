"""Commands that hand things out: release to students, export to other systems, and Gradescope's autograder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from grader.cli.app import main
from grader.errors import GraderError

FORMATS = ("gradescope", "prairielearn", "junit", "csv")
VISIBILITIES = ("visible", "after_due_date", "after_published", "hidden")

hidden_option = click.option(
    "--hidden",
    type=click.Choice(VISIBILITIES),
    default="after_published",
    show_default=True,
    help="When students see the hidden checks on Gradescope; PrairieLearn lists each only if they are visible.",
)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--until", metavar="EX", help="The last exercise to release, such as ex09.  [default: all]")
@click.option("--only-part", metavar="PART", help="Release one part of the syllabus, with the solutions that it needs.")
@click.option("--with-solutions", "solutions", metavar="EX-EX", help="Release these solutions, too: ex01-ex04.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What all inputs are drawn from.")
@click.option(
    "--assistants",
    type=click.Choice(["tutor", "none", "free"]),
    default="tutor",
    show_default=True,
    help="What AI assistants read in the release: to teach and not to solve, to stay away, or nothing.",
)
def release(
    out: Path,
    until: str | None,
    only_part: str | None,
    solutions: str | None,
    seed: int,
    assistants: Literal["tutor", "none", "free"],
) -> None:
    """Write what students get: stubs, public checks, the grader and the lab, but no solution (for instructors).

    OUT must not exist yet, or be empty. It becomes a git repository of its own with one commit.
    """
    from grader.staff.release.build import Selection, build

    selection = Selection.of(until, solutions, seed, assistants, only_part)
    manifest = build(out, selection, lambda line: click.echo(f"  {line}"))
    hidden = sum(part.hidden for part in manifest.exercises.values())
    solved = [stem.partition("_")[0] for stem, part in manifest.exercises.items() if part.solution]
    click.echo(f"{out}: {len(manifest.exercises)} exercises; {hidden} hidden checks stayed here.")
    if solved:
        click.echo(f"With the solutions of {', '.join(solved)}.")


@main.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--to", "target", type=click.Choice(FORMATS), required=True, help="The format to write.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The file to write.  [default: stdout]")
@hidden_option
def export(result: Path, target: str, out: Path | None, hidden: str) -> None:
    """Write a result document (make test ARGS="--json FILE"), or a student's file of a batch, in another format."""
    from grader.files import write_atomically
    from grader.staff.exports.formats import read, written

    text = written(*read(result), target, hidden)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, text, private=True)


@main.command("gradescope-zip")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("ex", nargs=-1)
@hidden_option
@click.option("--pip", default="", metavar="ARGS", help="What pip gets, too: where the CPU wheels of PyTorch are.")
def gradescope_zip(out: Path, ex: tuple[str, ...], hidden: str, pip: str) -> None:
    """Write the autograder that Gradescope asks for: a zip with setup.sh and run_autograder, for some exercises or all.

    It holds the solutions and the hidden checks: keep it from students.
    """
    from grader.content.syllabus import find
    from grader.staff.exports.package import write_package

    entries = find(ex)
    write_package(out, entries, hidden, pip)  # type: ignore[arg-type]  # click has seen to it
    click.echo(f"wrote {out}: grades {', '.join(entry.label for entry in entries)}. It holds the solutions.")


@main.command("gradescope-grade", hidden=True)
@click.argument("submission", type=click.Path(path_type=Path))
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("ex", nargs=-1)
@hidden_option
def gradescope_grade(submission: Path, results: Path, ex: tuple[str, ...], hidden: str) -> None:
    """Grade one submission in the sandbox and write results.json: what run_autograder calls."""
    from grader.content.syllabus import find
    from grader.files import write_atomically
    from grader.staff.exports.autograder import grade

    if not results.parent.is_dir():
        raise GraderError(f"There is no folder {results.parent}.")
    document = grade(submission, find(ex), hidden, click.echo)  # type: ignore[arg-type]  # click has seen to it
    write_atomically(results, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
