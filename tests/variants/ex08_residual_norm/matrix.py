"""Centring as a matrix product with I - 1/D, and the variance as an einsum; pre- and post-norm are classes.

Good for the algebra: centring is a projection, and here is its matrix. It takes D products for each number where a
subtraction takes none.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LayerNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps, self.size = eps, d_model
        self.weight, self.bias = nn.Parameter(torch.ones(d_model)), nn.Parameter(torch.zeros(d_model))

    def forward(self, x: Tensor) -> Tensor:
        spread = x - x[..., :1]  # an offset that all features share changes nothing, but a product with it rounds
        ones = torch.ones(self.size, self.size, dtype=x.dtype, device=x.device)
        away = spread - spread @ ones / self.size  # (..., D)
        squares = torch.einsum("...d,...d->...", away, away).unsqueeze(-1) / self.size  # (..., 1)
        return away / torch.sqrt(squares + self.eps) * self.weight + self.bias


class Frame(nn.Module):
    """What both orders have in common."""

    def __init__(self, norm: LayerNorm, drop: nn.Dropout) -> None:
        super().__init__()
        self.parts = (norm, drop)  # in a tuple, so that they are registered once, by their owner


class PreNorm(Frame):
    """The norm before the sublayer."""

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        norm, drop = self.parts
        added = drop(sublayer(norm(x)))
        return torch.stack([x, added]).sum(0)


class PostNorm(Frame):
    """The norm after the addition."""

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        norm, drop = self.parts
        total = x.clone()
        total += drop(sublayer(x))
        return norm(total)


class Residual(nn.Module):
    def __init__(self, d_model: int, dropout: float = 0.0, norm_first: bool = True) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.norm = LayerNorm(d_model)
        self.frame = (PreNorm if norm_first else PostNorm)(self.norm, self.drop)

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.frame(x, sublayer)
