"""A general stack from which the encoder inherits, a dictionary of options, and the layers called by recursion.

Good for several kinds of stacks: what they share is written once.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm, Residual
from .ex09_feed_forward import FeedForward


class SelfAttention(MultiHeadAttention):
    """An attention that has its mask set before it is called with one argument."""

    def masked(self, mask: Tensor | None) -> Callable[[Tensor], Tensor]:
        def attend(x: Tensor) -> Tensor:
            return self(x) if mask is None else self(x, mask=mask)

        return attend


class EncoderLayer(nn.Module):
    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False) -> None:
        super().__init__()
        drops, frame = {"dropout": dropout}, {"dropout": dropout, "norm_first": norm_first}
        self.attention_residual = Residual(d_model, **frame)
        self.self_attention = SelfAttention(d_model, n_heads, **drops)
        self.feed_forward_residual = Residual(d_model, **frame)
        self.feed_forward = FeedForward(d_model, d_ff, activation="relu", **drops)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        heard = self.attention_residual(x, self.self_attention.masked(mask))
        return self.feed_forward_residual(heard, lambda tokens: self.feed_forward(tokens))


class Stack(nn.Module):
    """Layers on top of each other, whatever they are, and perhaps a norm."""

    def __init__(self, layers: list[nn.Module], norm: nn.Module | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.register_module("norm", norm)

    def climb(self, floor: int, x: Tensor, *rest: Tensor | None) -> Tensor:
        if floor == len(self.layers):
            return x
        return self.climb(floor + 1, self.layers[floor](x, *rest), *rest)

    def forward(self, x: Tensor, *rest: Tensor | None) -> Tensor:
        top = self.climb(0, x, *rest)
        return top if self.norm is None else self.norm(top)


class Encoder(Stack):
    def __init__(
        self,
        n_layers: int,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        layers: list[nn.Module] = []
        while len(layers) < n_layers:
            layers.append(EncoderLayer(d_model, n_heads, d_ff, dropout, norm_first))
        super().__init__(layers, LayerNorm(d_model) if norm_first else None)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask)
