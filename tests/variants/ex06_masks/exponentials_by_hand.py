"""An own softmax: exponentials of what is seen, in float64, divided by their sum or by one where there is none.

Good for seeing every step of the softmax. PyTorch's own does them in one, and is faster.
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    return ~torch.triu(torch.full((length, length), True, device=device), diagonal=1)


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    batch = lengths.numel()
    ends = torch.zeros(batch, max_len + 1, dtype=torch.int64, device=lengths.device)
    ends.scatter_(1, lengths.long().unsqueeze(1), 1)  # a one where the padding begins
    return ends.cumsum(dim=1)[:, :max_len] == 0


def combine_masks(causal: Tensor, padding: Tensor) -> Tensor:
    length = causal.shape[0]
    keys = padding.view(-1, 1, 1, length).expand(-1, 1, length, length)
    return keys & causal.view(1, 1, length, length)


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    seen = torch.broadcast_to(mask, scores.shape)
    exact = scores.to(torch.float64)
    highest = exact.detach().masked_fill(~seen, -1e300).amax(dim, keepdim=True)
    exps = torch.exp(torch.where(seen, exact - highest, 0.0)) * seen
    total = exps.sum(dim, keepdim=True)
    return (exps / torch.where(total == 0, 1.0, total)).to(scores.dtype)
