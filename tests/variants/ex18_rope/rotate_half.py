"""Cosines and sines in full width and the well-known `rotate_half`; angles in float32, products in the dtype of x.

Good for reading published models, many of which have this function.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex07_multi_head import MultiHeadAttention, merge_heads, split_heads


def rotate_half(x: Tensor) -> Tensor:
    half = x.size(-1) // 2
    return torch.cat([-x[..., half:], x[..., :half]], dim=-1)


def rotate(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    d = x.size(-1)
    if d % 2 == 1:
        raise ValueError(f"rotate needs an even width, not {d}")
    with torch.autocast(x.device.type, enabled=False):
        inverse = 1.0 / (base ** (torch.arange(0, d, 2, device=x.device).float() / d))
        angles = positions.float().unsqueeze(-1) * inverse
        angles = torch.cat([angles, angles], dim=-1)
    return x * angles.cos().to(x.dtype) + rotate_half(x) * angles.sin().to(x.dtype)


def halves_from_interleaved(weight: Tensor, n_heads: int) -> Tensor:
    rows = weight.shape[0]
    if rows % n_heads != 0 or (rows // n_heads) % 2 != 0:
        raise ValueError(f"can't cut {rows} rows into {n_heads} heads of even width")
    width = rows // n_heads
    order = [head * width + index for head in range(n_heads) for index in [*range(0, width, 2), *range(1, width, 2)]]
    return weight[order]


class RotaryAttention(MultiHeadAttention):
    def __init__(self, d_model: int, n_heads: int, base: float = 10000.0, bias: bool = False) -> None:
        super().__init__(d_model, n_heads, bias=bias)
        self.heads, self.base = n_heads, base
        self.scratch = nn.Identity()

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        n = x.shape[1]
        if positions is None:
            positions = torch.arange(n, device=x.device)
        q = rotate(split_heads(self.q_proj(x), self.heads), positions, self.base)
        k = rotate(split_heads(self.k_proj(x), self.heads), positions, self.base)
        v = split_heads(self.v_proj(x), self.heads)
        scores = (q @ k.mT) / q.shape[-1] ** 0.5
        mask = torch.tril(torch.ones(n, n, device=x.device)).bool()
        scores = torch.where(mask, scores, torch.full_like(scores, float("-inf")))
        return self.out_proj(merge_heads(torch.softmax(scores, -1) @ v))
