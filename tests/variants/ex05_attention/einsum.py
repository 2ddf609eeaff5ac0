"""Einsums, the queries scaled before the product, the mask as a sum with minus infinity.

Good for reading shapes: each axis has a letter, and no transpose is needed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .ex01_softmax import softmax


def attend(query: NDArray, keys: NDArray, values: NDArray) -> NDArray:
    scores = np.einsum("td,d->t", keys, query * query.dtype.type(query.size**-0.5))
    return np.einsum("t,tv->v", softmax(scores), values)


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    scores = torch.einsum("...qd,...kd->...qk", q * q.shape[-1] ** -0.5, k)
    if mask is not None:
        bias = torch.zeros_like(mask, dtype=scores.dtype)
        scores = scores + bias.masked_fill(mask.logical_not(), float("-inf"))
    weights = scores.softmax(-1)
    return torch.einsum("...qk,...kv->...qv", weights, v), weights
