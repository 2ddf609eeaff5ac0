"""Commands to practise with: recall, quiz."""

from __future__ import annotations

import sys

import click

from grader.cli.app import echo, main, plain_option, say


@main.command()
@click.argument("ex", required=True)
@click.option("--new", is_flag=True, help="Start over; what was written is kept in recall/done/.")
@click.option("--contract", is_flag=True, help="Print the signatures that are asked for, and no more.")
@plain_option
def recall(ex: str, new: bool, contract: bool, plain: bool) -> None:
    """Closed book: write an exercise, or a whole model (gpt), from memory. The first call hands out, the next grade."""
    from grader.files import shown
    from grader.learning import recall as closed_book
    from grader.progress import History, note
    from grader.screens.progress import clock
    from grader.screens.run import Report

    task = closed_book.find_task(ex)
    if contract:
        click.echo(task.contract(), nl=False)
        return
    path, again = shown(str(task.path)), f"make recall EX={task.word}"
    if new or not task.path.exists():
        old = task.begin()
        if old is not None:
            echo(f"What you wrote before is kept: {shown(str(old))}")
        echo(f"Closed book: {task.title}. The clock is running.")
        echo(f"  write   {path}")
        echo(f"  grade   {again}")
        if not task.start():
            echo(f"  names   {again} ARGS=--contract   (the file is empty: what is asked for, and its signatures)")
        say(note("recall_began", task.name))
        return
    history = History()
    seconds = closed_book.elapsed(closed_book.began(history.events(), task.name))
    say(history.notes)
    time = "" if seconds is None else f", {clock(seconds)} so far"
    if task.is_untouched():
        echo(f"{path} is there, and nothing is written in it yet{time}. Start over: {again} ARGS=--new")
        return
    report = Report(closed_book.FOLDER, plain)
    results = task.grade(report.row)
    points, most = sum(result.points for result in results), sum(result.max_points for result in results)
    if all(result.status == "pass" for result in results):
        say(note("recalled", task.name, seconds=seconds, points=points))
        echo(f"\nBy heart: all {most} points" + ("." if seconds is None else f", in {clock(seconds)}."))
        echo(f"Kept: {shown(str(task.put_away()))}. Once more, another day: {again}")
        return
    echo()
    for result in results:
        for line in closed_book.problems(result):
            report.out.block(line, 0)
    echo(f"\n{points} of {most} points{time}. Go on in {path}, then: {again}")
    sys.exit(1)


@main.command()
@click.argument("ex", nargs=-1)
@click.option("--count", type=click.IntRange(1), default=6, show_default=True, help="How many questions.")
@click.option("--seed", type=click.IntRange(0), help="Ask the same questions with the same numbers again.")
@plain_option
def quiz(ex: tuple[str, ...], count: int, seed: int | None, plain: bool) -> None:
    """Questions with new numbers each time, on what you have worked through or on the exercises named."""
    from grader.content.syllabus import find
    from grader.learning.quiz.session import begun, hold
    from grader.progress import History

    entries = find(ex) if ex else begun(History().events())
    say(hold(entries, count, seed, plain).notes)
