"""Scaling in float64 and back; `torch.nn.functional.one_hot`; a layer made of a base class and a mixin.

Good for layers that have something in common: how weights are drawn stands in a class that others can use.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Table:
    rows: int

    def refuse(self, ids):
        bad = [i for i in np.asarray(ids).flatten() if not (i >= 0 and i < self.rows)]
        if len(bad) > 0:
            raise ValueError("ids out of range: %s" % [int(i) for i in bad])


def embedding_lookup(weight, ids):
    Table(weight.shape[0]).refuse(ids)
    out = np.zeros((*ids.shape, weight.shape[1]), weight.dtype)
    out[...] = weight[ids, :]
    return out


def embedding_grad(grad_out, ids, vocab_size):
    Table(vocab_size).refuse(ids)
    grad = np.zeros([vocab_size, grad_out.shape[-1]]).astype(grad_out.dtype)
    for place in np.ndindex(ids.shape):
        grad[ids[place]] += grad_out[place]
    return grad


class _Drawn:
    def draw(self, *shape):
        return torch.distributions.Normal(0.0, 0.02).sample(shape)


class TokenEmbedding(nn.Module, _Drawn):
    def __init__(self, vocab_size, d_model, scale=False):
        super().__init__()
        self.vocab_size, self.d_model, self.scale = vocab_size, d_model, scale
        self.weight = nn.Parameter(self.draw(vocab_size, d_model))

    def extra_repr(self):
        return f"{self.vocab_size}, {self.d_model}"

    def forward(self, ids):
        Table(self.vocab_size).refuse(ids.tolist())
        rows = F.one_hot(ids, self.vocab_size).to(self.weight.dtype) @ self.weight
        return (rows.double() * self.d_model**0.5).to(rows.dtype) if self.scale else rows
