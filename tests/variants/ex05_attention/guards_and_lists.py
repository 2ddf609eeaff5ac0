"""Asserts that look at values, a loop over the queries, an `if` on what a mask hides: right all the same.

Good for finding a mistake: the asserts say what is wrong, and each query can be printed. On a GPU, looking at
values means waiting.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .ex01_softmax import softmax


def attend(query: NDArray, keys: NDArray, values: NDArray) -> NDArray:
    assert not np.isnan(query).any(), "the query holds NaN"
    shares = softmax(np.array([key @ query for key in keys]) / np.sqrt(len(query)))
    assert abs(shares.sum() - 1) < 1e-3
    return sum(share * value for share, value in zip(shares, values, strict=True))


def _one_query(query: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
    scores = keys @ query / math.sqrt(len(query))  # (T_k,)
    if seen is not None and not seen.all():
        hidden = [index for index, visible in enumerate(seen.tolist()) if not visible]
        scores = scores.index_fill(0, torch.tensor(hidden, device=scores.device), -math.inf)
    weights = torch.softmax(scores, 0)
    return values.T @ weights, weights


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    assert torch.isfinite(q).all() and torch.isfinite(k).all(), "queries and keys must be finite"
    if mask is not None:
        assert mask.dtype == torch.bool
        mask = mask.expand(*q.shape[:-1], k.size(-2))
    if q.dim() > 2:  # one leading index at a time
        pairs = [
            scaled_dot_product_attention(q[i], k[i], v[i], None if mask is None else mask[i]) for i in range(len(q))
        ]
    else:
        pairs = [_one_query(q[i], k, v, None if mask is None else mask[i]) for i in range(len(q))]
    outs, weights = zip(*pairs, strict=True)
    return torch.stack(outs), torch.stack(weights)
