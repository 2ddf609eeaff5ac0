"""The attention of exercise 5 in each head; a query that may see nothing is let see all and its weights wiped out.

Good for using what is there: the attention of exercise 5, tested already, does the work for each head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex05_attention import scaled_dot_product_attention


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    return x.view(x.size(0), x.size(1), n_heads, -1).permute(0, 2, 1, 3)


def merge_heads(x: Tensor) -> Tensor:
    return x.permute(0, 2, 1, 3).contiguous().view(x.size(0), x.size(2), -1)


class Projection(nn.Linear):
    """A linear layer that keeps its first weights small."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.02)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        width, rest = divmod(d_model, n_heads)
        if rest:
            raise ValueError(f"d_model={d_model} is {width} times n_heads={n_heads}, and {rest} more")
        self.n_heads = n_heads
        self.dropout = nn.Dropout(dropout)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (Projection(d_model, d_model, bias) for _ in range(4))

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
        q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        q, k, v = split_heads(q, self.n_heads), split_heads(k, self.n_heads), split_heads(v, self.n_heads)
        blind = None
        if mask is not None:
            blind = ~mask.any(-1, keepdim=True)
            mask = mask | blind
        _, weights = scaled_dot_product_attention(q, k, v, mask)
        if blind is not None:
            weights = torch.where(blind, torch.zeros_like(weights), weights)
        out = self.out_proj(merge_heads(torch.matmul(self.dropout(weights), v)))
        return (out, weights) if return_weights else out
