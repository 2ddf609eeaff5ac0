"""Guards that look at values, dropout written out, the two orders as two methods, statistics from `torch.var_mean`.

Good for understanding dropout: a random mask, and a division by the share that is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LayerNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        assert eps >= 0
        self.eps, self.d_model = eps, d_model
        self.register_parameter("weight", nn.Parameter(torch.full((d_model,), 1.0)))
        self.register_parameter("bias", nn.Parameter(torch.full((d_model,), 0.0)))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.d_model:
            raise ValueError(f"expected {self.d_model} features, got {x.shape[-1]}")
        assert not torch.isnan(x).any(), "NaN comes in"
        variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
        return torch.addcmul(self.bias, (x - mean) / (variance + self.eps) ** 0.5, self.weight)


class Residual(nn.Module):
    def __init__(self, d_model: int, dropout: float = 0.0, norm_first: bool = True) -> None:
        super().__init__()
        if dropout < 0.0 or dropout > 1.0:
            raise ValueError(f"{dropout} is no probability")
        self.p = dropout
        self.norm = LayerNorm(d_model)
        self.way = self._pre if norm_first else self._post

    def _drop(self, h: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return h
        if self.p == 1.0:
            return torch.zeros_like(h)
        keep = torch.empty_like(h).bernoulli_(1 - self.p)
        return h * keep / (1 - self.p)

    def _pre(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self._drop(sublayer(self.norm(x))) + x

    def _post(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.norm(self._drop(sublayer(x)) + x)

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.way(x, sublayer)
