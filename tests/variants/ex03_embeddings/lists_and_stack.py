"""Lists of rows, stacked; a product of a scatter matrix for the way back; the embedding as an einsum.

Good for checking the way back: for each token of the vocabulary, it adds up the rows that had that token.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch
from torch import nn


class _Range:
    def __init__(self, stop):
        self.stop = stop

    def check(self, values):
        low, high = min(values, default=0), max(values, default=0)
        if low < 0:
            raise ValueError(f"negative id: {low}")
        if high >= self.stop:
            raise ValueError(f"id {high} >= {self.stop}")


def embedding_lookup(weight, ids):
    _Range(len(weight)).check(ids.ravel().tolist())
    return np.einsum("...v,vd->...d", np.equal.outer(ids, np.arange(len(weight))).astype(weight.dtype), weight)


def embedding_grad(grad_out, ids, vocab_size):
    _Range(vocab_size).check(ids.ravel().tolist())
    rows = grad_out.reshape(-1, grad_out.shape[-1])
    picked = [rows[ids.reshape(-1) == token] for token in range(vocab_size)]
    return np.array([each.sum(axis=0, dtype=np.float64) for each in picked]).astype(grad_out.dtype)


class TokenEmbedding(nn.Module):
    weight: nn.Parameter

    def __init__(self, vocab_size: int, d_model: int, scale: bool = False):
        super().__init__()
        numbers = np.random.default_rng().normal(0.0, 0.02, (vocab_size, d_model))
        self.weight = nn.Parameter(torch.as_tensor(numbers, dtype=torch.get_default_dtype()))
        self.scale, self.rows = scale, _Range(vocab_size)

    def forward(self, ids):
        self.rows.check(list(chain.from_iterable(ids.tolist())))
        out = torch.stack([torch.stack([self.weight[token] for token in line]) for line in ids.tolist()])
        return out.mul(out.shape[-1] ** 0.5) if self.scale else out
