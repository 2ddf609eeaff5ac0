"""No backward pass of its own: autograd, with a checkpoint around each tile, so that none of them is kept.

Good for little code: a checkpoint around each tile lets autograd compute it again, so that none is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def _one_tile(q: Tensor, k: Tensor, v: Tensor, place: int, first: int, causal: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The top, the total and the mix of one tile alone."""
    scores = q @ k.transpose(-1, -2)
    if causal:
        rows = torch.arange(q.shape[-2], device=q.device).unsqueeze(1) + place
        columns = torch.arange(k.shape[-2], device=q.device) + first
        scores = scores.masked_fill(columns > rows, float("-inf"))
    top = scores.amax(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).min).detach()
    weights = torch.exp(scores - top)
    return top, weights.sum(-1, keepdim=True), weights @ v


def _rows(q: Tensor, k: Tensor, v: Tensor, place: int, causal: bool, size: int) -> Tensor:
    """The answers of one block of queries, whose first one has `place` as the last key that it sees."""
    seen = min(k.shape[-2], place + q.shape[-2]) if causal else k.shape[-2]
    top = torch.full_like(q[..., :1], torch.finfo(q.dtype).min)
    total, mix = q[..., :1] * 0, q[..., :1] * 0 + v[..., :1, :] * 0
    for first in range(0, seen, size):
        k_j, v_j = k[..., first : first + size, :], v[..., first : first + size, :]
        newer, more, mixed = checkpoint(_one_tile, q, k_j, v_j, place, first, causal, use_reentrant=False)
        highest = torch.maximum(top, newer)
        old, new = torch.exp(top - highest), torch.exp(newer - highest)
        top, total, mix = highest, total * old + more * new, mix * old + mixed * new
    return torch.where(total > 0, mix / torch.where(total > 0, total, 1), 0)


def flash_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, block_size: int = 64) -> Tensor:
    if block_size <= 0:
        raise ValueError(f"block_size = {block_size}: it takes at least one row")
    dtype = q.dtype
    if dtype == torch.bfloat16:
        q, k, v = q.float(), k.float(), v.float()
    q, ahead = q / q.shape[-1] ** 0.5, k.shape[-2] - q.shape[-2]
    outs = []
    for i in range(0, q.shape[-2], block_size):
        rows = q[..., i : i + block_size, :]
        outs.append(checkpoint(_rows, rows, k, v, i + ahead, causal, block_size, use_reentrant=False))
    return torch.cat(outs, -2).to(dtype)
