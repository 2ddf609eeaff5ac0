"""Hidden scores get the lowest number of their dtype instead of minus infinity; `baddbmm` for the products.

Good for rows that are hidden throughout: they get equal weights and no NaN. The sum of the values that should be
hidden comes out, though.
"""

from __future__ import annotations

import math

import torch
from numpy.typing import NDArray
from torch import Tensor

from . import ex01_softmax


def attend(query: NDArray, keys: NDArray, values: NDArray) -> NDArray:
    shares = ex01_softmax.softmax(x=query @ keys.T / math.sqrt(keys.shape[1]), axis=0)
    return values.T @ shares


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    lead, (t_q, d), t_k = q.shape[:-2], q.shape[-2:], k.shape[-2]
    flat_q, flat_k, flat_v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))
    start = torch.empty(flat_q.shape[0], t_q, t_k, dtype=q.dtype, device=q.device)
    scores = torch.baddbmm(start, flat_q, flat_k.permute(0, 2, 1), beta=0, alpha=1 / math.sqrt(d))
    scores = scores.reshape(*lead, t_q, t_k)
    if mask is not None:
        scores = scores.masked_fill(torch.logical_not(mask), torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    out = torch.bmm(weights.reshape(-1, t_q, t_k), flat_v)
    return out.reshape(*lead, t_q, v.shape[-1]), weights
