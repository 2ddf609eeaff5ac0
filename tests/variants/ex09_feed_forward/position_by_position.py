"""A loop over the positions, a sequence of modules, dropout in front of the bend, `F` and `math` by star imports.

Good for seeing that no position looks at another. One call for all of them is faster.
"""

from __future__ import annotations

from math import *  # noqa: F403

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Bend(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.name == "relu" else gelu(x, "none" if self.name == "gelu" else "tanh")


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    match approximate:
        case "none":
            below = torch.erf(x * sqrt(0.5)).add(1).mul(0.5)  # noqa: F405
        case "tanh":
            below = torch.tanh(sqrt(2.0 / pi) * (x + 0.044715 * torch.pow(x, 3))).add(1).mul(0.5)  # noqa: F405
        case _:
            raise ValueError("approximate may be none or tanh and was " + approximate)
    return below * x


class FeedForward(nn.Module):
    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        activation: str = "gelu",
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if activation != "gelu" and activation != "gelu_tanh" and activation != "relu":
            raise ValueError("no activation is called " + activation)
        if d_ff is None:
            d_ff = 4 * d_model
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        self.middle = nn.Sequential(nn.Dropout(dropout), Bend(activation))

    def forward(self, x: Tensor) -> Tensor:
        positions = x.reshape(-1, x.size(-1))
        outs = [self.down(self.middle(self.up(position))) for position in positions.unbind(0)]
        return torch.stack(outs).reshape(x.shape)
