"""Each clock as a complex number of modulus one: the encoding is exp(i t w), a shift a multiplication.

Good for seeing that a shift is a rotation: it is one multiplication of complex numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _angles(times: Tensor, width: int, base: float) -> Tensor:
    exponents = torch.linspace(0, 1, width // 2 + 1, dtype=torch.float64)[:-1]  # 2i / D
    return torch.outer(times.double(), torch.pow(base, exponents).reciprocal())


def sinusoidal_encoding(length: int, d_model: int, base: float = 10000.0) -> Tensor:
    if d_model & 1:
        raise ValueError(f"d_model={d_model} is odd")
    angles = _angles(torch.arange(length), d_model, base)
    hands = torch.polar(torch.ones_like(angles), angles)  # cos + i sin
    return torch.view_as_real(hands).flip(-1).reshape(length, d_model).to(torch.float32)


def shift_matrix(offset: int, d_model: int, base: float = 10000.0) -> Tensor:
    angle = _angles(torch.tensor([offset]), d_model, base).squeeze(0)
    turn = torch.polar(torch.ones_like(angle), angle)
    sines, cosines = torch.arange(0, d_model, 2), torch.arange(1, d_model, 2)
    matrix = torch.zeros(d_model, d_model, dtype=torch.float64)
    matrix[sines, sines] = matrix[cosines, cosines] = turn.real
    matrix[sines, cosines] = turn.imag
    matrix[cosines, sines] = -turn.imag
    return matrix.float()


class _Positions(nn.Module):
    """What the two kinds share: a check of the length, and an addition."""

    def table(self) -> Tensor:
        raise RuntimeError("a subclass has the table")

    def forward(self, x: Tensor) -> Tensor:
        table, steps = self.table(), x.shape[-2]
        if steps > table.shape[0]:
            raise ValueError(f"{steps} positions asked for, but max_len = {table.shape[0]}")
        return torch.add(x, table.narrow(0, 0, steps).to(dtype=x.dtype))


class SinusoidalPositions(_Positions):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.register_buffer("clocks", sinusoidal_encoding(length=max_len, d_model=d_model), persistent=False)
        self.register_buffer("calls", torch.zeros(()), persistent=True)

    def table(self) -> Tensor:
        return self.clocks


class LearnedPositions(_Positions):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(max_len, d_model))

    def table(self) -> Tensor:
        return self.weight
