"""Five axes and einsum; keys and values from one product; the projections stand in a list of the layer's own.

Good for moving between code bases: each part can be reached by two names.
"""

from __future__ import annotations

import torch
from torch import nn

from .ex18_rope import rotate


def repeat_heads(x, times):
    batch, heads, length, width = x.shape
    return x[:, :, None].expand(batch, heads, times, length, width).reshape(batch, heads * times, length, width)


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, n_heads, n_kv_heads, base=10000.0, bias=False):
        super().__init__()
        for whole, part in ((d_model, n_heads), (n_heads, n_kv_heads)):
            if whole % part:
                raise ValueError(f"{whole} cannot be divided by {part}")
        self.d, self.groups, self.times, self.base = d_model // n_heads, n_kv_heads, n_heads // n_kv_heads, base
        narrow = self.d * n_kv_heads
        self.parts = nn.ModuleList(nn.Linear(d_model, out, bias) for out in (d_model, narrow, narrow, d_model))
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = self.parts

    def forward(self, x, cache=None, layer=0):
        b, t, _ = x.shape
        held = cache.held(layer) if cache is not None else 0
        places = torch.arange(t, device=x.device) + held
        q, k, v = (part(x).view(b, t, -1, self.d).transpose(1, 2) for part in self.parts[:3])
        q, k = rotate(q, places, self.base), rotate(k, places, self.base)
        if cache is not None:
            k, v = cache.append(layer, k, v)
        q = q.reshape(b, self.groups, self.times, t, self.d) * self.d**-0.5
        scores = torch.einsum("bgrqd,bgkd->bgrqk", q, k)
        seen = torch.arange(k.size(2), device=x.device) <= places[:, None]
        weights = torch.where(seen, scores, scores.new_full((), -torch.inf)).softmax(-1)
        return self.out_proj(torch.einsum("bgrqk,bgkd->bqgrd", weights, v).reshape(b, t, -1))


def cache_bytes(n_layers, n_kv_heads, d_head, length, batch_size=1, bytes_per_number=2):
    one = bytes_per_number * d_head
    return sum(one * n_kv_heads * length * batch_size for _ in range(2 * n_layers))
