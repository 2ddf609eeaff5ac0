"""Sampling in float64 on sorted logits, sorted back at the end; the Gumbel trick draws, and a class keeps the mode.

Good for doing all in one order: sorted once, top-k is a place and top-p a running sum.
"""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor, nn


def next_token_probs(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    for name, value, fine in (
        ("temperature", temperature, temperature >= 0),
        ("top_k", top_k, top_k is None or top_k >= 1),
        ("top_p", top_p, top_p is None or 0 <= top_p <= 1),
    ):
        if not fine:
            raise ValueError(f"{name} can't be {value}")
    ordered, order = torch.sort(logits.to(torch.float64), dim=-1, descending=True, stable=True)  # (B, V)
    place = torch.arange(logits.size(-1), device=logits.device)  # (V,)
    if temperature == 0:
        probs = (place == 0).expand_as(ordered).to(torch.float64)
    else:
        probs = (ordered / temperature).softmax(-1)
        if top_k is not None:
            probs = torch.where(place < top_k, probs, 0.0)
            probs = probs / probs.sum(-1, keepdim=True)
        if top_p is not None:
            above = nn.functional.pad(probs.cumsum(-1)[:, :-1], (1, 0))  # what the likelier ones have together
            probs = torch.where((above < top_p) | (place == 0), probs, 0.0)
            probs = probs / probs.sum(-1, keepdim=True)
    return torch.gather(probs, -1, order.argsort(-1)).to(logits.dtype)


class evaluating:
    """A context in which a model is in evaluation mode and builds no graph."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.mode, self.quiet = model, model.training, torch.no_grad()

    def __enter__(self) -> None:
        self.quiet.__enter__()
        self.model.eval()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.model.train(mode=self.mode)
        self.quiet.__exit__(kind, error, trace)


def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    next_token_probs(torch.zeros(1, 2), **options)  # complains of options that make no sense
    pieces = [ids]
    with evaluating(model):
        for _ in range(max_new_tokens):
            window = torch.cat(pieces, dim=1)[:, -model.config.context_length :]
            logits, *_ = model(window)
            chances = next_token_probs(logits.select(1, -1), **options)
            waits = torch.empty_like(chances).exponential_(generator=generator)  # the first to arrive is drawn
            pieces.append((chances / waits).argmax(-1, keepdim=True))
    return torch.cat(pieces, 1)
