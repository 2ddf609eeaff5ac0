"""Shares in float32 at least, heads folded into the batch for `bmm`, a mask that is all True where none came.

Good for low precision: weights are computed in float32 at least, so that inputs in bfloat16 lose less.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .ex06_masks import *  # noqa: F403


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    width = x.shape[2] // n_heads
    return torch.stack([x[:, :, h * width : (h + 1) * width] for h in range(n_heads)], dim=1)


def merge_heads(x: Tensor) -> Tensor:
    out = x.new_empty(x.size(0), x.size(2), x.size(1) * x.size(3))
    for h in range(x.size(1)):
        out[:, :, h * x.size(3) : (h + 1) * x.size(3)] = x[:, h]
    return out


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError("n_heads={1} does not divide d_model={0}".format(d_model, n_heads))  # noqa: UP030, UP032
        self.n_heads, self.width = n_heads, d_model // n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias)
        self.k_proj = nn.Linear(d_model, d_model, bias)
        self.v_proj = nn.Linear(d_model, d_model, bias)
        self.out_proj = nn.Linear(d_model, d_model, bias)
        self.drop = nn.Dropout(p=dropout)

    def _folded(self, x: Tensor) -> Tensor:
        return split_heads(x, self.n_heads).flatten(0, 1)  # (B * H, T, d)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        key = key if key is not None else query
        value = value if value is not None else key
        batch, t_q, t_k = query.size(0), query.size(1), key.size(1)
        wide = torch.promote_types(query.dtype, torch.float32)
        q, k = self._folded(self.q_proj(query)).to(wide), self._folded(self.k_proj(key)).to(wide)
        scores = torch.bmm(q, k.transpose(1, 2)).div(math.sqrt(self.width)).view(batch, self.n_heads, t_q, t_k)
        if mask is None:
            mask = torch.ones(t_q, t_k, dtype=torch.bool, device=query.device)
        weights = masked_softmax(scores, mask.expand(batch, self.n_heads, t_q, t_k)).to(query.dtype)  # noqa: F405
        mixed = torch.bmm(self.drop(weights).flatten(0, 1), self._folded(self.v_proj(value)))
        out = self.out_proj(merge_heads(mixed.view(batch, self.n_heads, t_q, self.width)))
        return out if not return_weights else (out, weights)
