"""Commands for a learner at work on an exercise: hint, reset, solution."""

from __future__ import annotations

import sys

import click

from grader.cli.app import agreed, echo, main, plain_option, say
from grader.errors import GraderError


@main.command()
@click.argument("ex", required=True)
@click.argument("name", required=False)
@click.option(
    "--tier",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="1 asks, 2 explains, the last nearly tells; before it, a long one has a skeleton.",
)
@plain_option
def hint(ex: str, name: str | None, tier: int, plain: bool) -> None:
    """A hint for an exercise, or for one NAME in it: a function, a class, or a method (BPETokenizer.train)."""
    from grader.content.hints import choices, hints_of
    from grader.content.syllabus import find
    from grader.progress import note
    from grader.screens.console import Printer

    (entry,) = find([ex])
    hints = hints_of(entry)
    meant = choices(hints, name) if name else list(hints)
    if not meant:
        raise GraderError(f"{entry.label} has no hint for {name!r}. It has some for {', '.join(hints)}.")
    to_choose = [each for each in meant if len(meant) > 1 and "." in each]  # one look does not give a class away
    names = [each for each in meant if each not in to_choose]
    out = Printer(plain)
    for each in names:
        out.line(each, style="bold")
        out.block(hints[each].tier(tier), 0)
    number = entry.label[2:]
    if to_choose:
        out.line("There is a hint for each method. Choose one:", style="bold")
        for each in to_choose:
            out.line(f"  make hint EX={number} NAME={each}")
    if names and tier < max(len(hints[each].tiers) for each in names):
        again = f"EX={number} TIER={tier + 1}" + (f" NAME={names[0]}" if len(meant) == 1 else "")
        out.line(f"The next tier says more: make hint {again}", style="dim")
    if names:
        say(note("hint", entry.stem, names=names, tier=tier))


@main.command()
@click.argument("ex", required=True)
@click.option("--yes", is_flag=True, help="Don't ask.")
def reset(ex: str, yes: bool) -> None:
    """Start an exercise over: its file becomes the stub again, and a dated backup of yours is kept."""
    from grader.content import stubs
    from grader.content.syllabus import find
    from grader.files import back_up, shown, write_atomically
    from grader.progress import note

    (entry,) = find([ex])
    path = shown(str(entry.stub))
    if entry.stub.exists():
        if stubs.is_untouched(entry, entry.stub.read_bytes().decode("utf-8", "replace")):
            echo(f"{path} is the stub as it was handed out. There is nothing to reset.")
            return
        if not yes and not agreed(f"Put the stub in the place of {path}? A backup of yours is kept."):
            echo("Nothing was changed.")
            sys.exit(1)
        echo(f"kept a backup: {shown(str(back_up(entry.stub)))}")
    write_atomically(entry.stub, stubs.generated(entry))
    echo(f"wrote {path}")
    say(note("reset", entry.stem))


@main.command()
@click.argument("ex", required=True)
@click.argument("name", required=False)
@click.option("--diff", is_flag=True, help="Show how yours and the reference differ, and what is idiomatic in yours.")
@click.option("--lesson", is_flag=True, help="Show the whole file, lesson included.")
@click.option("--like", metavar="STYLE", help="Another right solution; after a pass, --diff lists them.")
@click.option("--give-up", is_flag=True, help="Show it although the exercise does not pass; this is recorded.")
@plain_option
def solution(ex: str, name: str | None, diff: bool, lesson: bool, like: str | None, give_up: bool, plain: bool) -> None:
    """The reference's solution of an exercise, or of one NAME in it: after a pass, or when you give up."""
    from grader.content.syllabus import find
    from grader.learning import idioms
    from grader.progress import note
    from grader.screens import solution as solutions

    (entry,) = find([ex])
    if diff and not (entry.solution.exists() or name or like) and solutions.earned(entry):
        idioms.show(entry, entry.stub, plain)  # a release holds nothing to compare with
        return
    pieces = solutions.reference(entry)
    if name is not None and name not in pieces:
        raise GraderError(f"{entry.label} asks for no {name!r}. It asks for {', '.join(pieces)}.")
    if not solutions.earned(entry):
        if not give_up and not agreed(
            f"{entry.label} does not pass yet. Did you try every hint (make hint EX={entry.label[2:]} TIER=4)? "
            "If you look now, your progress says so. Show the solution?"
        ):
            echo(f"Not shown. To see it without being asked: make solution EX={entry.label[2:]} ARGS=--give-up")
            sys.exit(1)
        say(note("gave_up", entry.stem))
    if lesson:
        solutions.show(solutions.text(entry), plain)
        return
    mine = solutions.learner(entry) if diff else {}
    theirs = solutions.other(entry, like) if like else pieces
    if name is not None and name not in theirs:
        raise GraderError(f"The solution {like} writes no {name!r} of its own. It has {', '.join(theirs)}.")
    for each in [name] if name else theirs:
        if diff:
            whose = f"the solution {like}" if like else "the reference"
            solutions.show_difference(each, mine.get(each), theirs[each], plain, whose)
        else:
            solutions.show(theirs[each] + "\n", plain)
    if diff and not like:
        solutions.show_others(entry, plain)
    if diff and not (like or name):
        echo()
        idioms.show(entry, entry.stub, plain)
