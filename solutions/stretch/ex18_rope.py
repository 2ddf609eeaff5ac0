"""What solves the stretch goals of exercise 18."""

import torch
from torch import Tensor

from ex18_rope import rotate


def stretched_base(base: float, width: int, factor: float) -> float:
    """The base with which the slowest pair turns so many times as slowly: its speed is base ** (-(d - 2) / d)."""
    return base * factor ** (width / (width - 2))


def partial_rotate(x: Tensor, positions: Tensor, share: float, base: float = 10000.0) -> Tensor:
    """Turn a part of the features, and leave the others alone."""
    width = round(share * x.size(-1))
    return torch.cat([rotate(x[..., :width], positions, base), x[..., width:]], dim=-1)
