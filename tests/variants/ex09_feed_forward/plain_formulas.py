"""Both forms of GELU as the paper prints them, left to autograd; the activations stand in a table.

Good for reading beside the paper. Autograd keeps more for the way back than a slope written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate={approximate!r} is not known")
    if approximate == "tanh":
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x.pow(3))))
    return 0.5 * x * (1.0 + torch.erf(x * 2**-0.5))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_tanh": lambda x: gelu(x, approximate="tanh"),
    "relu": torch.relu,
}


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
        try:
            self.bend = ACTIVATIONS[activation]
        except KeyError:
            raise ValueError(f"activation {activation!r} is none of {', '.join(ACTIVATIONS)}") from None
        self.down = nn.Linear(d_ff or 4 * d_model, d_model, bias)
        self.up = nn.Linear(d_model, d_ff or 4 * d_model, bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.down(self.bend(self.up(x))))
