"""Loops over single ids in NumPy, `gather` in PyTorch, the gradient's additions in float64.

Good for checking: a loop over single ids shows what indexing does at once.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def _check(ids: list[int], rows: int) -> None:
    bad = next((i for i in ids if i < 0 or i > rows - 1), None)
    if bad is not None:
        raise ValueError(f"expected ids in [0, {rows}), got {bad}")


def embedding_lookup(weight: NDArray, ids: NDArray) -> NDArray:
    _check(ids.flatten().tolist(), len(weight))
    out = np.empty((*ids.shape, weight.shape[-1]), dtype=weight.dtype)
    for place, token in np.ndenumerate(ids):
        out[place] = weight[token]
    return out


def embedding_grad(grad_out: NDArray, ids: NDArray, vocab_size: int) -> NDArray:
    _check(ids.flatten().tolist(), vocab_size)
    total = np.zeros((vocab_size, grad_out.shape[-1]))
    for place, token in np.ndenumerate(ids):
        total[token] = total[token] + grad_out[place]
    return total.astype(grad_out.dtype)


class TokenEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int, scale: bool = False) -> None:
        super().__init__()
        self.multiplier = pow(d_model, 0.5) if scale else None
        drawn = torch.normal(mean=0.0, std=0.02, size=(vocab_size, d_model))
        self.weight = nn.Parameter(data=drawn, requires_grad=True)

    def forward(self, ids: Tensor) -> Tensor:
        rows, width = self.weight.size()
        _check(ids.reshape(-1).tolist(), rows)
        flat = ids.reshape(-1, 1).expand(-1, width)  # (B T, D), each id once for each column
        read = torch.gather(self.weight, dim=0, index=flat).view(*ids.size(), width)
        return read if self.multiplier is None else self.multiplier * read
