"""Sampling with a function for each stage, a threshold instead of a mask for top-p, and inverse transform drawing.

Good for combining: temperature, top-k and top-p are functions that can be tested alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NEVER = float("-inf")


def _checked(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if temperature < 0:
        raise ValueError(f"temperature={temperature} is below zero")
    if top_k is not None and not top_k >= 1:
        raise ValueError(f"top_k={top_k}: at least one token has to stay")
    if top_p is not None and (top_p < 0 or top_p > 1):
        raise ValueError(f"top_p={top_p} is no probability")


def _only_the_best(logits: Tensor, k: int) -> Tensor:
    values, places = torch.topk(logits, k=min(k, logits.shape[-1]), dim=-1)
    return torch.full_like(logits, NEVER).scatter(dim=-1, index=places, src=values)


def _nucleus(logits: Tensor, p: float) -> Tensor:
    ordered = logits.sort(dim=-1, descending=True).values
    reached = ordered.softmax(-1).cumsum(-1)
    crossing = (reached < p).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)  # the place of the last to stay
    return logits.masked_fill(logits < ordered.gather(-1, crossing), NEVER)


def next_token_probs(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _checked(temperature, top_k, top_p)
    if temperature == 0.0:
        vocabulary = torch.arange(logits.shape[-1], device=logits.device)
        return (vocabulary == logits.argmax(-1, keepdim=True)).to(logits.dtype)
    cooled = logits.div(temperature)
    if top_k is not None:
        cooled = _only_the_best(cooled, top_k)
    if top_p is not None:
        cooled = _nucleus(cooled, top_p)
    return cooled.softmax(dim=-1)


@torch.no_grad()
def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    before = {module: module.training for module in model.modules()}
    model.train(False)
    prompt = ids.shape[1]
    text = torch.empty(ids.shape[0], prompt + max_new_tokens, dtype=torch.int64, device=ids.device)
    text[:, :prompt] = ids
    try:
        for end in range(prompt, prompt + max_new_tokens):
            start = max(0, end - model.config.context_length)
            logits = model(text[:, start:end])[0]
            probs = next_token_probs(logits[:, -1, :], temperature=temperature, top_k=top_k, top_p=top_p)
            aim = torch.rand(len(text), 1, generator=generator, dtype=torch.float64, device=text.device)
            heights = probs.double().cumsum(-1)
            text[:, end] = torch.searchsorted(heights, aim * heights[:, -1:], right=True).squeeze(-1)
    finally:
        for module, training in before.items():
            module.training = training
    return text
