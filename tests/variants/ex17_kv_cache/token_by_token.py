"""A cache of lists of pieces; a text, the prompt too, goes in token by token, so that no mask is needed.

Good for simplicity: a single token needs no mask. A long prompt takes as many calls as it has tokens.
"""

from __future__ import annotations

import math
from collections import defaultdict

import torch

from .ex07_multi_head import merge_heads, split_heads
from .ex15_sampling import next_token_probs


class KVCache:
    def __init__(self):
        self.pieces = defaultdict(list)

    def held(self, layer):
        return sum(keys.shape[2] for keys, _ in self.pieces.get(layer, []))

    def append(self, layer, keys, values):
        self.pieces[layer].append((keys, values))
        all_keys, all_values = zip(*self.pieces[layer], strict=True)
        return torch.cat(all_keys, 2), torch.cat(all_values, 2)


def one_token(model, ids, cache):
    position = cache.held(0)
    x = model.token_embedding(ids) + model.position_embedding.weight[position]
    for layer, block in enumerate(model.blocks):
        heads, normed = model.config.n_heads, block.norm1(x)
        q = split_heads(block.attention.q_proj(normed), heads)
        k = split_heads(block.attention.k_proj(normed), heads)
        v = split_heads(block.attention.v_proj(normed), heads)
        k, v = cache.append(layer, k, v)
        weights = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1)
        x = x + block.attention.out_proj(merge_heads(weights @ v))
        x = x + block.feed_forward(block.norm2(x))
    return model.lm_head(model.final_norm(x))


def forward_with_cache(model, ids, cache):
    if cache.held(0) + ids.shape[1] > model.config.context_length:
        raise ValueError(f"too many tokens: {cache.held(0) + ids.shape[1]}")
    mode = model.training
    try:
        model.train(False)
        return torch.cat([one_token(model, ids[:, i : i + 1], cache) for i in range(ids.shape[1])], 1)
    finally:
        model.train(mode)


def generate_cached(model, ids, max_new_tokens, temperature=1.0, top_k=None, top_p=None, generator=None):
    total = ids.shape[1] + max_new_tokens
    if total > model.config.context_length:
        raise ValueError(f"{total} is too long")
    if max_new_tokens == 0:
        return ids.clone()
    with torch.inference_mode():
        cache = KVCache()
        logits = forward_with_cache(model, ids, cache)
        tokens = [ids]
        while True:
            probs = next_token_probs(logits[:, -1, :], temperature, top_k, top_p)
            tokens.append(torch.multinomial(probs, 1, generator=generator))
            if len(tokens) > max_new_tokens:
                return torch.cat(tokens, 1)
            logits = forward_with_cache(model, tokens[-1], cache)
