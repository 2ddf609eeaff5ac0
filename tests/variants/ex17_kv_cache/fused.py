"""One product for queries, keys and values, dropout-free parts called one by one, a dict of two stacks.

Good for one product in place of three. Here the weights are put together at every call; a model that is made for it
keeps them so.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .ex09_feed_forward import gelu
from .ex15_sampling import next_token_probs


class KVCache:
    def __init__(self) -> None:
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def held(self, layer: int) -> int:
        return 0 if layer not in self.keys else self.keys[layer].shape[-2]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        for store, more in ((self.keys, keys), (self.values, values)):
            store[layer] = torch.cat((store[layer], more), -2) if layer in store else more
        return self.keys[layer], self.values[layer]


def forward_with_cache(model, ids: Tensor, cache: KVCache) -> Tensor:
    held, new = cache.held(0), ids.shape[1]
    if held + new > model.config.context_length:
        raise ValueError(f"context_length is {model.config.context_length}, and {held + new} tokens are too many")
    rows = model.position_embedding.weight.narrow(0, held, new)
    x = model.token_embedding(ids) + rows
    allowed = torch.ones(new, held + new, dtype=torch.bool, device=ids.device).tril(held)
    for layer, block in enumerate(model.blocks):
        parts = [block.attention.q_proj, block.attention.k_proj, block.attention.v_proj]
        weight = torch.cat([part.weight for part in parts])
        bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
        fused = F.linear(block.norm1(x), weight, bias)  # (B, T, 3 D)
        q, k, v = fused.unflatten(-1, (3, model.config.n_heads, -1)).permute(2, 0, 3, 1, 4)
        k, v = cache.append(layer, k, v)
        scores = (q / q.shape[-1] ** 0.5) @ k.transpose(-1, -2)
        weights = scores.where(allowed, float("-inf")).softmax(-1)
        x = x + block.attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
        x = x + block.feed_forward.down(gelu(block.feed_forward.up(block.norm2(x)), "tanh"))
    return model.lm_head(model.final_norm(x))


def generate_cached(model, ids, max_new_tokens, temperature=1.0, top_k=None, top_p=None, generator=None):
    if (total := ids.shape[1] + max_new_tokens) > model.config.context_length:
        raise ValueError(f"{total} tokens are more than {model.config.context_length}")
    cache = KVCache()
    text = ids
    for step in range(max_new_tokens):
        new = text if step == 0 else text[:, -1:]
        with torch.no_grad():
            last = forward_with_cache(model, new, cache)[:, -1]
        draw = torch.multinomial(next_token_probs(last, temperature, top_k, top_p), 1, generator=generator)
        text = torch.cat((text, draw), 1)
    return text
