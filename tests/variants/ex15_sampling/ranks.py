"""Sampling by ranks (how many tokens are likelier), one output tensor that is filled, inference mode.

Good for saying the rule as it is meant: a token stays if fewer than k are likelier. For top-p it compares each
token with each, V^2 of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def next_token_probs(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    for name, value, right in (
        ("temperature", temperature, temperature >= 0),
        ("top_k", top_k, top_k is None or top_k >= 1),
        ("top_p", top_p, top_p is None or 0 <= top_p <= 1),
    ):
        if not right:
            raise ValueError(f"bad {name}: {value!r}")
    ranks = logits.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)  # (B, V), 0 for the best
    if temperature == 0:
        return (ranks == 0).to(logits.dtype)
    hot = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    hot = (hot - hot.amax(dim=-1, keepdim=True)) * (1 / temperature)
    weights = hot.exp() * (ranks < (top_k or logits.size(-1)))
    probs = weights / weights.sum(dim=-1, keepdim=True)
    if top_p is not None:
        likelier = ranks[:, None, :] < ranks[:, :, None]  # (B, V, V): [b, i, j] if j comes before i
        before = (likelier * probs[:, None, :]).sum(dim=-1)
        probs = probs * ((before < top_p) | (ranks == 0))
        probs = probs / probs.sum(dim=-1, keepdim=True)
    return probs.to(logits.dtype)


def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    batch, length = ids.shape
    text = torch.zeros(batch, length + max_new_tokens, dtype=torch.int64, device=ids.device)
    text[:, :length] = ids
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.inference_mode():
            for end in range(length, length + max_new_tokens):
                model.eval()
                start = max(0, end - model.config.context_length)
                logits, _ = model(text[:, start:end])
                probs = next_token_probs(logits[:, -1], temperature, top_k, top_p)
                text[:, end] = torch.multinomial(probs, num_samples=1, generator=generator).squeeze(1)
    finally:
        for module, mode in modes.items():
            module.training = mode
    return text
