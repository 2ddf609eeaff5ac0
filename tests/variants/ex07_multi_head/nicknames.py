"""Each projection has a short name first, which comes before the one that is asked for in the alphabet, too.

Good for moving between code bases: each part can be reached by two names.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .ex06_masks import masked_softmax


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    pieces = x.unflatten(-1, (n_heads, -1))  # (B, T, H, d)
    return pieces.transpose(1, 2).contiguous()  # (B, H, T, d), copied into order once: faster


def merge_heads(x: Tensor) -> Tensor:
    pieces = x.transpose(1, 2)  # (B, T, H, d)
    return pieces.flatten(-2)  # (B, T, D)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError(f"d_model = {d_model} is not divisible by n_heads = {n_heads}")
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"dropout = {dropout} is not a probability between 0 and 1")
        self.n_heads = n_heads
        self.Wq, self.Wk, self.Wv, self.Wo = (nn.Linear(d_model, d_model, bias=bias) for _ in range(4))
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = self.Wq, self.Wk, self.Wv, self.Wo
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        key = query if key is None else key
        value = key if value is None else value
        q = split_heads(self.q_proj(query), self.n_heads)  # (B, H, T_q, d)
        k = split_heads(self.k_proj(key), self.n_heads)  # (B, H, T_k, d)
        v = split_heads(self.v_proj(value), self.n_heads)  # (B, H, T_k, d)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (B, H, T_q, T_k)
        weights = torch.softmax(scores, dim=-1) if mask is None else masked_softmax(scores, mask)
        mixed = self.dropout(weights) @ v  # (B, H, T_q, d)
        out = self.out_proj(merge_heads(mixed))  # (B, T_q, D)
        return (out, weights) if return_weights else out
