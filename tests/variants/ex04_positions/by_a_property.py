"""One base class for both layers, whose table a property may hand out; entries in Python's own numbers.

Good for saying once what both layers do. A table of a million entries takes a million calls of Python's sine.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoidal_encoding(length: int, d_model: int, base: float = 10000.0) -> Tensor:
    if d_model % 2:
        raise ValueError(f"odd: {d_model!r}")
    entries = [
        [
            (math.cos if column % 2 else math.sin)(t / base ** ((column - column % 2) / d_model))
            for column in range(d_model)
        ]
        for t in range(length)
    ]
    return torch.tensor(entries).reshape(length, d_model)


def shift_matrix(offset: int, d_model: int, base: float = 10000.0) -> Tensor:
    far = sinusoidal_encoding(abs(offset) + 1, d_model, base)[-1]
    sines, cosines = far[0::2] * (1 if offset >= 0 else -1), far[1::2]
    matrix, i = torch.zeros(d_model, d_model), torch.arange(0, d_model, 2)
    matrix[i, i] = matrix[i + 1, i + 1] = cosines
    matrix[i, i + 1] = sines
    matrix[i + 1, i] = -sines
    return matrix


class _Positions(nn.Module):
    weight: Tensor

    def forward(self, x: Tensor) -> Tensor:
        _, length, width = x.shape
        if length > self.weight.shape[0]:
            raise ValueError(f"there is no position {length - 1}: T is {length}")
        return torch.add(x, self.weight.narrow(0, 0, length).expand(x.shape[0], length, width).type_as(x))


class SinusoidalPositions(_Positions):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.register_buffer("weight", sinusoidal_encoding(max_len, d_model), persistent=False)


class LearnedPositions(_Positions):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.rows = nn.ParameterList([nn.Parameter(torch.randn(max_len, d_model).mul(0.02))])

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        return self.rows[0]
