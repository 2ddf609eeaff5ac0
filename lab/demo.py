"""The whole journey with the reference solution: grade, train, compare, write."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from lab import corpora, runs
from lab.console import Screen, clock
from lab.pieces import require
from lab.session import new_run
from lab.text import TextPlan, TextTask


def journey(screen: Screen, root: Path, device: str, steps: int | None, seed: int) -> bool:
    """Grade all exercises of the reference, train its model, compare it with the baselines and let it write.

    Returns:
        Whether the reference passes all of its checks and the model beats the trigram baseline.

    Raises:
        LabError: this copy of the project holds no reference.
    """
    require(TextTask.exercises, exercises=None)
    start = time.monotonic()
    screen.heading("1. Grade the reference solution")
    passed = grade(plain=not screen.animated)
    screen.heading("2. Train its GPT on the embedded corpus")
    corpus = corpora.load()
    outcome = new_run(
        screen,
        root,
        None,
        TextPlan(corpus, {} if steps is None else {"steps": steps}),
        seed=seed,
        device=device,
        exercises=None,
    )
    screen.heading("3. Compare it with counting")
    screen.say(outcome.table())
    if outcome.beats_trigram:
        lead = outcome.baselines.trigram - outcome.loss
        screen.say(f"\nThe GPT beats the trigram baseline by {lead:.3f} nats per character.")
    else:
        screen.say(
            "\nThe GPT does not beat the trigram baseline: it was trained for too few steps, or something is wrong."
        )
    screen.heading("4. Let it write")
    screen.say(outcome.sample)
    screen.heading("Where to go from here")
    screen.say(
        f"The run is in {runs.shown(outcome.run.folder)}; its loss curve is the picture loss.png.\n"
        f"Look inside the model: open {runs.shown(outcome.run.map)} in a browser.\n"
        'make sample PROMPT="ROMEO:"    more text from this model\n'
        "make test                      what you have built of it so far\n"
        "make train                     the same with your own pieces\n"
        f"All this took {clock(time.monotonic() - start)}."
    )
    if not passed:
        screen.say("The reference does not pass all of its checks: see part 1.")
    return passed and outcome.beats_trigram


def grade(plain: bool) -> bool:
    """Grade the reference as a learner's work is graded; whether everything passes."""
    command = [sys.executable, "-m", "grader", "test", "--exercises", "solutions", *(["--plain"] if plain else [])]
    return subprocess.run(command, cwd=runs.ROOT).returncode == 0
