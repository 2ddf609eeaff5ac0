"""Multi-head attention whose weights are computed in float32, whatever comes in, as published models do.

Good for low precision: the sum over many keys is not rounded to eight or eleven bits.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from .ex06_masks import masked_softmax


def split_heads(x, n_heads):
    batch, length, width = x.shape
    return x.reshape(batch, length, n_heads, width // n_heads).transpose(1, 2)


def merge_heads(x):
    return x.transpose(1, 2).flatten(-2)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, n_heads, bias=True, dropout=0.0):
        super().__init__()
        if d_model % n_heads != 0:
            raise ValueError(f"embed_dim must be divisible by num_heads (got {d_model} and {n_heads})")
        self.num_heads, self.head_dim = n_heads, d_model // n_heads
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key=None, value=None, mask=None, return_weights=False):
        key = query if key is None else key
        value = key if value is None else value
        q = split_heads(self.q_proj(query), self.num_heads)
        k = split_heads(self.k_proj(key), self.num_heads)
        v = split_heads(self.v_proj(value), self.num_heads)
        scores = (q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)).float()
        weights = torch.softmax(scores, dim=-1) if mask is None else masked_softmax(scores, mask)
        weights = weights.to(q.dtype)
        out = self.out_proj(merge_heads(self.dropout(weights) @ v))
        return (out, weights) if return_weights else out
