"""The tokens enter the cache one after the other, each with one row of weights, so that no mask is needed.

Good for simplicity: the newest token sees all that is held. A long text takes as many steps as it has tokens.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from . import ex18_rope


def repeat_heads(x, times):
    return torch.kron(x.contiguous(), torch.ones(1, times, 1, 1, dtype=x.dtype, device=x.device))


class Heads(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, x):
        return torch.stack(x.tensor_split(self.count, dim=-1), dim=1)


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, n_heads, n_kv_heads, base=10000.0, bias=False):
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError(f"d_model={d_model}, n_heads={n_heads}: not divisible")
        if n_heads % n_kv_heads != 0:
            raise ValueError(f"n_heads={n_heads}, n_kv_heads={n_kv_heads}: not divisible")
        narrow = n_kv_heads * (d_model // n_heads)
        self.queries, self.few, self.times = Heads(n_heads), Heads(n_kv_heads), n_heads // n_kv_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, narrow, bias=bias)
        self.v_proj = nn.Linear(d_model, narrow, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)
        self.turn = lambda vectors, positions: ex18_rope.rotate(vectors, positions, base)

    def forward(self, x, cache=None, layer=0):
        first = cache.held(layer) if cache is not None else 0
        positions = first + torch.arange(x.shape[1], device=x.device)
        q = self.turn(self.queries(self.q_proj(x)), positions)
        k = self.turn(self.few(self.k_proj(x)), positions)
        v = self.few(self.v_proj(x))
        rows = []
        for t in range(x.shape[1]):
            if cache is None:
                keys, values = k[:, :, : t + 1], v[:, :, : t + 1]
            else:
                keys, values = cache.append(layer, k[:, :, t : t + 1], v[:, :, t : t + 1])
            keys, values = repeat_heads(keys, self.times), repeat_heads(values, self.times)
            weights = torch.softmax((q[:, :, t : t + 1] * keys).sum(-1) / math.sqrt(q.shape[-1]), dim=-1)  # (B, H, n)
            rows.append((weights.unsqueeze(-1) * values).sum(2).flatten(1))  # (B, D)
        return self.out_proj(torch.stack(rows, dim=1))


def cache_bytes(n_layers, n_kv_heads, d_head, length, batch_size=1, bytes_per_number=2):
    return 2 * sum(n_kv_heads * d_head * bytes_per_number for _ in range(n_layers)) * length * batch_size
