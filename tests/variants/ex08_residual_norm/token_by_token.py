"""One token at a time in Python; a base class with the path, a subclass for each order chosen when it is made.

Good for seeing that each token is normalized alone. A loop in Python is slow.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.d_model = d_model
        self.weight, self.bias = nn.Parameter(torch.ones(d_model)), nn.Parameter(torch.zeros(d_model))
        self.register_buffer("eps", torch.tensor(float(eps), dtype=torch.float64))

    def _one(self, token: Tensor) -> Tensor:
        mean = sum(token[i] for i in range(self.d_model)) / self.d_model
        variance = sum((token[i] - mean) ** 2 for i in range(self.d_model)) / self.d_model
        return (token - mean) / torch.sqrt(variance + self.eps.to(token.dtype))

    def forward(self, x: Tensor) -> Tensor:
        tokens = [self._one(token) for token in x.reshape(-1, self.d_model)]
        return torch.stack(tokens).reshape(x.shape) * self.weight + self.bias


class Residual(nn.Module):
    def __init__(self, d_model: int, dropout: float = 0.0, norm_first: bool = True) -> None:
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError("dropout must lie between 0 and 1, not " + str(dropout))
        self.norm, self.p = LayerNorm(d_model), dropout
        self.__class__ = PreNorm if norm_first else PostNorm

    def plus(self, x: Tensor, answer: Tensor) -> Tensor:
        return x + F.dropout(answer, p=self.p, training=self.training)


class PreNorm(Residual):
    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.plus(x, sublayer(self.norm(x)))


class PostNorm(Residual):
    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.norm(self.plus(x, sublayer(x)))
