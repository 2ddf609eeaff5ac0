"""Parts and layers as deep copies, masks carried along by `partial`, keywords throughout, a buffer on top.

Good for layers that shall begin with the same weights. Usually each draws its own.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm, Residual
from .ex09_feed_forward import FeedForward


class DecoderLayer(nn.Module):
    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False) -> None:
        super().__init__()
        frame = Residual(d_model=d_model, dropout=dropout, norm_first=norm_first)
        self.feed_forward_residual, self.cross_residual = deepcopy(frame), deepcopy(frame)
        self.attention_residual = frame
        self.feed_forward = FeedForward(d_model=d_model, d_ff=d_ff, activation="relu", dropout=dropout)
        self.cross_attention = MultiHeadAttention(d_model=d_model, n_heads=n_heads, dropout=dropout)
        self.self_attention = deepcopy(self.cross_attention)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        back = partial(self.self_attention, mask=self_mask)
        across = partial(self.cross_attention, key=memory, value=memory, mask=memory_mask)
        for frame, sublayer in (
            (self.attention_residual, back),
            (self.cross_residual, across),
            (self.feed_forward_residual, self.feed_forward),
        ):
            x = frame(x, sublayer=sublayer)
        return x


class Decoder(nn.Module):
    def __init__(
        self,
        n_layers: int,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        pattern = DecoderLayer(d_model, n_heads, d_ff, dropout=dropout, norm_first=norm_first)
        self.layers = nn.ModuleList([deepcopy(pattern) for _ in range(n_layers)])
        self.norm = None
        if norm_first:
            self.norm = LayerNorm(d_model=d_model)
        self.register_buffer("depth", torch.tensor(n_layers))

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        for i in range(len(self.layers)):
            x = self.layers[i](memory=memory, x=x, memory_mask=memory_mask, self_mask=self_mask)
        if self.norm is not None:
            x = self.norm(x)
        return x
