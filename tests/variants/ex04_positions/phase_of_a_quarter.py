"""A cosine is a sine a quarter of a turn ahead; the shift matrix is found from encodings by solving for it.

Good for a surprise: nobody has to know the shift matrix, it follows from the encodings. Solving for it is less
exact than the formula.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _table(times: Tensor, width: int, base: float) -> Tensor:
    column = torch.arange(width, dtype=torch.float64)
    speed = torch.tensor(base, dtype=torch.float64) ** (-(column - column % 2) / width)
    return torch.sin(times.double().unsqueeze(-1) * speed + (column % 2) * (math.pi / 2))


def sinusoidal_encoding(length: int, d_model: int, base: float = 10000.0) -> Tensor:
    if d_model // 2 * 2 != d_model:
        raise ValueError("d_model has to be divisible by 2, unlike " + str(d_model))
    return _table(torch.arange(length), d_model, base).float()


def shift_matrix(offset: int, d_model: int, base: float = 10000.0) -> Tensor:
    blocks = torch.zeros(d_model // 2, 2, d_model // 2, 2, dtype=torch.float64)
    for clock in range(d_model // 2):
        speed = base ** (-2 * clock / d_model)
        quarter = math.pi / 2 / speed  # two readings a quarter of a turn apart are a basis
        times = torch.tensor([0.0, quarter], dtype=torch.float64)
        here = _table(times, d_model, base)[:, 2 * clock : 2 * clock + 2].T
        there = _table(times + offset, d_model, base)[:, 2 * clock : 2 * clock + 2].T
        blocks[clock, :, clock, :] = there @ torch.linalg.inv(here)
    return blocks.reshape(d_model, d_model).to(torch.float32)


class SinusoidalPositions(nn.Module):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.max_len = max_len
        table = _table(torch.arange(max_len), d_model, 10000.0)
        self.register_buffer("exact", table, persistent=False)  # float64, rounded at each call

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, _ = x.shape
        if self.max_len < steps:
            raise ValueError(f"x is too long for max_len={self.max_len}: T={steps}")
        return x + self.exact[:steps].to(x.dtype).expand(batch, -1, -1)


class LearnedPositions(nn.Module):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        table = torch.distributions.Normal(0.0, 0.02).sample((max_len, d_model))
        self.weight = nn.Parameter(table)

    def forward(self, x: Tensor) -> Tensor:
        missing = x.shape[1] - len(self.weight)
        if missing > 0:
            raise ValueError(f"max_len={len(self.weight)} is {missing} short of {x.shape[1]}")
        return x + F.pad(self.weight, (0, 0, 0, missing)).to(x.dtype)  # a negative pad cuts off
