"""A cache of buffers that double when they are full, attention by einsum, modes kept module by module.

Good for long texts: a buffer that doubles copies each key a few times at most, where `cat` copies all of them for
every token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .ex15_sampling import next_token_probs


class Buffer:
    """Room for tokens, the first `length` of which are taken."""

    def __init__(self, first: Tensor) -> None:
        self.room = first.clone()
        self.length = first.size(2)

    def add(self, more: Tensor) -> Tensor:
        stop = self.length + more.size(2)
        if stop > self.room.size(2):
            batch, heads, _, width = self.room.shape
            larger = self.room.new_empty(batch, heads, 2 * stop, width)
            larger[:, :, : self.length] = self.room[:, :, : self.length]
            self.room = larger
        self.room[:, :, self.length : stop] = more
        self.length = stop
        return self.room[:, :, :stop].clone()


class KVCache:
    def __init__(self) -> None:
        self.buffers: list[tuple[Buffer, Buffer] | None] = []

    def held(self, layer: int) -> int:
        found = self.buffers[layer] if layer < len(self.buffers) else None
        return found[0].length if found else 0

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        self.buffers += [None] * (layer + 1 - len(self.buffers))
        found = self.buffers[layer]
        if found is None:
            self.buffers[layer] = Buffer(keys.detach()), Buffer(values.detach())
            return keys.clone(), values.clone()
        return found[0].add(keys.detach()), found[1].add(values.detach())


def forward_with_cache(model, ids: Tensor, cache: KVCache) -> Tensor:
    batch, length = ids.shape
    before = cache.held(0)
    if before + length > model.config.context_length:
        raise ValueError(
            f"{before} + {length} = {before + length} tokens: only {model.config.context_length} positions"
        )
    modes = {module: module.training for module in model.modules()}
    for module in modes:
        module.training = False
    heads = model.config.n_heads
    queries = torch.arange(before, before + length, device=ids.device)
    keys = torch.arange(before + length, device=ids.device)
    future = keys[None, :] > queries[:, None]  # (T, n)
    try:
        x = model.token_embedding(ids) + model.position_embedding.weight[queries]
        for number in range(model.config.n_layers):
            block = model.blocks[number]
            normed = block.norm1(x)
            q, k, v = (
                project(normed).view(batch, length, heads, -1).transpose(1, 2)
                for project in (block.attention.q_proj, block.attention.k_proj, block.attention.v_proj)
            )
            k, v = cache.append(number, k, v)
            scores = torch.einsum("bhid,bhjd->bhij", q, k) * q.size(-1) ** -0.5
            weights = scores.masked_fill(future, float("-inf")).softmax(-1)
            mixed = torch.einsum("bhij,bhjd->bihd", weights, v).reshape(batch, length, -1)
            x = x + block.attention.out_proj(mixed)
            x = x + block.feed_forward(block.norm2(x))
        return model.lm_head(model.final_norm(x))
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.no_grad()
def generate_cached(model, ids, max_new_tokens, temperature=1.0, top_k=None, top_p=None, generator=None):
    batch, length = ids.shape
    text = torch.empty(batch, length + max_new_tokens, dtype=torch.int64, device=ids.device)
    if text.size(1) > model.config.context_length:
        raise ValueError(f"{text.size(1)} tokens do not fit")
    text[:, :length] = ids
    cache, done = KVCache(), 0
    for end in range(length, text.size(1)):
        logits = forward_with_cache(model, text[:, done:end], cache)[:, -1]
        done = end
        drawn = torch.multinomial(next_token_probs(logits, temperature, top_k, top_p), 1, generator=generator)
        text[:, end] = drawn[:, 0]
    return text
