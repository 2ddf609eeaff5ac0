"""Parts go by other names as well, short ones and those of a list; some of these were there first.

Good for moving between code bases: each part can be reached by two names.
"""

from __future__ import annotations

from torch import Tensor, nn

from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm, Residual
from .ex09_feed_forward import FeedForward


class EncoderLayer(nn.Module):
    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        network = FeedForward(d_model, d_ff, activation="relu", dropout=dropout)
        self.normed = nn.ModuleList([attention, network])  # what stands in a frame with a norm
        self.attn = self.self_attention = attention
        self.feed_forward = network
        self.attention_residual = Residual(d_model, dropout, norm_first)
        self.feed_forward_residual = Residual(d_model, dropout, norm_first)
        self.attention, self.ff = self.attn, self.feed_forward
        self.frames = nn.ModuleList([self.attention_residual, self.feed_forward_residual])
        self.down, self.norm = self.ff.down, self.frames[0].norm

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.attention_residual(x, lambda h: self.self_attention(h, mask=mask))  # (B, T, D)
        return self.feed_forward_residual(x, self.feed_forward)  # (B, T, D)


class Encoder(nn.Module):
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
        self.blocks = nn.ModuleList(EncoderLayer(*options) for _ in range(n_layers))
        self.layers = self.blocks
        self.norm = LayerNorm(d_model) if norm_first else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for layer in self.blocks:
            x = layer(x, mask)  # (B, T, D)
        return x if self.norm is None else self.norm(x)
