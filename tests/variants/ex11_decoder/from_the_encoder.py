"""Layer and stack inherit those of exercise 10 and add what is new; masks are looked at before they are used.

Good for short code: what exercise 10 has is inherited. Whoever changes the encoder then changes the decoder, too.
"""

from __future__ import annotations

from torch import Tensor

from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import Residual
from .ex10_encoder import Encoder, EncoderLayer


def needed(mask: Tensor | None) -> Tensor | None:
    """A mask that hides nothing is none."""
    return None if mask is None or bool(mask.all()) else mask


class DecoderLayer(EncoderLayer):
    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False) -> None:
        super().__init__(d_model, n_heads, d_ff, dropout, norm_first)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.cross_residual = Residual(d_model, dropout, norm_first)

    def forward(  # type: ignore[override]
        self, x: Tensor, memory: Tensor, self_mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        assert x.size(0) == memory.size(0), "a source for each target"
        back, across = needed(self_mask), needed(memory_mask)
        x = self.attention_residual(x, lambda h: self.self_attention(h, h, h, back))
        x = self.cross_residual(x, lambda h: self.cross_attention(h, memory, memory, across))
        out = self.feed_forward_residual(x, self.feed_forward)
        assert not out.isnan().any().item()
        return out


class Decoder(Encoder):
    def __init__(
        self, n_layers: int, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False
    ) -> None:
        super().__init__(n_layers, d_model, n_heads, d_ff, dropout, norm_first)
        for i in range(n_layers):
            self.layers[i] = DecoderLayer(d_model, n_heads, d_ff, dropout, norm_first)

    def forward(  # type: ignore[override]
        self, x: Tensor, memory: Tensor, self_mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory, self_mask=self_mask, memory_mask=memory_mask)
        return x if self.norm is None else self.norm(x)
