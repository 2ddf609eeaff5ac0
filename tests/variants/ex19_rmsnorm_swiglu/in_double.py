"""float64 inside everything, an einsum for the mean square, one product for gate and up, a search for the width.

Good for checking the others: it rounds far less. One product makes gate and up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps, self.d_model = float(eps), d_model
        self.register_parameter("weight", nn.Parameter(torch.full((d_model,), 1.0)))

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-1] == self.d_model, x.shape
        precise = x.to(torch.float64)
        square = torch.einsum("...i,...i->...", precise, precise).unsqueeze(-1) / x.shape[-1]
        scale = self.weight.to(torch.float64)
        return torch.div(precise, (square + self.eps).sqrt()).mul(scale).to(dtype=x.dtype)


def silu(x: Tensor) -> Tensor:
    wide = x.double()
    return (wide * (1 + torch.tanh(wide / 2)) / 2).to(x.dtype)


class SwiGLU(nn.Module):
    def __init__(self, d_model: int, d_ff: int, bias: bool = False) -> None:
        super().__init__()
        for name, inside, outside in (("gate", d_model, d_ff), ("up", d_model, d_ff), ("down", d_ff, d_model)):
            self.add_module(name, nn.Linear(inside, outside, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.cat([self.gate.weight, self.up.weight])
        bias = None if self.gate.bias is None else torch.cat([self.gate.bias, self.up.bias])
        gate, up = F.linear(x, weight, bias).chunk(2, dim=-1)
        return self.down(up * silu(gate))


def swiglu_width(d_model: int, multiple_of: int = 1) -> int:
    width = multiple_of
    while 3 * width < 8 * d_model:
        width += multiple_of
    return width
