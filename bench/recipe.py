"""recipe: CPU seconds to the loss at which the well-known laptop recipe ends, on one thread; theirs: that recipe.

The laptop recipe is nanoGPT's: 4 layers of 128, batches of 12, AdamW from 1e-3 to 1e-4, 2000 steps. It runs with
ready-made modules and PyTorch's own AdamW; ours, with the defaults of exercises 14 and 16, as the reference has them.
Measured on Tiny Shakespeare where it has been downloaded (make train ARGS="--corpus tinyshakespeare"), else on the
plays. Evaluations are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bench.measure import Row
from bench.train_step import BATCH, CONTEXT, TheirGPT
from grader.judging.reference import reference_assembly
from lab import corpora
from lab.text import full_loss

LOOK = 50  # steps from one evaluation of ours to the next, in the second half
FULL = 64  # windows at a time of an evaluation


def rows(_runs: int) -> Iterator[Row]:
    """Two rows, of one run each: the seconds to that loss, and the loss at the end of ours beside theirs."""
    torch.set_num_threads(1)
    corpus = what_is_there()
    with reference_assembly() as reference:
        capstone, training = reference.exercise("ex16_capstone"), reference.exercise("ex14_training")
        tokenizer = capstone.build_tokenizer(corpus.text)
        train, val = capstone.split_corpus(corpus.text, tokenizer)
        torch.manual_seed(0)
        theirs, target = laptop(TheirGPT(tokenizer.vocab_size), train, val, training)
        torch.manual_seed(0)
        model = capstone.build_model(tokenizer.vocab_size)
        ours, end = until(model, train, val, training, target)
        steps = training.TrainConfig().steps
    note = f"{corpus.name}; to {target:.3f}, where the laptop recipe ends; at least 3x"
    yield Row("recipe: time to a loss", ours, theirs, "s CPU", 1, note)
    yield Row("recipe: loss at the end", end, target, "nats/char", 1, f"{steps} steps; whole held-out text")


def what_is_there() -> corpora.Corpus:
    """Tiny Shakespeare where it has been downloaded, else the plays."""
    there = (corpora.DATA / "tinyshakespeare.txt").exists()
    return corpora.load("tinyshakespeare" if there else "plays")


def laptop(model: nn.Module, train: Tensor, val: Tensor, training: Any) -> tuple[float, float]:
    """The CPU seconds of the laptop recipe, and the loss on the whole held-out text at its end."""
    optimizer = torch.optim.AdamW(training.parameter_groups(model, 0.1), lr=1e-3, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(0)
    started = time.process_time()
    for step in range(1, 2001):
        for group in optimizer.param_groups:
            group["lr"] = training.cosine_lr(step, 1e-3, 1e-4, 100, 2000)
        _, loss = model(*training.get_batch(train, BATCH, CONTEXT, generator))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.process_time() - started, full_loss(model, val, FULL, CONTEXT)


def until(model: nn.Module, train: Tensor, val: Tensor, training: Any, target: float) -> tuple[float, float]:
    """The CPU seconds of ours until the loss on the whole held-out text is at the target, and the loss at its end.

    Infinite seconds if it never is.
    """
    config = training.TrainConfig(eval_every=10**9, eval_batches=1)
    reached, aside = float("inf"), 0.0
    started = time.process_time()

    def look(step: int, _: float) -> None:
        nonlocal reached, aside
        if reached == float("inf") and 2 * step > config.steps and step % LOOK == 0:
            paused = time.process_time()
            if full_loss(model, val, FULL) <= target:
                reached = paused - started - aside
            aside += time.process_time() - paused

    training.train(model, train, val, config, look)
    end = full_loss(model, val, FULL)
    if reached == float("inf") and end <= target:
        reached = time.process_time() - started - aside
    return reached, end
