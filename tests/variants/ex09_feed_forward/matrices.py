"""Products of matrices in place of calls, a dataclass of options, dropout on the result by Bernoulli's numbers.

Good for seeing what a linear layer does: a product and a sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    kinds = {"none": _exact, "tanh": _through_sigmoid}
    if approximate not in kinds:
        raise ValueError(f"approximate={approximate!r}, not one of {sorted(kinds)}")
    return kinds[approximate](x)


def _exact(x: Tensor) -> Tensor:
    return 0.5 * x * torch.erfc(-x * math.sqrt(0.5))


def _through_sigmoid(x: Tensor) -> Tensor:
    near = x.clamp(-1e3, 1e3)
    return x * torch.sigmoid(math.sqrt(8 / math.pi) * (near + 0.044715 * near**3))


@dataclass(frozen=True)
class Options:
    activation: str
    dropout: float

    def __post_init__(self) -> None:
        if self.activation not in ("gelu", "gelu_tanh", "relu"):
            raise ValueError(f"activation: {self.activation}")
        if self.dropout < 0 or 1 < self.dropout:  # noqa: SIM300
            raise ValueError(f"dropout: {self.dropout}")


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
        self.options = Options(activation, dropout)
        width = d_ff if d_ff is not None else d_model << 2
        self.up, self.down = nn.Linear(d_model, width, bias=bias), nn.Linear(width, d_model, bias=bias)

    @staticmethod
    def _through(layer: nn.Linear, x: Tensor) -> Tensor:
        out = x @ layer.weight.T
        return out if layer.bias is None else out + layer.bias

    def forward(self, x: Tensor) -> Tensor:
        hidden = self._through(self.up, x)
        if self.options.activation == "relu":
            hidden = torch.maximum(hidden, torch.zeros_like(hidden))
        else:
            hidden = gelu(hidden, {"gelu": "none", "gelu_tanh": "tanh"}[self.options.activation])
        out, p = self._through(self.down, hidden), self.options.dropout
        if self.training and p:
            out = out * torch.full_like(out, 1 - p).bernoulli() / max(1 - p, 1e-9)
        return out
