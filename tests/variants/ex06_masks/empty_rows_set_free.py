"""Rows that may see nothing are allowed to see everything, and wiped off after the softmax with `where`.

Good for safety: no row of -inf ever reaches the softmax, so there is no NaN to repair.
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    return torch.tril(torch.ones((length, length), device=device)).bool()


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    return torch.stack([torch.arange(max_len, device=lengths.device) < each for each in lengths.unbind()])


def combine_masks(causal: Tensor, padding: Tensor) -> Tensor:
    return torch.einsum("qk,bk->bqk", causal.int(), padding.int()).bool()[:, None]


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    full = mask.broadcast_to(scores.shape)
    empty = ~full.any(dim=dim, keepdim=True)
    weights = scores.masked_fill(~(full | empty), float("-inf")).softmax(dim=dim)
    return torch.where(empty, torch.zeros_like(weights), weights)
