"""What solves the stretch goals of exercise 19."""

from collections.abc import Callable

import torch
from torch import Tensor

from ex19_rmsnorm_swiglu import SwiGLU


def gated_unit(layer: SwiGLU, x: Tensor, bend: Callable[[Tensor], Tensor]) -> Tensor:
    """What a gated unit with another bend makes of the same weights.

    Source: Shazeer 2020, section 2.
    """
    return layer.down(bend(layer.gate(x)) * layer.up(x))


def rms_grad(x: Tensor, grad: Tensor, eps: float = 1e-5) -> Tensor:
    """The gradient that goes back through a normalization by the mean square."""
    scale = torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps)  # (..., 1)
    y = x * scale
    return scale * (grad - y * (grad * y).mean(dim=-1, keepdim=True))  # (..., D)
