"""The length of the centred vector for the variance, `nn.Identity` for the norm that is not due, modules in between.

Good for one line for both orders: `nn.Identity` stands where nothing is due.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import *  # noqa: F403
from torch import nn


class LayerNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(ones(d_model))  # noqa: F405
        self.bias = nn.Parameter(zeros(d_model))  # noqa: F405
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:  # noqa: F405
        out_dtype, wide = x.dtype, promote_types(x.dtype, torch.float32)  # noqa: F405
        x = x.to(wide)
        centred = x.sub(x.mean(dim=-1, keepdim=True))
        length = (centred.square().sum(-1, keepdim=True) + self.eps * x.shape[-1]).sqrt()
        unit = centred / length * x.shape[-1] ** 0.5
        return (unit * self.weight + self.bias).to(out_dtype)


class Residual(nn.Module):
    def __init__(self, d_model: int, dropout: float = 0.0, norm_first: bool = True) -> None:
        super().__init__()
        self.norm = LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:  # noqa: F405
        before, after = (self.norm, nn.Identity()) if self.norm_first else (nn.Identity(), self.norm)
        answer = self.dropout(sublayer(before(x)))
        return after(torch.add(x, answer))
