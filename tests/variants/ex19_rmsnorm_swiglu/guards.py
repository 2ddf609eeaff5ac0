"""Guards that look at values, the sigmoid by cases, a norm as a function, products written out.

Good for a first version: the asserts say what is wrong. On a GPU, looking at values means waiting.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import torch
from torch import Tensor, nn


def root_mean_square(x: Tensor, eps: float) -> Tensor:
    return torch.sqrt(torch.sum(x * x, dim=-1, keepdim=True) / x.size(-1) + eps)


class RMSNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        weight = torch.empty(d_model)
        nn.init.ones_(weight)
        self.weight = nn.Parameter(weight)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.isnan(x).any(), "NaN comes in"
        if x.dtype in (torch.float16, torch.bfloat16):
            return self.forward(x.float()).to(x.dtype)
        return (x / root_mean_square(x, self.eps) * self.weight.to(x.dtype)).to(x.dtype)


def silu(x: Tensor) -> Tensor:
    small = torch.exp(-x.abs())  # never above 1
    gate = torch.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return x * gate


class SwiGLU(nn.Module):
    def __init__(self, d_model: int, d_ff: int, bias: bool = False) -> None:
        super().__init__()
        if d_ff < 1:
            raise ValueError(f"d_ff must be at least 1, got {d_ff}")
        self.gate, self.up = (nn.Linear(d_model, d_ff, bias=bias) for _ in range(2))
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        self.helper = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate(x), self.up(x)
        return self.helper(self.down(silu(gate).mul(up)))


def swiglu_width(d_model: int, multiple_of: int = 1) -> int:
    return ceil(Fraction(8 * d_model, 3 * multiple_of)) * multiple_of
