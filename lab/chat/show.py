"""What `make chat` does: a conversation in the terminal, with a model that runs in the learner's own code."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from lab.chat.conversation import Conversation, Step, build
from lab.chat.published import published
from lab.console import Screen
from lab.errors import LabError
from lab.pieces import open_pieces, with_needs
from lab.session import announce_grading
from lab.task import Request

EXERCISES = tuple(dict.fromkeys((*with_needs("ex22_llama"), "ex22_llama", *with_needs("ex15_sampling"))))
HELP = "Write something. Ctrl-C stops an answer; /new starts over; /bye or Ctrl-D ends."


def show(exercises: Path | None, request: Request, system: str, look: bool, plain: bool) -> None:
    """Talk until the user has had enough: answers go to stdout, everything else to stderr.

    Args:
        exercises: the learner's folder; None takes the reference.
        request: a first thing to say, if any, and how tokens are chosen. With a prompt, one answer is all.
        system: what the model is told about its role; empty leaves it to its template.
        look: whether each token is shown with its five likeliest rivals.
        plain: whether nothing may move on the screen.

    Raises:
        LabError: the model can't be had, or the exercises can't make one.
    """
    screen = Screen(plain, file=sys.stderr)
    card, weights = published(screen)
    announce_grading(screen, exercises)
    with open_pieces(exercises, EXERCISES) as pieces:
        screen.say(pieces.describe())
        model = build(pieces, card, weights)
        weights.clear()
        count = sum(parameter.numel() for parameter in model.parameters())
        screen.say(f"SmolLM2-135M-Instruct, {count:,} parameters. {'' if request.prompt else HELP}\n")
        talk = Conversation(pieces, model, card, system, request.seed)
        if request.prompt:
            respond(screen, talk, request.prompt, request, look)
            return
        while True:
            said = ask()
            if said is None or said in ("/bye", "/quit", "/exit"):
                return
            if said == "/new":
                talk = Conversation(pieces, model, card, system, request.seed)
                screen.say("A new conversation.")
            elif said:
                try:
                    respond(screen, talk, said, request, look)
                except LabError as error:
                    screen.say(f"{error.message} (/new)", style="yellow")


def ask() -> str | None:
    """Return what the user says; None when there is nothing more."""
    try:
        if sys.stdin.isatty():
            return input("> ").strip()
        line = sys.stdin.readline()
        return line.strip() if line else None
    except (EOFError, KeyboardInterrupt):
        click.echo(err=True)
        return None


def respond(screen: Screen, talk: Conversation, said: str, request: Request, look: bool) -> None:
    """Print the answer as it comes, and how fast it came."""
    began = time.perf_counter()
    first, count = began, 0
    with stopping(talk):
        for step in talk.answer(said, request.tokens, request.temperature, request.top_k, request.top_p):
            if not count:
                first = time.perf_counter()
            count += 1
            click.echo(line_of(talk, step) + "\n" if look else step.text, nl=False)
            sys.stdout.flush()
    if look:
        click.echo("\n" + talk.messages[-1]["content"], nl=False)
    click.echo()
    pace = f", {(count - 1) / (time.perf_counter() - first):.1f} tokens a second" if count > 1 else ""
    stopped = " (stopped)" if talk.stopped else ""
    screen.say(f"[{count} tokens, the first after {first - began:.1f} s{pace}]{stopped}\n", style="dim")


def line_of(talk: Conversation, step: Step) -> str:
    """A token and its rivals: what was written, its chance, and the five likeliest."""

    def quoted(token: int) -> str:
        return repr(talk.words.decode_all([token]))

    rivals = "  ".join(f"{quoted(token)} {100 * chance:.1f} %" for token, chance in step.rivals)
    return f"{quoted(step.token):<16}{100 * step.chance:5.1f} %   {rivals}"


@contextlib.contextmanager
def stopping(talk: Conversation) -> Iterator[None]:
    """While an answer comes, Ctrl-C ends it, between two tokens, and not the program."""
    before = signal.signal(signal.SIGINT, talk.stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
