"""flash: CPU time of causal attention, forward and backward, on one thread: ours beside the fused kernel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.measure import Row, in_turn
from grader.judging.reference import reference_assembly

HEADS, WIDTH = 4, 32
CASES = ((64, 16, 64, 2.0), (512, 2, 128, 1.2), (2048, 1, 128, 1.3))  # tokens, texts, block_size, how often at most
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def seconds(attention: Attention, inputs: list[Tensor], grad: Tensor, times: int) -> float:
    """CPU seconds of a forward and a backward pass."""
    started = time.process_time()
    for _ in range(times):
        torch.autograd.grad(attention(*inputs), inputs, grad)
    return (time.process_time() - started) / times


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def rows(runs: int) -> Iterator[Row]:
    """Two rows for each length: exercise 21 and exercise 5, each beside the fused kernel."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with reference_assembly() as reference:
        flash_attention = reference.exercise("ex21_flash_attention").flash_attention
        attention = reference.exercise("ex05_attention").scaled_dot_product_attention
        causal_mask = reference.exercise("ex06_masks").causal_mask
        for length, texts, size, most in CASES:
            inputs = [torch.randn(texts, HEADS, length, WIDTH, requires_grad=True) for _ in range(3)]
            grad, times = torch.randn(texts, HEADS, length, WIDTH), max(1, 1024 // length)

            def tiles(q: Tensor, k: Tensor, v: Tensor, size: int = size) -> Tensor:
                out: Tensor = flash_attention(q, k, v, causal=True, block_size=size)
                return out

            def table(q: Tensor, k: Tensor, v: Tensor, length: int = length) -> Tensor:
                out: Tensor = attention(q, k, v, causal_mask(length))[0]
                return out

            for name, ours, note in (("flash", tiles, f"; at most {most}x"), ("plain", table, "")):
                mine, other = in_turn(
                    partial(seconds, ours, inputs, grad, times), partial(seconds, fused, inputs, grad, times), 3 * runs
                )
                yield Row(
                    f"{name} {length}",
                    1e3 * mine,
                    1e3 * other,
                    "ms CPU",
                    3 * runs,
                    f"{mine / other:.2f} times the fused kernel{note}",
                )
