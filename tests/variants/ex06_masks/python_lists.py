"""Masks from lists of booleans; a fast path where nothing is hidden, and row by row where a row is empty.

Good for small examples on paper: the masks can be read off. A loop over rows is slow.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    return torch.tensor([[key <= query for key in range(length)] for query in range(length)], device=device)


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    assert min(lengths.tolist()) >= 0 and max(lengths.tolist()) <= max_len
    rows = [[True] * length + [False] * (max_len - length) for length in lengths.tolist()]
    return torch.tensor(rows, dtype=torch.bool, device=lengths.device)


def combine_masks(causal: Tensor, padding: Tensor) -> Tensor:
    return torch.stack([causal * row for row in padding])[:, None]


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    if mask.all():
        return scores.softmax(dim)
    mask = mask.broadcast_to(scores.shape).transpose(dim, -1)
    turned = scores.transpose(dim, -1)
    rows = []
    for row, seen in zip(turned.flatten(0, -2), mask.flatten(0, -2), strict=True):
        if seen.any():
            rows.append(torch.softmax(row.masked_fill(~seen, -math.inf), 0))
        else:
            rows.append(row * 0)
    return torch.stack(rows).reshape(turned.shape).transpose(dim, -1)
