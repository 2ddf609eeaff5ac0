"""The layer of exercise 7 inside, its projections handed out by properties; a backward pass written by hand.

Good for building on a layer that is there. Turning back is turning by the opposite angle, so no product is kept.
"""

from __future__ import annotations

import torch
from torch import nn

from .ex05_attention import scaled_dot_product_attention
from .ex06_masks import causal_mask
from .ex07_multi_head import MultiHeadAttention, merge_heads, split_heads


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, torch.addcmul(b * cos, a, sin)), -1).to(x.dtype)


class Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        return turn(x, cos, sin)

    @staticmethod
    def backward(ctx, grad):
        cos, sin = ctx.saved_tensors
        return turn(grad, cos, -sin), None, None


def rotate(x, positions, base=10000.0):
    d = x.shape[-1]
    if d % 2:
        raise ValueError(f"d={d} is odd")
    exponents = torch.arange(d // 2, dtype=torch.float64, device=x.device).mul(-2 / d)
    angles = positions.to(x.device)[:, None] * torch.pow(base, exponents)
    work = torch.promote_types(x.dtype, torch.float32)
    return Turn.apply(x, angles.cos().to(work), angles.sin().to(work))


def halves_from_interleaved(weight, n_heads):
    rows = weight.shape[0]
    d, rest = divmod(rows, n_heads)
    if rest or d % 2:
        raise ValueError(f"{rows} rows are not {n_heads} heads of even width")
    new = torch.arange(rows, device=weight.device)
    head, row = new // d, new % d
    return weight[head * d + torch.where(row < d // 2, 2 * row, 2 * (row - d // 2) + 1)]


class RotaryAttention(nn.Module):
    def __init__(self, d_model, n_heads, base=10000.0, bias=False):
        super().__init__()
        self.inner = MultiHeadAttention(d_model, n_heads, bias=bias)  # refuses what does not divide
        self.n_heads, self.base = n_heads, base

    q_proj = property(lambda self: self.inner.q_proj)
    k_proj = property(lambda self: self.inner.k_proj)
    v_proj = property(lambda self: self.inner.v_proj)
    out_proj = property(lambda self: self.inner.out_proj)

    def forward(self, x, positions=None):
        if positions is None:
            positions = torch.arange(x.shape[1], device=x.device)
        q, k, v = (split_heads(project(x), self.n_heads) for project in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(torch.stack((q, k)), positions, self.base)
        return self.out_proj(merge_heads(scaled_dot_product_attention(q, k, v, causal_mask(x.shape[1], x.device))[0]))
