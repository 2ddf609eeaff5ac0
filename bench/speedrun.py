"""speedrun: CPU seconds until the loss that the laptop recipe ends with, on one thread: exercise 23's recipe beside it.

The text is Tiny Shakespeare, from the file that SPEEDRUN_TEXT names or downloaded; without both, the embedded corpus.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.measure import Row
from grader.judging.reference import reference_assembly
from lab import corpora
from lab.errors import LabError

CONTEXT = 64
SEEDS = (31, 32, 33)
LAPTOP = {"steps": 2000, "batch_size": 12, "max_lr": 1e-3, "min_lr": 1e-4}, {"n_layers": 4}
SMALLER = {"steps": 1600, "batch_size": 8, "max_lr": 5e-3, "min_lr": 5e-5}, {"n_layers": 2}


def text() -> str:
    """The corpus."""
    if "SPEEDRUN_TEXT" in os.environ:
        return corpora.from_file(Path(os.environ["SPEEDRUN_TEXT"])).text
    try:
        return corpora.tiny_shakespeare().text
    except LabError:
        return corpora.load().text


def whole_loss(model: nn.Module, tokens: Tensor) -> float:
    """The mean loss over all windows of held-out characters, side by side."""
    count = (len(tokens) - 1) // CONTEXT
    x, y = (tokens[first : first + count * CONTEXT].view(count, CONTEXT) for first in (0, 1))
    total = 0.0
    model.eval()
    with torch.no_grad():
        for first in range(0, count, 128):
            part = slice(first, first + 128)
            total += model(x[part], y[part])[1].item() * len(x[part])
    return total / count


def timed(call: Callable[[], nn.Module], held_out: Tensor) -> tuple[float, float]:
    """CPU seconds of a call that trains a model, and the model's loss."""
    started = time.process_time()
    model = call()
    seconds = time.process_time() - started
    return seconds, whole_loss(model, held_out)


def rows(_runs: int) -> Iterator[Row]:
    """Ours beside the laptop recipe, and beside a smaller and bolder one of the same kind."""
    torch.set_num_threads(1)
    corpus = text()
    with reference_assembly() as reference:
        training, capstone = reference.exercise("ex14_training"), reference.exercise("ex16_capstone")
        tokenizer = capstone.build_tokenizer(corpus)
        train_tokens, held_out = capstone.split_corpus(corpus, tokenizer)

        def plain(options: dict[str, Any], sizes: dict[str, int]) -> nn.Module:
            torch.manual_seed(0)
            model: nn.Module = capstone.build_model(tokenizer.vocab_size, context_length=CONTEXT, d_model=128, **sizes)
            config = training.TrainConfig(**options, eval_every=options["steps"], eval_batches=1)
            training.train(model, train_tokens, held_out, config)
            return model

        def race(seed: int) -> nn.Module:
            model: nn.Module = reference.exercise("ex23_muon").speedrun(corpus, seed=seed)[0]
            return model

        ours = [timed(lambda seed=seed: race(seed), held_out) for seed in SEEDS]  # type: ignore[misc]
        mine = statistics.median(seconds for seconds, _ in ours)
        losses = ", ".join(f"{loss:.3f}" for _, loss in ours)
        for name, (options, sizes) in (("speedrun", LAPTOP), ("speedrun, smaller rival", SMALLER)):
            seconds, loss = timed(lambda o=options, s=sizes: plain(o, s), held_out)  # type: ignore[misc]
            note = (
                f"ours ends at {losses}; theirs, {options['steps']} steps of {sizes['n_layers']} layers, at {loss:.3f}"
            )
            yield Row(name, mine, seconds, "s CPU", len(SEEDS), note)
