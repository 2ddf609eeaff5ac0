"""The table inside of a container, reached by a property; all bad ids are named at once; one sum for each row.

Good for a layer that may hold its table elsewhere later: who uses it asks for `weight` and gets it. The sums take V
passes over the ids.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def embedding_lookup(weight: NDArray, ids: NDArray) -> NDArray:
    rows = []
    for token in ids.ravel().tolist():
        if token < 0:
            raise ValueError(f"negative id {token}")
        if token >= len(weight):
            raise ValueError(f"id {token} too large")
        rows.append(weight[token])
    return np.array(rows, dtype=weight.dtype).reshape(ids.shape + weight.shape[1:])


def embedding_grad(grad_out: NDArray, ids: NDArray, vocab_size: int) -> NDArray:
    bad = [token for token in ids.ravel().tolist() if token not in range(vocab_size)]
    if bad:
        raise ValueError(f"bad ids: {bad}")
    rows = grad_out.reshape(-1, grad_out.shape[-1])
    sums = [rows[ids.ravel() == token].sum(0) for token in range(vocab_size)]
    return np.array(sums, dtype=rows.dtype).reshape(vocab_size, rows.shape[1])


class TokenEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int, scale: bool = False) -> None:
        super().__init__()
        self.table = nn.ParameterDict({"rows": nn.Parameter(0.02 * torch.randn(vocab_size, d_model))})
        self.scale = scale

    @property
    def weight(self) -> Tensor:
        return self.table["rows"]

    @property
    def factor(self) -> float:
        return math.sqrt(self.weight.size(1)) if self.scale else 1.0

    def forward(self, ids: Tensor) -> Tensor:
        count = self.weight.size(0)
        if bool(((ids >= count) | (ids < 0)).any()):
            raise ValueError(f"outside: {sorted(set(ids.flatten().tolist()) - set(range(count)))}")
        return self.factor * self.weight[ids]
