"""Guards that look at values, a table of activations, the probability from `torch.distributions`, dropout twice.

Good for many activations: a new one is a new row of the table.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Normal

ROOT = (2 / torch.pi) ** 0.5


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    assert not torch.isnan(x).any(), "NaN has no place here"
    if approximate == "none":
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        standard = Normal(torch.zeros_like(wide), torch.ones_like(wide))
        return x * standard.cdf(wide).to(x.dtype)
    if approximate == "tanh":
        inner = ROOT * x * (1 + 0.044715 * x.square())
        return 0.5 * x + 0.5 * x * inner.tanh()
    raise ValueError(f"there is no approximation called {approximate}")


class FeedForward(nn.Module):
    TABLE = {"relu": nn.functional.relu, "gelu": gelu, "gelu_tanh": lambda x: gelu(x, "tanh")}  # noqa: RUF012

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        activation: str = "gelu",
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        try:
            self.bend = self.TABLE[activation]
        except KeyError:
            raise ValueError(f"{activation}? Choose one of {', '.join(self.TABLE)}") from None
        self.up = nn.Linear(d_model, d_ff or 4 * d_model, bias)
        self.down = nn.Linear(d_ff or 4 * d_model, d_model, bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        if not x.isfinite().all():
            raise ValueError("the input is not finite")
        return self.drop(self.down(self.drop(self.bend(self.up(x)))))
