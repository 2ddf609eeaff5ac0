"""Multi-head attention with the projections fused into one product where they can be, and float64 in between.

Good for one large product in place of three small ones. float64 in between costs time and memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    width = x.shape[-1] // n_heads
    return x.unfold(dimension=-1, size=width, step=width).permute(0, 2, 1, 3)


def merge_heads(x: Tensor) -> Tensor:
    b, h, t, d = x.shape
    merged = x.new_empty(b, t, h * d)
    merged.view(b, t, h, d).copy_(x.permute(0, 2, 1, 3))
    return merged


class Projection(nn.Linear):
    """A linear layer from a width to the same width."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__(width, width, bias)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = n_heads
        self.drop = nn.Dropout(p=dropout)
        if d_model % n_heads != 0:
            raise ValueError(f"d_model ({d_model}) % n_heads ({n_heads}) must be 0")
        self.q_proj, self.k_proj = Projection(d_model, bias), Projection(d_model, bias)
        self.v_proj, self.out_proj = Projection(d_model, bias), Projection(d_model, bias)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        layers = (self.q_proj, self.k_proj, self.v_proj)
        if query is not key or key is not value:
            return tuple(layer(x) for layer, x in zip(layers, (query, key, value), strict=True))
        weight = torch.cat([layer.weight for layer in layers])  # (3 D, D)
        bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
        return F.linear(query, weight, bias).chunk(3, dim=-1)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        self.calls += 1
        keys = query if key is None else key
        q, k, v = self._project(query, keys, keys if value is None else value)
        q, k, v = (split_heads(x.double(), self.heads) for x in (q, k, v))
        scores = torch.matmul(q, k.transpose(2, 3)).div(q.size(3) ** 0.5)
        if mask is not None:
            scores = torch.where(mask, scores, torch.full_like(scores, float("-inf")))
            peak = scores.amax(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).min)
            raised = torch.exp(scores - peak)
            total = raised.sum(-1, keepdim=True)
            weights = raised / torch.where(total == 0, torch.ones_like(total), total)
        else:
            weights = F.softmax(scores, dim=3)
        mixed = merge_heads(self.drop(weights) @ v).to(query.dtype)
        out = self.out_proj(mixed)
        return (out, weights.to(query.dtype)) if return_weights else out
