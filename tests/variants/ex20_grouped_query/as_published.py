"""In the form of published Llama code: a mask that is added, heads that are expanded, weights in float32.

Good for low precision: whatever the scores come in, their exponentials and sums are float32.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from .ex18_rope import rotate


def repeat_heads(x, times):
    batch, heads, length, width = x.shape
    return x[:, :, None].expand(batch, heads, times, length, width).reshape(batch, heads * times, length, width)


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, n_heads, n_kv_heads, base=10000.0, bias=False):
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError(f"d_model ({d_model}) % n_heads ({n_heads}) != 0")
        if n_heads % n_kv_heads != 0:
            raise ValueError(f"n_heads ({n_heads}) % n_kv_heads ({n_kv_heads}) != 0")
        self.n_heads, self.n_kv_heads, self.d_head, self.base = n_heads, n_kv_heads, d_model // n_heads, base
        self.q_proj = nn.Linear(d_model, n_heads * self.d_head, bias=bias)
        self.k_proj = nn.Linear(d_model, n_kv_heads * self.d_head, bias=bias)
        self.v_proj = nn.Linear(d_model, n_kv_heads * self.d_head, bias=bias)
        self.out_proj = nn.Linear(n_heads * self.d_head, d_model, bias=bias)

    def forward(self, x, cache=None, layer=0):
        batch, length, _ = x.shape
        start = cache.held(layer) if cache is not None else 0
        q = self.q_proj(x).view(batch, length, self.n_heads, self.d_head).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, self.n_kv_heads, self.d_head).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.n_kv_heads, self.d_head).transpose(1, 2)
        positions = torch.arange(start, start + length, device=x.device)
        q, k = rotate(q, positions, self.base), rotate(k, positions, self.base)
        if cache is not None:
            k, v = cache.append(layer, k, v)
        times = self.n_heads // self.n_kv_heads
        scores = q @ repeat_heads(k, times).transpose(2, 3) / math.sqrt(self.d_head)
        if length > 1:
            hidden = torch.full((length, length), -math.inf, device=x.device).triu(diagonal=1)
            scores = scores + torch.hstack((torch.zeros(length, start, device=x.device), hidden)).type_as(scores)
        weights = F.softmax(scores.float(), dim=-1).type_as(q)
        mixed = weights @ repeat_heads(v, times)
        return self.out_proj(mixed.transpose(1, 2).contiguous().view(batch, length, -1))


def cache_bytes(n_layers, n_kv_heads, d_head, length, batch_size=1, bytes_per_number=2):
    keys = values = batch_size * length * n_kv_heads * d_head
    return n_layers * (keys + values) * bytes_per_number
