"""GELU in float64 through the normal distribution function, relu as a clamp, and dropout at both places.

Good for the tail far below 0, where 1 + erf loses its digits in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _tanh_form(x: Tensor) -> Tensor:
    inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x * x * x)
    return x * (torch.tanh(inner) + 1) / 2


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    match approximate:
        case "none":
            precise = x.to(torch.float64)
            return (precise * torch.special.ndtr(precise)).to(x.dtype)
        case "tanh":
            return _tanh_form(x.to(torch.float64)).to(x.dtype)
    raise ValueError("approximate: expected none or tanh, not " + approximate)


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
        if activation not in {"relu", "gelu", "gelu_tanh"}:
            raise ValueError(f"unknown activation: {activation}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout={dropout}")
        self.kind, self.p = activation, dropout / 2  # half of it after each layer
        inner = d_model * 4 if d_ff is None else d_ff
        self.up = nn.Linear(in_features=d_model, out_features=inner, bias=bias)
        self.down = nn.Linear(in_features=inner, out_features=d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.linear(x, self.up.weight, self.up.bias)
        if self.kind == "relu":
            bent = hidden.clamp(min=0)
        elif self.kind == "gelu":
            bent = gelu(hidden)
        else:
            bent = gelu(hidden, "tanh")
        out = self.down(F.dropout(bent, self.p, self.training))
        return F.dropout(out, self.p, self.training)
