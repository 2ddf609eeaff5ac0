"""The reference of exercise 7 against PyTorch's own multi-head attention, and against slices written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn


@pytest.fixture(scope="module")
def ex07(reference):
    return reference("ex07_multi_head")


def twins(ex07, d_model: int, n_heads: int, bias: bool = True) -> tuple[nn.Module, nn.MultiheadAttention]:
    """Ours and PyTorch's with the same weights, in float64, with biases that are not zero."""
    torch.manual_seed(d_model * 100 + n_heads)
    ours = ex07.MultiHeadAttention(d_model, n_heads, bias=bias).double()
    theirs = nn.MultiheadAttention(d_model, n_heads, bias=bias, batch_first=True).double()
    projections = (ours.q_proj, ours.k_proj, ours.v_proj)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
            theirs.out_proj.bias.copy_(ours.out_proj.bias)
    return ours, theirs


def agree(ours, theirs, inputs, mask=None, **their_masks) -> None:
    """The same outputs, weights and gradients of the inputs. PyTorch's module means "hidden" by True."""
    out, weights = ours(*inputs, mask=mask, return_weights=True)
    query, key, value = (*inputs, *inputs[-1:] * 2)[:3]
    expected, expected_weights = theirs(query, key, value, average_attn_weights=False, **their_masks)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(weights, expected_weights)
    grad = torch.randn_like(out)
    for got, want in zip(
        torch.autograd.grad(out, inputs, grad), torch.autograd.grad(expected, inputs, grad), strict=True
    ):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize(("d_model", "n_heads"), [(12, 3), (8, 1), (6, 6)])
@pytest.mark.parametrize("bias", [True, False])
def test_self_attention_is_pytorchs(ex07, d_model, n_heads, bias):
    ours, theirs = twins(ex07, d_model, n_heads, bias)
    agree(ours, theirs, [torch.randn(2, 5, d_model, dtype=torch.float64, requires_grad=True)])


def test_cross_attention_is_pytorchs(ex07):
    ours, theirs = twins(ex07, 12, 4)
    query, key, value = (
        torch.randn(2, n, 12, dtype=torch.float64, requires_grad=True)
        for n in (3, 7, 7)  # T_q is not T_k
    )
    agree(ours, theirs, [query, key, value])
    agree(ours, theirs, [query, key])


def test_masks_are_pytorchs_turned_round(ex07):
    ours, theirs = twins(ex07, 12, 3)
    x = torch.randn(4, 5, 12, dtype=torch.float64, requires_grad=True)
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    padding = torch.arange(5) < torch.tensor([5, 1, 3, 4])[:, None]
    per_head = torch.rand(4, 3, 5, 5) < 0.5
    per_head[..., 0] = True
    agree(ours, theirs, [x], causal, attn_mask=~causal)
    agree(ours, theirs, [x], padding[:, None, None, :], key_padding_mask=~padding)
    agree(ours, theirs, [x], causal & padding[:, None, None, :], attn_mask=~causal, key_padding_mask=~padding)
    agree(ours, theirs, [x], per_head, attn_mask=~per_head.flatten(0, 1))


def test_heads_are_slices(ex07):
    x = torch.randn(2, 5, 12)
    heads = ex07.split_heads(x, 3)
    for h in range(3):
        assert torch.equal(heads[:, h], x[:, :, 4 * h : 4 * h + 4])
        assert torch.equal(ex07.merge_heads(heads)[:, :, 4 * h : 4 * h + 4], heads[:, h])


def test_a_query_with_nothing_to_see_gets_the_bias_and_harms_nobody(ex07):
    ours, _ = twins(ex07, 12, 3)
    x = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[0, 0, 1] = mask[1] = False
    out, weights = ours(x, mask=mask, return_weights=True)
    torch.testing.assert_close(out[0, 1], ours.out_proj.bias)
    assert not weights[1].any()
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in [x, *ours.parameters()])
    torch.testing.assert_close(out[0, 2:], ours(x)[0, 2:])


def test_the_future_has_no_influence(ex07):
    ours, _ = twins(ex07, 12, 3)
    x = torch.randn(1, 6, 12, dtype=torch.float64, requires_grad=True)
    out = ours(x, mask=torch.ones(6, 6, dtype=torch.bool).tril())
    (grad,) = torch.autograd.grad(out[0, 2].sum(), x)
    assert grad[0, :3].abs().sum(-1).all() and not grad[0, 3:].any()


def test_dropout_keeps_the_mean_and_stops_in_evaluation(ex07):
    torch.manual_seed(0)
    layer = ex07.MultiHeadAttention(8, 2, dropout=0.3)
    x = torch.randn(1, 4, 8)
    with torch.no_grad():
        many = layer(x.expand(20000, 4, 8))
        plain = layer.eval()(x)
    torch.testing.assert_close(many.mean(0, keepdim=True), plain, atol=0.01, rtol=0.0)
    assert torch.equal(layer(x), layer(x)) and many.std(0).min() > 0
