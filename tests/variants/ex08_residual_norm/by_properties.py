"""Einsum; scale, shift and norm live in helpers and are reached by properties; a module for each of the two orders.

Good for keeping the two orders apart: each has one line and no `if`. Who looks for the norm has to follow a property.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LayerNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.affine = nn.ParameterDict({"scale": torch.ones(d_model), "shift": torch.zeros(d_model)})
        self.register_buffer("eps", torch.tensor(eps, dtype=torch.float64), persistent=False)

    weight = property(lambda self: self.affine["scale"])
    bias = property(lambda self: self.affine["shift"])

    def forward(self, x: Tensor) -> Tensor:
        width = x.size(-1)
        centred = x - torch.einsum("...d->...", x)[..., None] / width
        variance = torch.einsum("...d,...d->...", centred, centred)[..., None] / width
        unit = centred * (variance + self.eps.to(variance)).pow(-0.5)
        return torch.einsum("...d,d->...d", unit, self.weight) + self.bias


class _Pre(nn.Module):
    def __init__(self, norm: LayerNorm, drop: nn.Dropout) -> None:
        super().__init__()
        self.first, self.drop = norm, drop

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return x + self.drop(sublayer(self.first(x)))


class _Post(_Pre):
    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.first(x + self.drop(sublayer(x)))


class Residual(nn.Module):
    def __init__(self, d_model: int, dropout: float = 0.0, norm_first: bool = True) -> None:
        super().__init__()
        self.frame = (_Pre if norm_first else _Post)(LayerNorm(d_model), nn.Dropout(p=dropout))

    @property
    def norm(self) -> LayerNorm:
        return self.frame.first

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.frame(x, sublayer)
