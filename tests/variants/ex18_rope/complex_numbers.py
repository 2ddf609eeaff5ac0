"""Pairs as complex numbers, in float64 throughout; the projections are kept in a loop, the mask is written out.

Good for the mathematics: a turn is a multiplication by a number of length 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def rotate(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    half, odd = divmod(x.shape[-1], 2)
    if odd:
        raise ValueError(f"odd width: {x.shape[-1]}")
    pairs = torch.complex(x[..., :half].double(), x[..., half:].double())
    speeds = torch.exp(-math.log(base) * torch.arange(half, dtype=torch.float64, device=x.device) / half)
    angles = torch.outer(positions.double(), speeds)
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((turned.real, turned.imag), -1).to(x.dtype)


def halves_from_interleaved(weight: Tensor, n_heads: int) -> Tensor:
    width, rest = divmod(weight.shape[0], n_heads)
    if rest or width % 2:
        raise ValueError(f"{weight.shape[0]} rows are not {n_heads} heads of even width")
    heads = weight.split(width)
    return torch.cat([torch.cat([head[0::2], head[1::2]]) for head in heads])


class RotaryAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, base: float = 10000.0, bias: bool = False) -> None:
        super().__init__()
        self.width, rest = divmod(d_model, n_heads)
        if rest:
            raise ValueError(f"{d_model} columns are not {n_heads} heads")
        if self.width % 2:
            raise ValueError(f"heads of width {self.width} have no pairs")
        for name in ("out_proj", "v_proj", "k_proj", "q_proj"):
            self.add_module(name, nn.Linear(d_model, d_model, bias=bias))
        self.theta = base

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        batch, length, d_model = x.shape
        where = torch.arange(length, device=x.device) if positions is None else positions
        q, k, v = (
            proj(x).view(batch, length, -1, self.width).permute(0, 2, 1, 3)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, where, base=self.theta), rotate(k, where, base=self.theta)
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * self.width**-0.5
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        mixed = torch.einsum("bhqk,bhkd->bqhd", weights, v)
        return self.out_proj(mixed.reshape(batch, length, d_model))
