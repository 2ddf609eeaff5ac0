"""The sublayers as functions with query, key and value by hand; a mask is made if none is given; a fold over layers.

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


class EncoderLayer(nn.Module):
    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False) -> None:
        super().__init__()
        self.heads = n_heads
        for name in ("attention_residual", "feed_forward_residual"):
            self.add_module(name, Residual(d_model, dropout, norm_first))
        self.self_attention = MultiHeadAttention(d_model, n_heads, True, dropout)
        self.feed_forward = FeedForward(d_model, d_ff, "relu", dropout)

    def visible(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        if mask is None:
            mask = torch.ones(length, length, dtype=torch.bool, device=x.device)
        return mask.expand(batch, self.heads, length, length)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        seen = self.visible(x, mask)

        def gather(tokens: Tensor) -> Tensor:
            out, _ = self.self_attention(tokens, key=tokens, value=tokens, mask=seen, return_weights=True)
            return out

        def think(tokens: Tensor) -> Tensor:
            return self.feed_forward(tokens)

        for frame, sublayer in ((self.attention_residual, gather), (self.feed_forward_residual, think)):
            x = frame(x, sublayer)
        return x


class Encoder(nn.Module):
    def __init__(self, n_layers: int, *sizes: Any, **options: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(n_layers):
            self.layers.append(EncoderLayer(*sizes, **options))
        first = options.get("norm_first", len(sizes) > 4 and sizes[4])
        self.norm = LayerNorm(options["d_model"] if "d_model" in options else sizes[0]) if first else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out = reduce(lambda stream, layer: layer(stream, mask), self.layers, x)
        return self.norm(out) if self.norm else out
