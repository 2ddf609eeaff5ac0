"""Plain loops with `math`, asserts on the values of tensors, rotations filled in clock by clock.

Good for checking single entries by hand. It is slow for long tables.
"""

import math

import torch
from torch import nn


def sinusoidal_encoding(length, d_model, base=10000.0):
    if d_model % 2 != 0:
        raise ValueError(f"an encoding of {d_model} numbers has half a clock")
    rows = []
    for t in range(length):
        row = []
        for i in range(d_model // 2):
            angle = t / math.pow(base, 2 * i / d_model)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    table = torch.tensor(rows, dtype=torch.float32).reshape(length, d_model)
    assert table.abs().max() <= 1.0
    return table


def shift_matrix(offset, d_model, base=10000.0):
    matrix = torch.eye(d_model)
    for i in range(0, d_model, 2):
        angle = offset / base ** (i / d_model)
        matrix[i, i] = matrix[i + 1, i + 1] = math.cos(angle)
        matrix[i, i + 1] = math.sin(angle)
        matrix[i + 1, i] = -matrix[i, i + 1]
    return matrix


class SinusoidalPositions(nn.Module):
    def __init__(self, max_len, d_model):
        super().__init__()
        self.max_len = max_len
        self.register_buffer("table", sinusoidal_encoding(max_len, d_model).unsqueeze(0), persistent=False)

    def forward(self, x):
        _batch, length, _width = x.shape
        if length > self.max_len:
            raise ValueError(f"{length} positions, but only {self.max_len} are known")
        assert not torch.isnan(x).any(), "NaN comes in"
        out = x.clone()
        out += self.table[:, :length].type_as(x)
        return out


class LearnedPositions(nn.Module):
    def __init__(self, max_len, d_model):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(max_len, d_model))
        nn.init.normal_(self.weight, mean=0.0, std=0.02)

    def forward(self, x):
        if x.shape[1] > self.weight.shape[0]:
            raise ValueError(f"length {x.shape[1]} > {self.weight.shape[0]}")
        if not torch.isfinite(x).all().item():
            raise RuntimeError("not finite")
        places = torch.arange(x.shape[1], device=x.device)
        return x + self.weight[places].to(x)
