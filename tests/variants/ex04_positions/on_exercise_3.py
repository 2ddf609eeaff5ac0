"""The learned layer as a token embedding of exercise 3 whose tokens are places; rotations by einsum.

Good for using what is there: learned positions are an embedding whose ids are 0, 1, 2, ...
"""

from __future__ import annotations

import torch
from torch import nn

from .ex03_embeddings import TokenEmbedding


def _speeds(d_model, base):
    return torch.tensor([base ** (-i / d_model) for i in range(0, d_model, 2)], dtype=torch.float64)


def sinusoidal_encoding(length, d_model, base=10000.0):
    if d_model % 2 == 1:
        raise ValueError(f"d_model={d_model}")
    angles = torch.einsum("t,i->ti", torch.arange(length).double(), _speeds(d_model, base))
    return torch.dstack((torch.sin(angles), torch.cos(angles))).reshape(length, d_model).to(torch.float32)


def shift_matrix(offset, d_model, base=10000.0):
    here = torch.stack([torch.zeros(d_model // 2), torch.ones(d_model // 2)], 1).flatten()
    turned = offset * _speeds(d_model, base)
    matrix = torch.zeros(d_model, d_model)
    for i, angle in enumerate(turned.tolist()):
        block = torch.linalg.matrix_exp(torch.tensor([[0.0, angle], [-angle, 0.0]], dtype=torch.float64))
        matrix[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = block
    assert here.shape == (d_model,)
    return matrix


class SinusoidalPositions(nn.Module):
    pe: torch.Tensor

    def __init__(self, max_len, d_model):
        nn.Module.__init__(self)
        self.register_buffer(name="pe", tensor=sinusoidal_encoding(max_len, d_model), persistent=False)
        self.register_buffer("max_len", torch.tensor(max_len), persistent=False)

    def forward(self, x):
        if x.shape[1] > self.pe.shape[0]:
            raise ValueError(f"too long: {x.shape[1]}")
        return (x.to(torch.promote_types(x.dtype, torch.float32)) + self.pe[None, : x.shape[1]]).to(x.dtype)


class LearnedPositions(TokenEmbedding):
    def __init__(self, max_len, d_model):
        super().__init__(max_len, d_model)

    def forward(self, x):
        places = torch.arange(x.shape[1], device=x.device)
        try:
            rows = super().forward(places.unsqueeze(0))
        except ValueError:
            raise ValueError(f"a sequence of {x.shape[1]} is too long") from None
        return x + rows.to(x.dtype)
