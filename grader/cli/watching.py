"""The command that grades at each save: watch."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from grader.cli.app import exercises_option, main, plain_option


@main.command()
@click.argument("ex", required=False)
@exercises_option
@click.option("--poll", is_flag=True, help="Look at the files 5 times a second instead of waiting for events.")
@click.option("--auto-advance", is_flag=True, help="Go on to the next exercise when one passes.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What all inputs are drawn from.")
@plain_option
def watch(ex: str | None, exercises: Path, poll: bool, auto_advance: bool, seed: int, plain: bool) -> None:
    """Grade each save: the exercise that changed, then those that use it.

    Begins with EX, or with the first exercise that does not pass.
    """
    from grader.content.syllabus import find
    from grader.learning.watch.loop import Watch

    begin = find([ex])[0] if ex is not None else None
    try:
        Watch(exercises, begin, seed=seed, plain=plain, poll=poll, auto_advance=auto_advance).run()
    except KeyboardInterrupt:
        click.echo("\nStopped. Your files are as you saved them.")
        sys.exit(130)
