"""A layer norm whose eps is a tensor: float32 next to inputs in float64; the frame as two closures.

Good for constants that go where the module goes. A plain number is simpler, and takes the dtype of what it meets.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LayerNorm(nn.Module):
    eps: Tensor

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.register_buffer("eps", torch.tensor(eps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
        return self.weight * ((x - mean) / torch.sqrt(variance + self.eps.to(x.device))) + self.bias


class Residual(nn.Module):
    def __init__(self, d_model: int, dropout: float = 0.0, norm_first: bool = True) -> None:
        super().__init__()
        self.norm = LayerNorm(d_model)
        self.drop = nn.Dropout(dropout)
        self.order = self._pre if norm_first else self._post

    def _pre(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return x + self.drop(sublayer(self.norm(x)))

    def _post(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        out: Tensor = self.norm(x + self.drop(sublayer(x)))
        return out

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.order(x, sublayer)
