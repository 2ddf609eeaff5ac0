"""Sampling with masks in sorted order that are shifted by one, and a loop that calls itself for the rest.

Good for reading published code, which often shifts the mask by one to keep the token that passes the limit.
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
    if temperature < 0.0:
        raise ValueError("temperature must be at least 0, not {}".format(temperature))  # noqa: UP032
    if top_k is not None and top_k <= 0:
        raise ValueError("top_k must be positive, not {}".format(top_k))  # noqa: UP032
    if top_p is not None and not 0.0 <= top_p <= 1.0:
        raise ValueError("top_p must be a probability, not {}".format(top_p))  # noqa: UP032
    if temperature == 0.0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)

    scores, order = torch.sort(logits / temperature, dim=-1, descending=True)
    hidden = torch.zeros_like(scores, dtype=torch.bool)
    if top_k is not None:
        hidden[..., top_k:] = True
    probs = torch.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1)
    if top_p is not None:
        beyond = torch.cumsum(probs, dim=-1) >= top_p
        beyond = torch.roll(beyond, 1, dims=-1)  # the one that crosses stays
        beyond[..., 0] = False
        probs = torch.where(beyond, torch.zeros_like(probs), probs)
    probs = probs / probs.sum(-1, keepdim=True)
    return torch.empty_like(probs).scatter_(-1, order, probs)


def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    if max_new_tokens == 0:
        next_token_probs(torch.zeros(1, 2), temperature, top_k, top_p)  # wrong options are told all the same
        return ids.clone()
    mode = model.training
    model.train(False)
    with torch.no_grad():
        logits, _loss = model(ids[:, -min(ids.shape[1], model.config.context_length) :])
    model.train(mode)
    probs = next_token_probs(logits[:, -1, :].detach(), temperature=temperature, top_k=top_k, top_p=top_p)
    drawn = [torch.multinomial(row, 1, generator=generator) for row in probs]
    longer = torch.hstack([ids, torch.stack(drawn)])
    return generate(model, longer, max_new_tokens - 1, temperature, top_k, top_p, generator)
