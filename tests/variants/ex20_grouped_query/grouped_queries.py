"""The queries are grouped, and no key is repeated; heads are repeated by indexing.

Good for memory: keys and values are read as they are in the cache, and no copy is made for each head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex18_rope import rotate


def repeat_heads(x: Tensor, times: int) -> Tensor:
    return x[:, torch.arange(x.size(1) * times, device=x.device) // times]


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, n_heads, n_kv_heads, base=10000.0, bias=False):
        super().__init__()
        self.d, rest = divmod(d_model, n_heads)
        if rest:
            raise ValueError(f"{d_model} columns can't be cut into {n_heads} heads")
        self.times, rest = divmod(n_heads, n_kv_heads)
        if rest:
            raise ValueError(f"{n_heads} heads can't share {n_kv_heads}")
        self.groups, self.base = n_kv_heads, base
        self.q_proj, self.out_proj = (nn.Linear(d_model, d_model, bias) for _ in range(2))
        self.k_proj, self.v_proj = (nn.Linear(d_model, n_kv_heads * self.d, bias) for _ in range(2))

    def forward(self, x, cache=None, layer=0):
        batch, length, width = x.shape
        before = cache.held(layer) if cache is not None else 0
        at = torch.arange(before, before + length, device=x.device)
        q = self.q_proj(x).view(batch, length, self.groups * self.times, self.d).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, self.groups, self.d).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.groups, self.d).transpose(1, 2)
        q, k = rotate(q, at, self.base), rotate(k, at, self.base)
        if cache is not None:
            k, v = cache.append(layer, k, v)
        q = q.view(batch, self.groups, self.times, length, self.d)
        scores = torch.einsum("bgtid,bgjd->bgtij", q, k) * self.d**-0.5
        hidden = torch.arange(before + length, device=x.device) > at[:, None]
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        mixed = torch.einsum("bgtij,bgjd->bigtd", weights, v)
        return self.out_proj(mixed.reshape(batch, length, width))


def cache_bytes(n_layers, n_kv_heads, d_head, length, batch_size=1, bytes_per_number=2):
    per_token = 2 * n_kv_heads * d_head * bytes_per_number
    return n_layers * batch_size * length * per_token
