"""The speeds by exp and log in float32, sines and cosines written into an empty table, as many tutorials do.

Good for reading other people's code, which is often written like this. In float32, angles at far positions lose
digits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoidal_encoding(length: int, d_model: int, base: float = 10000.0) -> Tensor:
    if d_model % 2 == 1:
        raise ValueError(f"Cannot use sin/cos positional encoding with odd d_model (got {d_model})")
    pe = torch.zeros(length, d_model)
    position = torch.arange(0, length).unsqueeze(1).float()
    div_term = torch.exp(torch.arange(0, d_model, 2).float() * -(math.log(base) / d_model))
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe


def shift_matrix(offset: int, d_model: int, base: float = 10000.0) -> Tensor:
    m = torch.zeros(d_model, d_model)
    for i in range(0, d_model, 2):
        a = offset * math.exp(-math.log(base) * i / d_model)
        m[i, i], m[i, i + 1] = math.cos(a), math.sin(a)
        m[i + 1, i], m[i + 1, i + 1] = -math.sin(a), math.cos(a)
    return m


class SinusoidalPositions(nn.Module):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoidal_encoding(max_len, d_model).unsqueeze(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) > self.pe.size(1):
            raise ValueError(f"max_len is {self.pe.size(1)}, the sequence has {x.size(1)}")
        return x + self.pe[:, : x.size(1)].type_as(x)


class LearnedPositions(nn.Module):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.max_len = max_len
        self.weight = nn.Parameter(torch.empty(max_len, d_model))
        nn.init.normal_(self.weight, mean=0.0, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) > self.max_len:
            raise ValueError(f"max_len is {self.max_len}, the sequence has {x.size(1)}")
        positions = torch.arange(x.size(1), device=x.device)
        return x + self.weight[positions].unsqueeze(0).type_as(x)
