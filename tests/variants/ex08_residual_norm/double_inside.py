"""Layer norm in float64 inside, cast back at the end; the residual is a subclass of `nn.Dropout`.

Good for large means, where float32 loses the digits that the variance needs. float64 is slow on many GPUs, and some
have none.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LayerNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((d_model,), 1.0))
        self.bias = nn.Parameter(torch.full((d_model,), 0.0))
        self.register_buffer("width", torch.tensor(d_model), persistent=False)
        self.eps = float(eps)

    def forward(self, x: Tensor) -> Tensor:
        precise = x.to(torch.float64)
        away = precise - precise.mean(dim=-1, keepdim=True)
        deviation = away.square().mean(dim=-1, keepdim=True).add(self.eps).pow(0.5)
        return (away / deviation * self.weight.double() + self.bias.double()).to(x.dtype)


class Residual(nn.Dropout):
    def __init__(self, d_model: int, dropout: float = 0.0, norm_first: bool = True) -> None:
        super().__init__(p=dropout)
        self.norm, self.first = LayerNorm(d_model=d_model, eps=1e-5), norm_first

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        inside, outside = (self.norm, nn.Identity()) if self.first else (nn.Identity(), self.norm)
        return outside(torch.add(x, super().forward(sublayer(inside(x)))))
