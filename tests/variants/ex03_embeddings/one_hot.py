"""Lookups as products with one-hot rows, forwards and backwards, as the lesson's mathematics writes them.

Good for seeing that a lookup is a linear layer without a bias. The table of ones and zeros costs V numbers for each
token.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def _one_hot(ids: NDArray, vocab_size: int, dtype: np.dtype) -> NDArray:
    flat = np.asarray(ids).ravel()
    for token in flat:
        if not 0 <= token < vocab_size:
            raise ValueError(f"ids: {token} is no row of a table of {vocab_size}")
    return (flat[:, np.newaxis] == np.arange(vocab_size)).astype(dtype)  # (N, V)


def embedding_lookup(weight: NDArray, ids: NDArray) -> NDArray:
    rows = _one_hot(ids, weight.shape[0], weight.dtype) @ weight
    return rows.reshape(*np.shape(ids), weight.shape[1])


def embedding_grad(grad_out: NDArray, ids: NDArray, vocab_size: int) -> NDArray:
    return _one_hot(ids, vocab_size, grad_out.dtype).T @ grad_out.reshape(-1, grad_out.shape[-1])


class TokenEmbedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int, scale: bool = False) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(d_model**0.5 if scale else 1.0, dtype=torch.float64))
        self.register_parameter("weight", nn.Parameter(torch.empty(vocab_size, d_model)))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        vocab_size = self.weight.shape[0]
        if (ids.min() < 0) | (ids.max() >= vocab_size):
            wrong = [token for token in ids.flatten().tolist() if token < 0 or token >= vocab_size]
            raise ValueError(f"ids must be tokens of the vocabulary (0 to {vocab_size - 1}): {wrong}")
        table = self.weight * self.factor.to(self.weight.dtype)
        one_hot = torch.zeros(*ids.shape, vocab_size, dtype=table.dtype, device=table.device)
        return one_hot.scatter(-1, ids.unsqueeze(-1), 1.0) @ table
