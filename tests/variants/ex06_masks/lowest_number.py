"""Comparisons of positions for the masks; what is hidden is the lowest number below a highest score of 0.

Good for staying finite: without -inf there is no NaN, forwards or backwards.
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    positions = torch.arange(length, device=device)
    return positions.unsqueeze(0) <= positions.unsqueeze(1)


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    positions = torch.arange(max_len, device=lengths.device).expand(lengths.shape[0], max_len)
    return lengths.unsqueeze(1).gt(positions)


def combine_masks(causal: Tensor, padding: Tensor) -> Tensor:
    return torch.logical_and(causal.unsqueeze(0), padding.unsqueeze(1)).unsqueeze(1)


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    mask = mask.expand(scores.shape)
    lowest = torch.finfo(scores.dtype).min
    highest = torch.where(mask, scores, lowest).amax(dim, keepdim=True)
    return torch.softmax(torch.where(mask, scores - highest, lowest), dim=dim).masked_fill(~mask, 0.0)
