"""Sublayers and their frames as pairs in one list, the stack's parts in a dict; what is asked for are properties.

Good for layers of more than two sublayers: a third is one more pair. The names of saved weights say less.
"""

from __future__ import annotations

from torch import Tensor, nn

from ex07_multi_head import MultiHeadAttention
from ex08_residual_norm import LayerNorm, Residual
from ex09_feed_forward import FeedForward


class EncoderLayer(nn.Module):
    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False) -> None:
        super().__init__()
        sublayers = (
            MultiHeadAttention(d_model, n_heads, dropout=dropout),
            FeedForward(d_model, d_ff, activation="relu", dropout=dropout),
        )
        self.steps = nn.ModuleList(
            nn.ModuleList([sublayer, Residual(d_model, dropout, norm_first)]) for sublayer in sublayers
        )

    self_attention = property(lambda self: self.steps[0][0])
    attention_residual = property(lambda self: self.steps[0][1])
    feed_forward = property(lambda self: self.steps[1][0])
    feed_forward_residual = property(lambda self: self.steps[1][1])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for sublayer, frame in self.steps:
            options = {"mask": mask} if isinstance(sublayer, MultiHeadAttention) else {}
            x = frame(x, lambda h, sublayer=sublayer, options=options: sublayer(h, **options))
        return x


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
        layers = (EncoderLayer(d_model, n_heads, d_ff, dropout, norm_first) for _ in range(n_layers))
        end = LayerNorm(d_model) if norm_first else nn.Identity()
        self.parts = nn.ModuleDict({"stack": nn.ModuleList(layers), "end": end})

    @property
    def layers(self) -> nn.ModuleList:
        return self.parts["stack"]

    @property
    def norm(self) -> LayerNorm | None:
        return None if isinstance(self.parts["end"], nn.Identity) else self.parts["end"]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask=mask)
        return self.parts["end"](x)
