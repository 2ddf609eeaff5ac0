"""The attention of exercise 5 with a mask, heads repeated by expanding.

Good for using what is there: with heads repeated, the attention of exercise 5 does the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex05_attention import scaled_dot_product_attention
from .ex06_masks import causal_mask
from .ex07_multi_head import merge_heads, split_heads
from .ex18_rope import rotate


def repeat_heads(x: Tensor, times: int) -> Tensor:
    return x.unsqueeze(2).expand(-1, -1, times, -1, -1).reshape(x.size(0), -1, x.size(2), x.size(3))


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int, base: float = 10000.0, bias: bool = False) -> None:
        super().__init__()
        for what, by in ((d_model, n_heads), (n_heads, n_kv_heads)):
            if what % by != 0:
                raise ValueError(f"{what} is not a multiple of {by}")
        self.heads, self.kv_heads, self.base = n_heads, n_kv_heads, base
        sizes = {
            "q": d_model,
            "k": d_model * n_kv_heads // n_heads,
            "v": d_model * n_kv_heads // n_heads,
            "out": d_model,
        }
        for name, size in sizes.items():
            setattr(self, f"{name}_proj", nn.Linear(d_model, size, bias=bias))

    def turned(self, x: Tensor, heads: int, start: int) -> Tensor:
        positions = start + torch.arange(x.size(1), device=x.device)
        return rotate(split_heads(x, heads), positions, base=self.base)

    def forward(self, x: Tensor, cache=None, layer: int = 0) -> Tensor:
        start = cache.held(layer) if cache is not None else 0
        q = self.turned(self.q_proj(x), self.heads, start)
        k = self.turned(self.k_proj(x), self.kv_heads, start)
        v = split_heads(self.v_proj(x), self.kv_heads)
        if cache is not None:
            k, v = cache.append(layer, k, v)
        k, v = (repeat_heads(each, self.heads // self.kv_heads) for each in (k, v))
        out, _ = scaled_dot_product_attention(q, k, v, causal_mask(k.size(2), x.device)[-x.size(1) :])
        return self.out_proj(merge_heads(out))


def cache_bytes(
    n_layers: int, n_kv_heads: int, d_head: int, length: int, batch_size: int = 1, bytes_per_number: int = 2
) -> int:
    keys = n_layers * n_kv_heads * d_head * length * batch_size * bytes_per_number
    values = keys
    return keys + values
