"""Parts go by other names as well, short ones and those of a dictionary; some of these were there first.

Good for moving between code bases: each part can be reached by two names.
"""

from __future__ import annotations

from torch import Tensor, nn

from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm, Residual
from .ex09_feed_forward import FeedForward


class DecoderLayer(nn.Module):
    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        back, across = (MultiHeadAttention(d_model, n_heads, dropout=dropout) for _ in range(2))
        network = FeedForward(d_model, d_ff, activation="relu", dropout=dropout)
        self.normed = nn.ModuleList([back, across, network])  # what stands in a frame with a norm
        self.attn = self.self_attention = back
        self.attention = self.cross_attention = across
        self.feed_forward = network
        self.attention_residual = Residual(d_model, dropout, norm_first)
        self.cross_residual = Residual(d_model, dropout, norm_first)
        self.feed_forward_residual = Residual(d_model, dropout, norm_first)
        self.by_name = nn.ModuleDict({"across": self.cross_attention, "back": self.attn, "ff": self.feed_forward})
        self.frame = self.cross_residual

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        x = self.attention_residual(x, lambda h: self.self_attention(h, mask=self_mask))
        x = self.cross_residual(x, lambda h: self.cross_attention(h, memory, mask=memory_mask))
        return self.feed_forward_residual(x, self.feed_forward)  # (B, T, D)


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
        options = (d_model, n_heads, d_ff, dropout, norm_first)
        self.blocks = nn.ModuleList(DecoderLayer(*options) for _ in range(n_layers))
        self.layers = nn.ModuleList(self.blocks)
        self.norm = LayerNorm(d_model) if norm_first else None

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory, self_mask, memory_mask)  # (B, T, D)
        return x if self.norm is None else self.norm(x)
