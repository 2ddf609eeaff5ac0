"""Sampling in plain Python and float64, with guards that look at values, and a draw from the inverse of the sum.

Good for understanding the draw: one uniform number, and a running sum that passes it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def check(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if temperature < 0:
        raise ValueError(f"negative temperature: {temperature}")
    if top_k is not None and not top_k > 0:
        raise ValueError(f"top_k={top_k} keeps nothing")
    if top_p is not None and (top_p < 0.0 or top_p > 1.0):
        raise ValueError(f"{top_p} is no probability")


def next_token_probs(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    check(temperature, top_k, top_p)
    assert not torch.isnan(logits).any(), "a logit is NaN"
    rows = [one_row(row, temperature, top_k, top_p) for row in logits.double().tolist()]
    return torch.tensor(rows, dtype=torch.float64).to(logits)


def one_row(logits: list[float], temperature: float, top_k: int | None, top_p: float | None) -> list[float]:
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    if temperature == 0:
        return [1.0 if i == order[0] else 0.0 for i in range(len(logits))]
    order = order[:top_k]
    top = logits[order[0]]
    weights = {i: math.exp((logits[i] - top) / temperature) for i in order}
    total = math.fsum(weights.values())
    if top_p is not None:
        nucleus, mass = {}, 0.0
        for i in order:
            nucleus[i] = weights[i]
            mass += weights[i] / total
            if mass >= top_p:
                break
        weights, total = nucleus, math.fsum(nucleus.values())
    return [weights.get(i, 0.0) / total for i in range(len(logits))]


def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    check(temperature, top_k, top_p)
    length, was_training = model.config.context_length, model.training
    model.eval()
    texts = ids.tolist()
    with torch.no_grad():
        for _ in range(max_new_tokens):
            seen = torch.tensor([text[-length:] for text in texts], device=ids.device)
            logits = model(seen)[0]
            probs = next_token_probs(logits[:, -1, :], temperature, top_k, top_p).double()
            darts = torch.rand(len(texts), 1, dtype=torch.float64, generator=generator) * probs.sum(-1, keepdim=True)
            places = torch.searchsorted(probs.cumsum(-1), darts, right=True).clamp(max=probs.size(-1) - 1)
            for text, place in zip(texts, places[:, 0].tolist(), strict=True):
                text.append(place)
    model.train(was_training)
    return torch.tensor(texts, dtype=torch.int64, device=ids.device).reshape(len(ids), -1)
