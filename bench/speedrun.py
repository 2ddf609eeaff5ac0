"""speedrun: CPU seconds of exercise 23's recipe beside those of two plain ones whose loss it gets below, on one thread.

The text is Tiny Shakespeare, from the file that SPEEDRUN_TEXT names or downloaded; without both, the embedded corpus.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.measure import Row
from grader.judging.reference import reference_assembly
from lab import corpora
from lab.errors import LabError
from lab.text import full_loss

CONTEXT = 64
SEEDS = (31, 32, 33)
# Our steps, and the rival's options of `TrainConfig` and `build_model`: the well-known recipe for a laptop, and that of
# exercise 16, which was tuned as ours was.
RACES: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "speedrun": (
        240,
        {"steps": 2000, "batch_size": 12, "max_lr": 1e-3, "min_lr": 1e-4, "weight_decay": 0.1},
        {"d_model": 128, "n_layers": 4},
    ),
    "speedrun, exercise 16's recipe": (480, {}, {}),
}


def text() -> str:
    """The corpus."""
    if "SPEEDRUN_TEXT" in os.environ:
        return corpora.from_file(Path(os.environ["SPEEDRUN_TEXT"])).text
    try:
        return corpora.tiny_shakespeare().text
    except LabError:
        return corpora.load().text


def timed(call: Callable[[], nn.Module], held_out: Tensor) -> tuple[float, float]:
    """CPU seconds of a call that trains a model, and the model's loss."""
    started = time.process_time()
    model = call()
    seconds = time.process_time() - started
    with torch.no_grad():
        return seconds, full_loss(model, held_out, length=CONTEXT)


def rows(_runs: int) -> Iterator[Row]:
    """Ours beside the laptop recipe, and beside the plain recipe of exercise 16."""
    torch.set_num_threads(1)
    corpus = text()
    with reference_assembly() as reference:
        training, capstone = reference.exercise("ex14_training"), reference.exercise("ex16_capstone")
        racer = reference.exercise("ex23_muon")
        tokenizer = capstone.build_tokenizer(corpus)
        train_tokens, held_out = capstone.split_corpus(corpus, tokenizer)

        def plain(options: dict[str, Any], sizes: dict[str, Any]) -> nn.Module:
            torch.manual_seed(0)
            model: nn.Module = capstone.build_model(tokenizer.vocab_size, **sizes)
            steps = options.get("steps", training.TrainConfig.steps)
            config = training.TrainConfig(**options, eval_every=steps, eval_batches=1)
            training.train(model, train_tokens, held_out, config)
            return model

        def race(seed: int, steps: int) -> nn.Module:
            model: nn.Module = racer.speedrun(corpus, seed=seed, steps=steps)[0]
            return model

        for name, (steps, options, sizes) in RACES.items():
            ours = [timed(partial(race, seed, steps), held_out) for seed in SEEDS]
            mine = statistics.median(seconds for seconds, _ in ours)
            losses = ", ".join(f"{loss:.3f}" for _, loss in ours)
            seconds, loss = timed(partial(plain, options, sizes), held_out)
            yield Row(name, mine, seconds, "s CPU", len(SEEDS), f"ours ends at {losses}; theirs at {loss:.3f}")
