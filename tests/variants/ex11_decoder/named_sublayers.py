"""Looking back, across and thinking as nested functions; masks made and widened to the weights' shape; a fold.

Good for debugging: a function with a name can be stepped into, and a traceback shows it; of a lambda it shows
`<lambda>`.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm, Residual
from .ex09_feed_forward import FeedForward


class DecoderLayer(nn.Module):
    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False) -> None:
        super().__init__()
        self.heads = n_heads
        for name in ("attention", "cross", "feed_forward"):
            self.add_module(f"{name}_residual", Residual(d_model, dropout, norm_first))
        for name in ("self", "cross"):
            self.add_module(f"{name}_attention", MultiHeadAttention(d_model, n_heads, True, dropout))
        self.feed_forward = FeedForward(d_model, d_ff, "relu", dropout)

    def widened(self, mask: Tensor | None, asking: Tensor, asked: Tensor) -> Tensor:
        if mask is None:
            mask = torch.ones(1, 1, dtype=torch.bool, device=asking.device)
        return mask.expand(asking.size(0), self.heads, asking.size(1), asked.size(1))

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        def look_back(h: Tensor) -> Tensor:
            out, _ = self.self_attention(h, h, h, self.widened(self_mask, h, h), return_weights=True)
            return out

        def look_across(h: Tensor) -> Tensor:
            out, _ = self.cross_attention(h, memory, memory, self.widened(memory_mask, h, memory), True)
            return out

        def think(h: Tensor) -> Tensor:
            return self.feed_forward(h)

        written = self.attention_residual(x, look_back)
        translated = self.cross_residual(written, look_across)
        return self.feed_forward_residual(translated, think)


class Decoder(nn.Module):
    def __init__(self, n_layers: int, *sizes: Any, **options: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(n_layers):
            self.layers.append(DecoderLayer(*sizes, **options))
        first = options.get("norm_first", len(sizes) > 4 and sizes[4])
        self.norm = LayerNorm(options["d_model"] if "d_model" in options else sizes[0]) if first else None

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        out = reduce(lambda stream, layer: layer(stream, memory, self_mask, memory_mask), self.layers, x)
        return self.norm(out) if self.norm else out
