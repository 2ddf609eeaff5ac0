"""The references of exercises 5, 7 and 8 against PyTorch's own attention, multi-head attention and layer norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_pytorchs(reference, masked: bool):
    torch.manual_seed(1)
    q, k, v = (torch.randn(2, 3, length, 8, dtype=torch.float64) for length in (5, 7, 7))
    mask = torch.rand(5, 7) < 0.5
    mask[:, 0] = True
    out, weights = reference("ex05_attention").scaled_dot_product_attention(q, k, v, mask if masked else None)
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v, mask if masked else None))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5, dtype=torch.float64))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("masked", [False, True])
def test_multi_head_attention_is_pytorchs(reference, bias: bool, masked: bool):
    torch.manual_seed(2)
    theirs = nn.MultiheadAttention(12, 3, bias=bias, batch_first=True).double()
    mine = reference("ex07_multi_head").MultiHeadAttention(12, 3, bias=bias).double()
    with torch.no_grad():
        for name, part in zip(("q_proj", "k_proj", "v_proj"), theirs.in_proj_weight.chunk(3), strict=True):
            getattr(mine, name).weight.copy_(part)
        mine.out_proj.weight.copy_(theirs.out_proj.weight)
        if bias:
            theirs.in_proj_bias.normal_()
            theirs.out_proj.bias.normal_()
            for name, part in zip(("q_proj", "k_proj", "v_proj"), theirs.in_proj_bias.chunk(3), strict=True):
                getattr(mine, name).bias.copy_(part)
            mine.out_proj.bias.copy_(theirs.out_proj.bias)
    query, key, value = (torch.randn(2, length, 12, dtype=torch.float64) for length in (5, 7, 7))
    mask = torch.rand(5, 7) < 0.5
    mask[:, 0] = True
    out, weights = mine(query, key, value, mask=mask if masked else None, return_weights=True)
    theirs_out, theirs_weights = theirs(
        query, key, value, attn_mask=~mask if masked else None, average_attn_weights=False
    )
    torch.testing.assert_close(out, theirs_out)
    torch.testing.assert_close(weights, theirs_weights)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_layer_norm_is_pytorchs(reference, scale: float):
    torch.manual_seed(3)
    norm = reference("ex08_residual_norm").LayerNorm(9, eps=1e-4).double()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x = (torch.randn(4, 5, 9, dtype=torch.float64) * scale + 2).requires_grad_()
    mine, theirs = norm(x), F.layer_norm(x, (9,), norm.weight, norm.bias, eps=1e-4)
    torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(out.square().sum(), x)[0] for out in (mine, theirs)))
