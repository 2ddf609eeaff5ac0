"""Multi-head attention with every product as an einsum; the heads stay behind the positions all along.

Good for following the heads: letters say which axes meet, and no axis is moved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex06_masks import masked_softmax


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    batch, length, width = x.shape
    return torch.einsum("bthd->bhtd", x.reshape(batch, length, n_heads, width // n_heads))


def merge_heads(x: Tensor) -> Tensor:
    batch, heads, length, width = x.shape
    return torch.einsum("bhtd->bthd", x).reshape(batch, length, heads * width)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"n_heads={n_heads} does not divide d_model={d_model}")
        self.out_proj, self.v_proj, self.k_proj, self.q_proj = (
            nn.Linear(d_model, d_model, bias=bias) for _ in range(4)
        )
        self.width = d_model // n_heads
        self.attention_dropout = nn.Dropout(dropout)

    def _heads(self, projection: nn.Linear, x: Tensor) -> Tensor:
        return projection(x).unflatten(-1, (-1, self.width))  # (B, T, H, d)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        if key is None:
            key = query
        if value is None:
            value = key
        q = self._heads(self.q_proj, query) * self.width**-0.5
        k, v = self._heads(self.k_proj, key), self._heads(self.v_proj, value)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k)
        if mask is None:
            mask = torch.ones((), dtype=torch.bool, device=scores.device)
        weights = masked_softmax(scores, mask, dim=-1)
        mixed = torch.einsum("bhqk,bkhd->bqhd", self.attention_dropout(weights), v)
        out = self.out_proj(mixed.flatten(2))
        if return_weights:
            return out, weights
        return out
