"""Head by head in a loop, which reads its group's keys and values; no head is repeated.

Good for seeing which query reads which keys. A loop over heads is slower than one product.
"""

from __future__ import annotations

import torch
from torch import nn

from .ex06_masks import masked_softmax
from .ex18_rope import rotate


def repeat_heads(x, times):
    return torch.stack([head for head in x.unbind(1) for _ in range(times)], dim=1)


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, n_heads, n_kv_heads, base=10000.0, bias=False):
        if d_model % n_heads or n_heads % n_kv_heads:
            raise ValueError(f"these numbers don't divide: {d_model}, {n_heads}, {n_kv_heads}")
        super().__init__()
        self.n_heads, self.n_kv_heads, self.base = n_heads, n_kv_heads, base
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model // n_heads * n_kv_heads, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model // n_heads * n_kv_heads, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, cache=None, layer=0):
        held = 0 if cache is None else cache.held(layer)
        positions = torch.arange(held, held + x.shape[1], device=x.device)
        queries = [rotate(q, positions, self.base) for q in self.q_proj(x).chunk(self.n_heads, -1)]
        keys = torch.stack([rotate(k, positions, self.base) for k in self.k_proj(x).chunk(self.n_kv_heads, -1)], 1)
        values = torch.stack(self.v_proj(x).chunk(self.n_kv_heads, -1), 1)
        if cache is not None:
            keys, values = cache.append(layer, keys, values)
        total = keys.shape[2]
        mask = torch.ones(x.shape[1], total, dtype=torch.bool, device=x.device).tril(total - x.shape[1])
        times, mixed = self.n_heads // self.n_kv_heads, []
        for number, q in enumerate(queries):
            group = number // times
            weights = masked_softmax(q @ keys[:, group].mT / q.shape[-1] ** 0.5, mask)
            mixed.append(weights @ values[:, group])
        return self.out_proj(torch.cat(mixed, -1))


def cache_bytes(n_layers, n_kv_heads, d_head, length, batch_size=1, bytes_per_number=2):
    total = 0
    for _kind in ("keys", "values"):
        total += n_layers * n_kv_heads * d_head * length * batch_size
    return total * bytes_per_number
