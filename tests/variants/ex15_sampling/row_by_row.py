"""Sampling one text after the other: lists of tokens, a loop that fills the nucleus, one draw per row.

Good for reading: one text at a time, and lists. Batches are slow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _row(logits: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """The probabilities of one text, (V,) -> (V,)."""
    vocab_size = logits.numel()
    order = torch.argsort(logits, descending=True).tolist()
    kept = order[: top_k or vocab_size]
    probs = torch.zeros_like(logits)
    probs[kept] = torch.softmax(logits[kept], dim=0)
    if top_p is None:
        return probs
    nucleus, reached = [], 0.0
    for token in kept:
        nucleus.append(token)
        reached += probs[token].item()
        if reached >= top_p:
            break
    final = torch.zeros_like(logits)
    final[nucleus] = probs[nucleus] / probs[nucleus].sum()
    return final


def next_token_probs(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    if not temperature >= 0.0:
        raise ValueError(f"expected a temperature of 0 or more, got {temperature}")
    if top_k is not None and top_k <= 0:
        raise ValueError(f"expected a top_k of 1 or more, got {top_k}")
    if top_p is not None and not 0.0 <= top_p <= 1.0:
        raise ValueError(f"expected a top_p from 0 to 1, got {top_p}")
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(dim=1), logits.size(1)).to(logits)
    return torch.stack([_row(row / temperature, top_k, top_p) for row in logits])


def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    training, limit = model.training, model.config.context_length
    model.eval()
    texts = [[*text] for text in ids.tolist()]
    try:
        with torch.inference_mode():
            while len(texts[0]) < ids.size(1) + max_new_tokens:
                seen = torch.tensor([text[-limit:] for text in texts], device=ids.device)
                probs = next_token_probs(model(seen)[0][:, -1], temperature, top_k, top_p)
                for text, row in zip(texts, probs, strict=True):
                    text.append(int(torch.multinomial(row, num_samples=1, generator=generator)))
    finally:
        if training:
            model.train()
    return torch.tensor(texts, dtype=torch.int64, device=ids.device)
