"""A layer that inherits the encoder's and is given one more part; the final norm is chosen when it is called.

Good for saying what is new: a decoder's layer is an encoder's with one part more.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm, Residual
from .ex09_feed_forward import FeedForward


class Reader(nn.Module):
    """What encoder and decoder have in common: to look back and to think."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.attention_residual, self.feed_forward_residual = (Residual(d_model, dropout, norm_first) for _ in range(2))
        self.self_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.feed_forward = FeedForward(d_model, d_ff, dropout=dropout, activation="relu")

    def look_back(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.attention_residual(x, lambda h: self.self_attention(h, None, None, mask))

    def think(self, x: Tensor) -> Tensor:
        return self.feed_forward_residual(x, self.feed_forward)


class DecoderLayer(Reader):
    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False) -> None:
        super().__init__(d_model, n_heads, d_ff, dropout, norm_first)
        self.cross_residual = Residual(d_model, dropout, norm_first)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)

    def across(self, memory: Tensor, mask: Tensor | None) -> Callable[[Tensor], Tensor]:
        if mask is None:
            return lambda h: self.cross_attention(h, memory)
        return lambda h: self.cross_attention(h, key=memory, mask=mask)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        return self.think(self.cross_residual(self.look_back(x, self_mask), self.across(memory, memory_mask)))


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
        self.register_module("norm", LayerNorm(d_model) if norm_first else None)
        layers = [DecoderLayer(d_model, n_heads, d_ff, dropout, norm_first) for _ in range(n_layers)]
        self.layers = nn.ModuleList(layers)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        masks = {"self_mask": self_mask, "memory_mask": memory_mask}
        waiting = list(self.layers)
        while waiting:
            x = waiting.pop(0)(x, memory, **masks)
        finish = self.norm or nn.Identity()
        return finish(x)
