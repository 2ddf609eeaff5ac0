"""Layer norm by `var_mean`, in a function of its own; the two frames are two functions that are chosen once.

Good for testing: the norm is a function of its weights, and the order is chosen once and not in each call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def standardised(x: Tensor, eps: float) -> Tensor:
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


class LayerNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.register_parameter("bias", nn.Parameter(torch.empty(d_model)))
        self.register_parameter("weight", nn.Parameter(torch.empty(d_model)))
        nn.init.constant_(self.weight, 1.0)
        nn.init.constant_(self.bias, 0.0)
        self.epsilon = eps

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, standardised(x, self.epsilon), self.weight)


class Residual(nn.Module):
    FRAMES: ClassVar[dict[bool, str]] = {True: "pre_norm", False: "post_norm"}

    def __init__(self, d_model: int, dropout: float = 0.0, norm_first: bool = True) -> None:
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout={dropout} lies outside 0..1")
        self.norm = LayerNorm(d_model)
        self.p = dropout
        self.frame = getattr(self, self.FRAMES[bool(norm_first)])

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, p=self.p, training=self.training)

    def pre_norm(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.drop(sublayer(self.norm(x))) + x

    def post_norm(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.norm(self.drop(sublayer(x)) + x)

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.frame(x, sublayer)
