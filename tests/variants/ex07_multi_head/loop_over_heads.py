"""Multi-head attention one head after the other, each on its columns; the softmax and its mask written out.

Good for seeing that heads are attentions side by side. H small products are slower than one large.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


def merge_heads(x: Tensor) -> Tensor:
    return torch.cat([x[:, head] for head in range(x.size(1))], dim=-1)


def distribution(scores: Tensor, mask: Tensor | None) -> Tensor:
    """A softmax over the keys that gives zeros where there is nothing to attend to."""
    if mask is None:
        return scores.softmax(-1)
    floor = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, floor).softmax(-1).masked_fill(~mask, 0.0)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if d_model // n_heads * n_heads != d_model:
            raise ValueError(f"d_model must be a multiple of n_heads, got {d_model} and {n_heads}")
        if dropout < 0 or dropout > 1:
            raise ValueError(f"dropout has to be in [0, 1], got {dropout}")
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            self.add_module(name, nn.Linear(in_features=d_model, out_features=d_model, bias=bias))
        self.d_model, self.n_heads, self.p = d_model, n_heads, dropout

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        key = key if key is not None else query
        value = value if value is not None else key
        if mask is not None:
            mask = mask.expand(query.size(0), self.n_heads, query.size(1), key.size(1))
        width = self.d_model // self.n_heads
        queries, keys, values = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        answers, looks = [], []
        for head in range(self.n_heads):
            columns = slice(head * width, (head + 1) * width)
            scores = queries[..., columns].bmm(keys[..., columns].mT) / width**0.5
            look = distribution(scores, None if mask is None else mask[:, head])
            answers.append(F.dropout(look, self.p, training=self.training).bmm(values[..., columns]))
            looks.append(look)
        out = self.out_proj(torch.cat(answers, dim=2))
        return (out, torch.stack(looks, dim=1)) if return_weights else out
