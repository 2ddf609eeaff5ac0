"""NumPy for the causal mask, a guard against NaN, float64 inside, the logarithm kept apart from the highest score.

Good for scores that lie close together far from 0: float64 keeps their differences. It takes twice the memory, and
not every device has it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    return torch.from_numpy(np.tri(length, dtype=bool)).to(device or "cpu")


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    ones = torch.ones(len(lengths), max_len, device=lengths.device)
    return ones.cumsum(1) <= lengths.reshape(-1, 1)


def combine_masks(causal: Tensor, padding: Tensor) -> Tensor:
    return torch.einsum("qk,bk->bqk", causal.int(), padding.int()).unsqueeze(1).bool()


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    if not torch.isfinite(scores).all():
        raise ValueError("scores must be finite")
    exact = scores.double()
    seen = mask.expand_as(scores)
    highest = exact.detach().masked_fill(~seen, -torch.inf).amax(dim, keepdim=True).nan_to_num(neginf=0.0)
    below = torch.where(seen, exact - highest, -torch.inf)
    logs = below - torch.where(seen, below.exp(), 0.0).sum(dim, keepdim=True).clamp(min=1.0).log()
    return torch.where(seen, logs, 0.0).exp().mul(seen).to(scores.dtype)
