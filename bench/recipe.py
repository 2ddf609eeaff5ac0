"""recipe: what `make train` reaches with the reference: the loss on the whole held-out text, and the time it takes."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Row
from lab import corpora
from lab.console import Screen
from lab.recipes import DEMO, TRAIN
from lab.session import new_run
from lab.text import TextPlan


def rows(_runs: int) -> Iterator[Row]:
    """The loss beside the trigram baseline's, and the seconds, for `make train` and for `make demo`; one run each."""
    corpus = corpora.load()
    for name, recipe in (("train", TRAIN), ("demo", DEMO)):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            outcome = new_run(
                Screen(plain=True, file=io.StringIO()),
                Path(folder),
                None,
                TextPlan(corpus, recipe),
                seed=0,
                device="cpu",
                exercises=None,
            )
            seconds = time.perf_counter() - started
        theirs = outcome.baselines.trigram
        yield Row(f"recipe {name} loss", outcome.loss, theirs, "nats/char", 1, "theirs: trigram; whole held-out text")
        yield Row(f"recipe {name} time", seconds, None, "s", 1, f"{recipe['steps']} steps, cpu")
