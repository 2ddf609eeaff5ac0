"""`take` forwards; backwards the ids are sorted, and each run of equal ids is summed at once. Layers by inheritance.

Good for ids that are repeated often: each run is one sum, and no row is written twice.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def embedding_lookup(weight: NDArray, ids: NDArray) -> NDArray:
    if ids.size and (ids.min() < 0 or ids.max() >= weight.shape[0]):
        worst = ids.min() if ids.min() < 0 else ids.max()
        raise ValueError(f"ids has the entry {worst}; the table's rows are 0..{weight.shape[0] - 1}")
    return np.take(weight, ids, axis=0)


def embedding_grad(grad_out: NDArray, ids: NDArray, vocab_size: int) -> NDArray:
    embedding_lookup(np.zeros((vocab_size, 0)), ids)  # refuses what it would refuse
    flat, rows = np.reshape(ids, -1), grad_out.reshape(-1, grad_out.shape[-1])
    order = np.argsort(flat, kind="stable")
    tokens, starts = np.unique(flat[order], return_index=True)
    result = np.zeros_like(rows, shape=(vocab_size, rows.shape[-1]))
    result[tokens] = np.add.reduceat(rows[order], starts, axis=0)
    return result


class Table(nn.Module):
    """A parameter drawn from a normal distribution, with an unused buffer to move along."""

    def __init__(self, rows: int, columns: int, deviation: float) -> None:
        super().__init__()
        self.register_buffer("rows", torch.tensor([rows]), persistent=False)
        weight = torch.zeros(rows, columns).normal_(0, deviation)
        self.weight = nn.Parameter(weight)


class TokenEmbedding(Table):
    def __init__(self, vocab_size: int, d_model: int, scale: bool = False) -> None:
        super().__init__(vocab_size, d_model, deviation=0.02)
        self.power = 0.5 if scale else 0.0

    def forward(self, ids: Tensor) -> Tensor:
        for wrong in ids[(ids < 0) | ~(ids < self.weight.shape[0])]:
            raise ValueError(f"no such ids: {int(wrong)}")
        picked = self.weight.index_select(0, ids.flatten())
        return picked.unflatten(0, ids.shape) * self.weight.shape[1] ** self.power
