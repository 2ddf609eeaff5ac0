"""What solves the stretch goals of exercise 7."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from ex07_multi_head import MultiHeadAttention, split_heads


def head_parts(layer: MultiHeadAttention, x: Tensor) -> Tensor:
    """What each head adds to the output of a layer that attends to itself."""
    _, weights = layer(x, return_weights=True)  # (B, H, T, T)
    n_heads = weights.size(1)
    mixed = weights @ split_heads(layer.v_proj(x), n_heads)  # (B, H, T, d)
    columns = layer.out_proj.weight.unflatten(1, (n_heads, -1))  # (D, H, d)
    return torch.einsum("bhtd,ehd->bhte", mixed, columns)  # (B, H, T, D)


def reorder_heads(layer: MultiHeadAttention, order: Sequence[int]) -> MultiHeadAttention:
    """The same layer with its heads in another order."""
    new = copy.deepcopy(layer)
    d_model = new.out_proj.in_features
    places = torch.arange(d_model).view(len(order), -1)[list(order)].flatten()  # (D,) where each feature comes from
    with torch.no_grad():
        for projection in (new.q_proj, new.k_proj, new.v_proj):
            projection.weight.copy_(projection.weight[places].clone())
            if projection.bias is not None:
                projection.bias.copy_(projection.bias[places].clone())
        new.out_proj.weight.copy_(new.out_proj.weight[:, places].clone())
    return new
