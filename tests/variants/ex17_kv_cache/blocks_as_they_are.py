"""The blocks run as they are, with another attention in them for the time of a call; the cache is a module of buffers.

Good for models whose blocks change: only the attention has to know of the cache, which moves with `.to(...)`.
"""

from __future__ import annotations

import contextlib
import math

import torch
from torch import nn

from . import ex06_masks, ex07_multi_head, ex15_sampling


class KVCache(nn.Module):
    def __init__(self):
        super().__init__()

    def held(self, layer):
        name = f"keys_{layer}"
        return getattr(self, name).shape[2] if hasattr(self, name) else 0

    def append(self, layer, keys, values):
        names = f"keys_{layer}", f"values_{layer}"
        for name, new in zip(names, (keys, values), strict=True):
            old = getattr(self, name, None)
            self.register_buffer(name, new.clone() if old is None else torch.cat((old, new), dim=2), persistent=False)
        return tuple(getattr(self, name) for name in names)


def reading(attention, n_heads, layer, cache, mask):
    """What stands in for the attention of a layer: the same for the new tokens, with the old ones' keys and values."""

    def forward(query, *_others, **_options):
        q, k, v = (
            ex07_multi_head.split_heads(project(query), n_heads)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        k, v = cache.append(layer, k, v)
        weights = ex06_masks.masked_softmax(q / math.sqrt(q.shape[-1]) @ k.mT, mask)
        return attention.out_proj(ex07_multi_head.merge_heads(weights @ v))

    return forward


@contextlib.contextmanager
def cached(model, cache, mask):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    for layer, block in enumerate(model.blocks):
        block.attention.forward = reading(block.attention, model.config.n_heads, layer, cache, mask)
    try:
        yield model
    finally:
        for block in model.blocks:
            del block.attention.forward  # the class's own is there again
        for module, mode in modes:
            module.training = mode


def forward_with_cache(model, ids, cache):
    held, new = cache.held(0), ids.shape[1]
    if held + new > model.config.context_length:
        raise ValueError(f"{held} tokens held and {new} new ones are {held + new}")
    with cached(model, cache, ex06_masks.causal_mask(held + new, ids.device)[held:]):
        tokens = model.token_embedding(ids)
        gap = tokens.new_zeros(tokens.shape[0], held, tokens.shape[2])  # so that the new ones stand where they belong
        x = model.position_embedding(torch.cat((gap, tokens), dim=1))[:, held:]
        for block in model.blocks:
            x = block(x)
        return model.lm_head(model.final_norm(x))


def generate_cached(model, ids, max_new_tokens, temperature=1.0, top_k=None, top_p=None, generator=None):
    if ids.shape[1] + max_new_tokens > model.config.context_length:
        raise ValueError(f"{ids.shape[1] + max_new_tokens} tokens are more than {model.config.context_length}")
    cache, text = KVCache(), ids.clone()
    with torch.no_grad():
        logits = forward_with_cache(model, text, cache)
        for _ in range(max_new_tokens):
            probs = ex15_sampling.next_token_probs(logits[:, -1], temperature, top_k, top_p)
            token = torch.multinomial(probs, 1, generator=generator)
            text = torch.hstack((text, token))
            logits = forward_with_cache(model, token, cache)  # the last one is read as well
    return text
