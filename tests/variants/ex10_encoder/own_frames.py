"""Frames, attention and network by subclasses with a method of their own; the stack is a module list itself.

Good for changing one part: a subclass overrides what is different and keeps the rest.
"""

from __future__ import annotations

from torch import Tensor, nn

from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm, Residual
from .ex09_feed_forward import FeedForward


class Relu(FeedForward):
    def __init__(self, d_model: int, d_ff: int, dropout: float) -> None:
        super().__init__(d_model, d_ff, "relu", dropout)


class Around(Residual):
    """A residual frame that takes what its sublayer needs besides the stream."""

    def around(self, x: Tensor, sublayer: nn.Module, **more: Tensor | None) -> Tensor:
        def called(h: Tensor) -> Tensor:
            return sublayer(h, **more)

        return self(x, called)


class EncoderLayer(nn.Module):
    norm_by_default = False

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.attention_residual = Around(d_model, dropout, norm_first or self.norm_by_default)
        self.feed_forward = Relu(d_model, d_ff, dropout)
        self.feed_forward_residual = Around(d_model, dropout, norm_first or self.norm_by_default)
        self.parts = nn.ModuleDict({"attention": self.self_attention, "network": self.feed_forward})  # a second way in

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.attention_residual.around(x, self.parts["attention"], mask=mask)
        return self.feed_forward_residual.around(x, self.parts["network"])


class Layers(nn.ModuleList):
    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for i in range(len(self)):
            x = self[i].forward(x, mask=mask)
        return x


class Encoder(nn.Module):
    def __init__(
        self, n_layers: int, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False
    ) -> None:
        super().__init__()
        self.layers = Layers([EncoderLayer(d_model, n_heads, d_ff, dropout, norm_first) for _ in range(n_layers)])
        self.norm = LayerNorm(d_model) if norm_first else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.layers(x, mask)
        return self.norm(x) if self.norm else x
