"""`_norm` as a method, back to the dtype before the weight; logsigmoid in silu.

Good for reading published models: the norm goes back to the input's dtype before the weight is applied.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.variance_epsilon = eps
        self.weight = nn.Parameter(torch.ones(d_model))
        self.register_buffer("steps", torch.zeros(()), persistent=False)

    def _norm(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.double() if x.dtype == torch.float64 else x.float()
        output = self._norm(wide).type_as(x)
        return (output * self.weight).type_as(x)


def silu(x: Tensor) -> Tensor:
    return x * F.logsigmoid(x).exp()


class SwiGLU(nn.Module):
    def __init__(self, d_model: int, d_ff: int, bias: bool = False) -> None:
        super().__init__()
        self.down = nn.Linear(d_ff, d_model, bias)
        self.up = nn.Linear(d_model, d_ff, bias)
        self.gate = nn.Linear(d_model, d_ff, bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.mul(self.up(x), silu(self.gate(x)))
        return self.down(hidden)


def swiglu_width(d_model: int, multiple_of: int = 1) -> int:
    return multiple_of * math.ceil(8 * d_model / 3 / multiple_of)
