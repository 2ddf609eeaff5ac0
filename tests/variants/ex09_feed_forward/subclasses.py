"""A class for each activation, products as einsum with the layers' own weights, GELU through its complement.

Good for activations that need more than a formula: each is a class of its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "none":
        return x - x * torch.erfc(x / math.sqrt(2)) / 2  # what is left when the chance to exceed x is taken off
    if approximate == "tanh":
        return x * torch.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))
    raise ValueError(f"no approximate called {approximate}")


class Gelu(nn.Module):
    """GELU as a module."""

    def __init__(self, approximate: str) -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x, self.approximate)


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
        bends = {"gelu": Gelu("none"), "gelu_tanh": Gelu("tanh"), "relu": nn.ReLU()}
        if activation not in bends:
            raise ValueError(f"activation={activation!r}, expected one of {sorted(bends)}")
        if d_ff is None:
            d_ff = 4 * d_model
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.middle = nn.Sequential(bends[activation], nn.Dropout(p=dropout))
        self.down = nn.Linear(d_ff, d_model, bias=bias)

    @staticmethod
    def _apply_layer(layer: nn.Linear, x: Tensor) -> Tensor:
        product = torch.einsum("...i,oi->...o", x, layer.weight)
        return product if layer.bias is None else product + layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return self._apply_layer(self.down, self.middle(self._apply_layer(self.up, x)))
