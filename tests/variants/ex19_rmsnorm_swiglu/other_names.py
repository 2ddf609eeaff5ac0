"""Parameters and layers under names of its own, those that are asked for by a property and `__getattr__`.

Good for checkpoints that use other names: a state dict loads as it is.
"""

from __future__ import annotations

import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(d_model))
        self.epsilon = eps

    @property
    def weight(self):
        return self.scale

    def forward(self, x):
        y = x.to(torch.promote_types(x.dtype, torch.float32))
        square = torch.einsum("...d,...d->...", y, y)[..., None] / y.shape[-1]
        return (y * (square + self.epsilon).pow(-0.5) * self.scale).to(x.dtype)


def silu(x):
    return torch.mul(torch.special.expit(x), x)


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff, bias=False):
        super().__init__()
        self.ins = nn.ModuleList(nn.Linear(d_model, d_ff, bias=bias) for _ in range(2))
        self.out = nn.Sequential(nn.Linear(d_ff, d_model, bias=bias))

    def __getattr__(self, name):
        places = {"gate": ("ins", 0), "up": ("ins", 1), "down": ("out", 0)}
        owner, place = places.get(name, (name, None))
        found = super().__getattr__(owner)
        return found if place is None else found[place]

    def forward(self, x):
        gate, up = (layer(x) for layer in self.ins)
        return self.out(silu(gate) * up)


def swiglu_width(d_model, multiple_of=1):
    last = 8 * d_model + multiple_of
    return next(width for width in range(multiple_of, last + 1, multiple_of) if 3 * width >= 8 * d_model)
