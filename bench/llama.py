"""llama: the held-out loss of the Llama of exercise 22 beside the GPT of exercise 13, at equal parameters and steps.

Two layers of width 64 each, on the first 300,000 characters of the plays, windows of 32, three seeds. The Llama's inner
width is the one that `make train MODEL=llama` chooses; both see the same batches, in the learner's own loop.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench.measure import Row
from lab import corpora
from lab.corpora import Corpus
from lab.pieces import open_pieces
from lab.tasks import TEXT
from lab.text import TextPlan, full_loss
from lab.training import count

CHARACTERS, SEEDS = 300_000, 3
GIVEN = {
    "steps": 300, "batch_size": 16, "lr": 5e-3, "eval_every": 300, "context": 32, "width": 64, "heads": 4, "layers": 2,
}  # fmt: skip


def rows(_runs: int) -> Iterator[Row]:
    """One row for each seed: the loss on all that is held out."""
    torch.set_num_threads(1)
    corpus = Corpus("plays", "plays", corpora.load("plays").text[:CHARACTERS])
    with open_pieces(None, TEXT["llama"].exercises) as pieces:
        for seed in range(SEEDS):
            losses, sizes = {}, []
            for name in ("llama", "gpt"):
                task = TextPlan(corpus, GIVEN, TEXT[name]).begin(pieces, seed, torch.device("cpu"))
                model = task.build_model()
                task.train(model, task.config, lambda *_: None, None)
                losses[name] = full_loss(model, task.val_tokens)
                sizes.append(count(model))
            note = f"theirs: the GPT; {sizes[0]:,} parameters beside {sizes[1]:,}, {GIVEN['steps']} steps"
            yield Row(f"llama: held-out loss, seed {seed}", losses["llama"], losses["gpt"], "nats/char", 1, note)
