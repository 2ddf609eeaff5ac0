"""cache: 240 tokens written with the KV cache of exercise 17, beside exercise 15's `generate` without one.

A GPT of 4 layers of width 128 with a context of 256, a prompt of 16 tokens, one thread. CPU seconds, so that other work
on the machine counts as little as it can.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from bench.measure import Row, in_turn
from grader.judging.reference import reference_assembly

SIZES = {"vocab_size": 65, "context_length": 256, "d_model": 128, "n_heads": 4, "n_layers": 4}
PROMPT, WRITTEN = 16, 240


def rows(runs: int) -> Iterator[Row]:
    """One row: seconds for all tokens, with the cache and without."""
    torch.set_num_threads(1)
    with reference_assembly() as reference:
        gpt, sampling, cache = (reference.exercise(stem) for stem in ("ex13_gpt", "ex15_sampling", "ex17_kv_cache"))
        torch.manual_seed(0)
        model = gpt.GPT(gpt.GPTConfig(**SIZES)).eval()
        ids = torch.randint(SIZES["vocab_size"], (1, PROMPT))

        def seconds(write: Callable[..., Any]) -> float:
            began = time.process_time()
            write(model, ids, WRITTEN, generator=torch.Generator().manual_seed(0))
            return time.process_time() - began

        ours, theirs = in_turn(lambda: seconds(cache.generate_cached), lambda: seconds(sampling.generate), runs)
        note = f"theirs: exercise 15's generate; {WRITTEN / ours:.0f} tokens a second beside {WRITTEN / theirs:.0f}"
        yield Row(f"cache: {WRITTEN} tokens", ours, theirs, "CPU s", runs, note)
