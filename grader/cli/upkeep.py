"""Commands that keep things in order: progress, doctor, update."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from grader.cli.app import echo, main, plain_option, say


@main.command()
@click.argument("ex", nargs=-1)
@click.option("--merge", type=click.Path(path_type=Path), metavar="OTHER", help="Take in another machine's file.")
@click.option("--json", "as_json", is_flag=True, help="Print where you stand as JSON.")
@plain_option
def progress(ex: tuple[str, ...], merge: Path | None, as_json: bool, plain: bool) -> None:
    """Where you stand: points, state, time and hints of each exercise (or of those named), and the next one to do."""
    from grader.content.syllabus import find
    from grader.learning.quiz.boxes import places
    from grader.progress import History, survey
    from grader.screens.progress import show

    history = History()
    if merge is not None:
        count = history.merge(merge)
        say(history.notes)
        echo(f"{count} {'event is' if count == 1 else 'events are'} new. {history.path} now holds both histories.")
        return
    events = history.events()
    standings = survey(events)
    say(history.notes)
    named = {entry.stem for entry in find(ex)}
    if as_json:
        asked = [standing.document() for standing in standings if standing.stem in named]
        click.echo(json.dumps(asked, indent=1))
    else:
        show(standings, plain, named)
        due = sum(place.due(datetime.now(UTC)) for place in places(events).values())
        if due:
            echo(f"  Quiz: {due} {'question is' if due == 1 else 'questions are'} due again: make quiz")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Show what this machine has and lacks, and how to fix it. Exit code 1 when something is wrong."""
    from grader.learning import doctor as examination

    if not as_json:
        sys.exit(examination.main(click.echo))
    found = list(examination.examine())
    click.echo(json.dumps([finding.document() for finding in found], indent=1))
    sys.exit(any(finding.level == "wrong" for finding in found))


@main.command()
@click.option("--keep", multiple=True, metavar="EX", help="Leave this exercise's file exactly as it is.")
@click.option("--remote", help="Where to update from: upstream if there is one, else origin.")
@click.option("--branch", help="Which branch of it: by default the one that it names as its main one.")
@click.option("--dry-run", is_flag=True, help="Say what is new and whether it fits; change nothing.")
def update(keep: tuple[str, ...], remote: str | None, branch: str | None, dry_run: bool) -> None:
    """Bring in new lessons and checks, and keep what you wrote. Exit code 1 when they contradict each other."""
    from grader.content.syllabus import find, load
    from grader.learning import update as updating

    kept = find(keep) if keep else ()
    sys.exit(not updating.update(load(), kept, echo, remote=remote, branch=branch, dry_run=dry_run))
