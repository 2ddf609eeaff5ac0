"""A small class that holds the scores; float32 inside and back; the mask as a bias made by `log` of 0 and 1.

Good for looking at each stage: scores, mask and weights are steps with names. It multiplies number by number, which
takes d times the memory of a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    table: Tensor  # (..., T_q, T_k), in float32 at least

    @classmethod
    def of(cls, q: Tensor, k: Tensor) -> Scores:
        wide = torch.promote_types(q.dtype, torch.float32)
        products = (q.to(wide).unsqueeze(-2) * k.to(wide).unsqueeze(-3)).sum(-1)  # (..., T_q, 1, D) * (..., 1, T_k, D)
        return cls(products * q.shape[-1] ** -0.5)

    def seen_through(self, mask: Tensor | None) -> Scores:
        return self if mask is None else Scores(self.table + mask.to(self.table.dtype).log())

    def shares(self) -> Tensor:
        highest = self.table.amax(-1, keepdim=True)
        parts = (self.table - highest).exp()
        return parts / parts.sum(-1, keepdim=True)


def attend(query: NDArray, keys: NDArray, values: NDArray) -> NDArray:
    scores = keys.dot(query) / query.size**0.5
    parts = np.exp(scores - scores.max())
    return (parts[:, None] * values).sum(0) / parts.sum()


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = Scores.of(q, k).seen_through(mask).shares()
    return (weights @ v.to(weights.dtype)).to(v.dtype), weights.to(v.dtype)
