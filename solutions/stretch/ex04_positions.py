"""What solves the stretch goals of exercise 4."""

import math

import torch
from torch import Tensor

from ex04_positions import sinusoidal_encoding


def grid_encoding(height: int, width: int, d_model: int) -> Tensor:
    """The encodings of places in a picture, row by row."""
    rows = sinusoidal_encoding(height, d_model // 2).repeat_interleave(width, dim=0)  # (height * width, D/2)
    columns = sinusoidal_encoding(width, d_model // 2).repeat(height, 1)  # (height * width, D/2)
    return torch.cat([rows, columns], dim=1)  # (height * width, D)


def alibi(n_heads: int, length: int) -> Tensor:
    """What is added to the scores so that a key counts for less the further back it stands.

    Source: Press et al. 2022, section 3.
    """
    slopes = 2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)  # (H,)
    places = torch.arange(length)
    back = places[:, None] - places  # (T, T): i - j
    bias = -slopes[:, None, None] * back  # (H, T, T)
    return bias.masked_fill(back < 0, -math.inf)
