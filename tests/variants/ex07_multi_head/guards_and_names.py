"""Guards that look at values, a fast path where the mask hides nothing, Xavier's weights, names for what goes on.

Good for a first version: the asserts explain a wrong input before PyTorch does. On a GPU, looking at values means
waiting.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .ex06_masks import masked_softmax


class Heads(NamedTuple):
    queries: Tensor
    keys: Tensor
    values: Tensor


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    batch, length, d_model = x.shape
    assert d_model % n_heads == 0, "every head needs as many columns as the others"
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1).reshape(batch, n_heads, length, d_model // n_heads)


def merge_heads(x: Tensor) -> Tensor:
    return torch.cat(x.unbind(1), dim=-1)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"{d_model} columns can't be shared out among {n_heads} heads")
        if dropout < 0 or dropout > 1:
            raise ValueError(f"not a probability: {dropout}")
        self.heads, self.p = n_heads, dropout
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            layer = nn.Linear(d_model, d_model, bias=bias)
            nn.init.xavier_uniform_(layer.weight)
            self.add_module(name, layer)

    def _project(self, query: Tensor, key: Tensor | None, value: Tensor | None) -> Heads:
        key = query if key is None else key
        value = key if value is None else value
        pairs = ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        return Heads(*(split_heads(layer(x), self.heads) for layer, x in pairs))

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        assert not torch.isnan(query).any(), "NaN in the query"
        heads = self._project(query, key, value)
        scores = heads.queries @ heads.keys.mT * heads.keys.size(-1) ** -0.5
        everything = mask is None or mask.all()
        weights = scores.softmax(dim=-1) if everything else masked_softmax(scores, mask)
        dropped = nn.functional.dropout(weights, self.p, self.training)
        out = self.out_proj(merge_heads(dropped @ heads.values))
        if return_weights:
            return out, weights
        return out
