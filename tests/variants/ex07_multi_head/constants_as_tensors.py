"""Multi-head attention whose scale is a tensor, in a buffer: float32 next to inputs in float64.

Good for a scale that goes where the module goes: a buffer follows `.to(device)`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex06_masks import masked_softmax


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


def merge_heads(x: Tensor) -> Tensor:
    return torch.cat(x.unbind(dim=1), dim=-1)


class MultiHeadAttention(nn.Module):
    scale: Tensor

    def __init__(self, d_model: int, n_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError(f"{n_heads} heads can't share a width of {d_model}")
        self.n_heads = n_heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            self.add_module(name, nn.Linear(d_model, d_model, bias=bias))
        self.drop = nn.Dropout(dropout)
        self.register_buffer("scale", torch.sqrt(torch.FloatTensor([d_model // n_heads])))

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = (
            split_heads(layer(x), self.n_heads)
            for layer, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        scores = torch.matmul(q, k.permute(0, 1, 3, 2)) / self.scale.to(q.device, q.dtype)
        weights = scores.softmax(dim=-1) if mask is None else masked_softmax(scores, mask)
        out = self.out_proj(merge_heads(torch.matmul(self.drop(weights), v)))
        return (out, weights) if return_weights else out
