"""The softmax as an autograd function with its gradient written out; the triangle by index, the padding by scatter.

Good for knowing the gradient of the softmax, and for memory: only the weights are kept for the way back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    mask = torch.zeros(length, length, dtype=torch.bool, device=device)
    for query in range(length):
        mask[query, : query + 1] = True
    return mask


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    ends = torch.zeros(lengths.size(0), max_len + 1, dtype=torch.int64, device=lengths.device)
    ends = ends.scatter(1, lengths.long().unsqueeze(1), 1)  # a 1 where the padding begins
    return ends.cumsum(1)[:, :-1] == 0


def combine_masks(causal: Tensor, padding: Tensor) -> Tensor:
    size = padding.size(0), 1, *causal.shape
    return causal.expand(size).logical_and(padding.view(size[0], 1, 1, size[3]).expand(size))


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor, dim: int) -> Tensor:
        highest = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).amax(dim, keepdim=True)
        parts = (scores - highest).masked_fill(~mask, -torch.inf).exp()
        weights = parts / parts.sum(dim, keepdim=True).masked_fill(~mask.any(dim, keepdim=True), 1.0)
        ctx.dim = dim
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (weights,) = ctx.saved_tensors
        return weights * (grad - (grad * weights).sum(ctx.dim, keepdim=True)), None, None


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    return _Masked.apply(scores, mask.expand_as(scores), dim)
