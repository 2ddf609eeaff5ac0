"""Writing with the KV cache of exercise 17: a model that remembers, and what that buys."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lab.console import table
from lab.pieces import Pieces

SHORTEST, ROUNDS = 16, 3  # tokens in the first row of the table; measurements of each token, of which the best counts


class Cached(nn.Module):
    """A model for exercise 15's `generate` to write one text with: only what is new goes through it.

    It gives the logits of the model itself, at the last position; writing looks at no other, and those are zeros. Once
    the window slides, nothing that is kept holds any more, and the model reads the whole window, as without a cache.

    Args:
        model: a language model.
        further: (1, T) the tokens that follow those that it has been called with, to their logits (1, T, V).
    """

    def __init__(self, model: nn.Module, further: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.config: Any = model.config
        self.further = further
        self.seen: Tensor | None = None  # (1, n) what the cache holds
        self.training = model.training

    def forward(self, ids: Tensor) -> tuple[Tensor, None]:
        """Logits (1, T, V) for a window (1, T), and no loss."""
        held = 0 if self.seen is None else self.seen.size(1)
        if held >= ids.size(1) or (self.seen is not None and not torch.equal(ids[:, :held], self.seen)):
            logits: Tensor = self.model(ids)[0]
            return logits, None
        last = self.further(ids[:, held:])[:, -1]  # (1, V)
        self.seen = ids
        logits = last.new_zeros(1, ids.size(1), last.size(-1))
        logits[:, -1] = last
        return logits, None


def with_cache(pieces: Pieces, model: nn.Module) -> nn.Module:
    """A GPT that remembers one text; where exercise 17 does not pass, the GPT itself."""
    if not pieces.passes("ex17_kv_cache"):
        return model
    cache = pieces.cache.KVCache()
    return Cached(model, lambda ids: pieces.cache.forward_with_cache(model, ids, cache))


def speeds(pieces: Pieces, model: nn.Module, remembering: Callable[[], nn.Module], first: int) -> str:
    """A table: tokens a second without a cache and with one, by the length of the text so far.

    Args:
        pieces: whose `generate` writes.
        model: what writes.
        remembering: makes the same with a cache that is empty.
        first: the token that the text begins with.
    """
    config: Any = model.config
    longest = int(config.context_length)
    edges = [0, *(SHORTEST << i for i in range(64) if SHORTEST << i < longest), longest, longest + SHORTEST]
    rounds = torch.tensor([_seconds(pieces, (model, remembering()), first, edges[-1]) for _ in range(ROUNDS)])
    best = rounds.amin(0)  # (2, tokens)
    rows = []
    for low, high in pairwise(edges):
        without, kept = best[:, low:high].mean(1).tolist()
        lengths = f"{low + 1:,} to {high:,}" if high <= longest else f"beyond {longest:,}"
        rows.append((lengths, f"{1 / without:,.0f}", f"{1 / kept:,.0f}", f"{without / kept:.2f}"))
    return table(rows, header=("tokens of the text", "a second without", "with the cache", "times as fast"))


def _seconds(pieces: Pieces, ways: Sequence[nn.Module], first: int, tokens: int) -> list[list[float]]:
    """Time each token, in turn one way and the other, so that other work on the machine slows both alike."""
    start = torch.tensor([[first]], device=next(ways[0].parameters()).device)
    texts, generators = [start for _ in ways], [torch.Generator(start.device).manual_seed(0) for _ in ways]
    found: list[list[float]] = [[] for _ in ways]
    for _ in range(tokens):
        for way, model in enumerate(ways):
            began = time.perf_counter()
            texts[way] = pieces.sampling.generate(model, texts[way], 1, 1.0, None, None, generators[way])
            found[way].append(time.perf_counter() - began)
    return found
