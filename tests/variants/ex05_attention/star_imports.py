"""Star imports; in NumPy the root makes float64 of float32; weights as exp(score - logsumexp), hidden ones by index.

Good for trying something out in few lines. In a module, star imports hide where a name comes from.
"""

from __future__ import annotations

from math import *  # noqa: F403

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .ex01_softmax import *  # noqa: F403


def attend(query: NDArray, keys: NDArray, values: NDArray) -> NDArray:
    d = np.sqrt(np.shape(keys)[-1])
    return np.average(values, axis=0, weights=softmax(np.inner(keys, query) / d))  # noqa: F405


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    scores = torch.matmul(q, k.swapaxes(-2, -1)).clone() / sqrt(k.shape[-1])  # noqa: F405
    if mask is not None:
        scores[~mask.broadcast_to(scores.shape)] = -inf  # noqa: F405
    weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))
    return torch.einsum("...ij,...jk->...ik", weights, v), weights
