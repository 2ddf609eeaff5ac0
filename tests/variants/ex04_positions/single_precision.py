"""Everything in float32 with broadcasting, tables of halves woven together, a base class for both layers.

Good for staying in one dtype, with no cast anywhere. Angles at far positions lose digits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _angles(times: Tensor, d_model: int, base: float) -> Tensor:
    exponents = torch.arange(d_model // 2).float().mul(2).div(d_model)
    return times.float().unsqueeze(1) / torch.pow(torch.tensor(float(base)), exponents)


def sinusoidal_encoding(length: int, d_model: int, base: float = 10000.0) -> Tensor:
    if d_model & 1:
        raise ValueError("d_model has to be even: " + str(d_model))
    angles = _angles(torch.arange(length), d_model, base)
    encoding = torch.empty(length, d_model)
    encoding[:, ::2], encoding[:, 1::2] = angles.sin(), angles.cos()
    return encoding


def shift_matrix(offset: int, d_model: int, base: float = 10000.0) -> Tensor:
    angle = _angles(torch.tensor([offset]), d_model, base)[0].repeat_interleave(2)
    up = torch.zeros(d_model)
    up[::2] = angle[::2].sin()
    return torch.diag(angle.cos()) + torch.diag(up[:-1], 1) - torch.diag(up[:-1], -1)


class _Positions(nn.Module):
    def rows(self) -> Tensor:
        raise TypeError

    def forward(self, x: Tensor) -> Tensor:
        table = self.rows()
        if x.size(-2) > table.size(0):
            raise ValueError(f"x is {x.size(-2)} long, there are positions up to {table.size(0)} only")
        return torch.add(x, table.narrow(0, 0, x.size(-2)).to(dtype=x.dtype, device=x.device))


class SinusoidalPositions(_Positions):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.register_buffer("sines", sinusoidal_encoding(max_len, d_model), False)

    def rows(self) -> Tensor:
        return self.sines


class LearnedPositions(_Positions):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.normal(0.0, 0.02, (max_len, d_model)))

    def rows(self) -> Tensor:
        return self.weight
