"""GELU with its constants as tensors, which are float32 whatever x is; modules for the bend.

Good for exchanging the bend: it is a module like the others, and `nn.Sequential` runs them in turn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROOT = torch.sqrt(torch.tensor(2.0 / torch.pi))


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "none":
        return 0.5 * x * (1 + torch.erf(x / torch.sqrt(torch.tensor(2.0))))
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(ROOT * (x + 0.044715 * torch.pow(x, 3))))
    raise ValueError(f"there is no approximation {approximate!r}")


class Bend(nn.Module):
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
        bends = {"gelu": Bend("none"), "gelu_tanh": Bend("tanh"), "relu": nn.ReLU()}
        if activation not in bends:
            raise ValueError(f"{activation!r} is none of {', '.join(bends)}")
        inner = 4 * d_model if d_ff is None else d_ff
        self.up = nn.Linear(d_model, inner, bias=bias)
        self.down = nn.Linear(inner, d_model, bias=bias)
        self.layers = nn.Sequential(self.up, bends[activation], self.down, nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out
