"""The NaN of an empty row is wiped off; on the way back `masked_fill` stops it, since it fills the whole row.

Good for brevity. That the NaN stops at `masked_fill` on the way back can't be seen, so it deserves a comment.
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    rows = torch.arange(length, device=device).reshape(-1, 1)
    return rows >= rows.T


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    return (lengths.reshape(-1, 1) - torch.arange(max_len, device=lengths.device)).gt(0)


def combine_masks(causal: Tensor, padding: Tensor) -> Tensor:
    return (causal[None] * padding[:, None]).unsqueeze(dim=1)


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    weights = scores.masked_fill(mask.logical_not(), -torch.inf).softmax(dim)
    return weights.nan_to_num(nan=0.0)
