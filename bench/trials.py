"""trials: the table of recipes in exercise 16's lesson, measured again, on one thread.

Each trains on the first nine tenths of the first nine tenths, and is judged on the rest of these: what the default
recipe was chosen by. Measured on Tiny Shakespeare where it has been downloaded, else on the plays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from bench.measure import Row
from bench.recipe import FULL, what_is_there
from grader.judging.reference import reference_assembly
from lab.text import full_loss

TRIALS = ((2, 128, 4, 0.005, 1317), (2, 128, 8, 0.005, 932), (2, 64, 16, 0.01, 895), (2, 96, 8, 0.006, 1401))


def rows(_runs: int) -> Iterator[Row]:
    """A row for each: its loss, with the CPU seconds beside it."""
    torch.set_num_threads(1)
    corpus = what_is_there()
    with reference_assembly() as reference:
        capstone, training = reference.exercise("ex16_capstone"), reference.exercise("ex14_training")
        tokenizer = capstone.build_tokenizer(corpus.text)
        known, _ = capstone.split_corpus(corpus.text, tokenizer)
        train, val = known[: 9 * len(known) // 10], known[9 * len(known) // 10 :]
        for layers, width, batch, rate, steps in TRIALS:
            config = training.TrainConfig(
                steps=steps, batch_size=batch, max_lr=rate, min_lr=rate / 100, eval_every=10**9, eval_batches=1
            )
            torch.manual_seed(0)
            model = capstone.build_model(tokenizer.vocab_size, d_model=width, n_layers=layers)
            started = time.process_time()
            training.train(model, train, val, config)
            seconds = time.process_time() - started
            note = f"{corpus.name}; {seconds:.0f} s CPU"
            name = f"trials: {layers} x {width}, batches of {batch}, rate {rate}, {steps} steps"
            yield Row(name, full_loss(model, val, FULL), None, "nats/char", 1, note)
