"""Loops: over the pairs in `rotate`, over the heads in the attention; guards that look at values.

Good for checking single pairs and heads. The loops are slow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex05_attention import scaled_dot_product_attention
from .ex06_masks import causal_mask


def rotate(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    assert len(positions) == x.shape[-2], (len(positions), x.shape)
    assert torch.isfinite(x).all()
    d = x.shape[-1]
    if d % 2:
        raise ValueError(f"d = {d} is odd")
    work = x if x.dtype == torch.float64 else x.float()
    columns: list[Tensor] = [torch.empty(0)] * d
    for i in range(d // 2):
        angle = positions.to(work.dtype) / base ** (2 * i / d)
        a, b = work[..., i], work[..., i + d // 2]
        columns[i] = a * torch.cos(angle) - b * torch.sin(angle)
        columns[i + d // 2] = b * torch.cos(angle) + a * torch.sin(angle)
    return torch.stack(columns, dim=-1).type_as(x)


def halves_from_interleaved(weight: Tensor, n_heads: int) -> Tensor:
    d = len(weight) // n_heads
    if d * n_heads != len(weight) or d % 2:
        raise ValueError(f"weight: {len(weight)} rows for {n_heads} heads")
    out = torch.empty_like(weight)
    for h in range(n_heads):
        for i in range(d // 2):
            out[h * d + i] = weight[h * d + 2 * i]
            out[h * d + i + d // 2] = weight[h * d + 2 * i + 1]
    return out


class RotaryAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, base: float = 10000.0, bias: bool = False) -> None:
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError(f"d_model: {d_model} columns can't be shared by {n_heads} heads")
        self.q_proj, self.k_proj = nn.Linear(d_model, d_model, bias), nn.Linear(d_model, d_model, bias)
        self.v_proj, self.out_proj = nn.Linear(d_model, d_model, bias), nn.Linear(d_model, d_model, bias)
        self.d, self.base = d_model // n_heads, base
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        if positions is None:
            positions = torch.tensor(list(range(x.shape[1])), device=x.device)
        mask = causal_mask(x.shape[1], x.device)
        q, k, v = (layer(x).split(self.d, -1) for layer in (self.q_proj, self.k_proj, self.v_proj))
        answers = []
        for one_q, one_k, one_v in zip(q, k, v, strict=True):
            turned_q, turned_k = rotate(one_q, positions, self.base), rotate(one_k, positions, self.base)
            answers.append(scaled_dot_product_attention(turned_q, turned_k, one_v, mask)[0])
        return self.out_proj(torch.cat(answers, dim=-1))
