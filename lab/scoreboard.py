"""Where a model stands: among what counting reaches, and what is well known."""

from __future__ import annotations

from collections.abc import Mapping

from lab.baselines import bits
from lab.console import table

# Held-out losses that the README of nanoGPT gives for Tiny Shakespeare, each from some random batches.
KNOWN = {"nanoGPT on a laptop *": 1.88, "nanoGPT on a GPU *": 1.4697}
NOTE = "* On Tiny Shakespeare, by nanoGPT's README: 4 layers of 128 on a laptop, 6 of 384 on a GPU, 3 minutes each."
COMPARABLE = ("plays", "tinyshakespeare")  # the corpora that were cut from the same plays


def scoreboard(corpus: str, counted: Mapping[str, float], name: str, loss: float) -> str:
    """All losses from the largest to the smallest, in nats and bits per character, with an arrow at the run's.

    Args:
        corpus: the name of what was learned; what is well known is shown where it can be compared.
        counted: what counting reaches, by name.
        name: what the run's model is called.
        loss: what it reaches.
    """
    known = KNOWN if corpus in COMPARABLE else {}
    losses = sorted({**counted, **known, f"> {name}": loss}.items(), key=lambda row: -row[1])
    rows = [(label, f"{nats:.3f}", f"{bits(nats):.3f}") for label, nats in losses]
    return table(rows, header=("held-out loss per character", "nats", "bits")) + (f"\n{NOTE}" if known else "")
