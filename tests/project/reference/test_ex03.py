"""The reference of exercise 3 against PyTorch's own embedding and the one-hot product."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F


@st.composite
def lookups(draw):
    """A table, ids of any shape with many repeats, and a gradient of what was read."""
    vocab, width = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = rng.integers(0, vocab, shape)
    return rng.standard_normal((vocab, width)), np.asarray(ids), rng.standard_normal((*shape, width))


@settings(deadline=None, max_examples=60)
@given(lookups())
def test_numpy_functions_agree_with_torch(reference, case):
    table, ids, grad_out = case
    ex = reference("ex03_embeddings")
    weight = torch.tensor(table, requires_grad=True)
    out = F.embedding(torch.from_numpy(ids), weight)
    out.backward(torch.from_numpy(grad_out))
    np.testing.assert_array_equal(ex.embedding_lookup(table, ids), out.detach().numpy())
    np.testing.assert_allclose(ex.embedding_grad(grad_out, ids, len(table)), weight.grad.numpy(), atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(lookups())
def test_gradient_is_the_transpose_of_the_lookup(reference, case):
    table, ids, grad_out = case
    ex = reference("ex03_embeddings")
    there = (ex.embedding_lookup(table, ids) * grad_out).sum()
    back = (table * ex.embedding_grad(grad_out, ids, len(table))).sum()
    assert there == pytest.approx(back, abs=1e-9)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_layer_agrees_with_torch(reference, scale, dtype):
    ex = reference("ex03_embeddings")
    layer = ex.TokenEmbedding(11, 6, scale=scale).to(dtype)
    theirs = nn.Embedding(11, 6, dtype=dtype)
    theirs.load_state_dict(layer.state_dict())
    ids = torch.randint(0, 11, (4, 7), generator=torch.Generator().manual_seed(1))
    out, expected = layer(ids), theirs(ids) * (math.sqrt(6) if scale else 1.0)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize("bad", [-1, -7, 7, 1000])
def test_ids_outside_the_table_are_named_wherever_they_stand(reference, bad):
    ex = reference("ex03_embeddings")
    ids = np.array([[0, 6, 3], [5, bad, 1]])
    for call in (
        lambda: ex.embedding_lookup(np.zeros((7, 2)), ids),
        lambda: ex.embedding_grad(np.zeros((2, 3, 2)), ids, 7),
        lambda: ex.TokenEmbedding(7, 2)(torch.from_numpy(ids)),
    ):
        with pytest.raises(ValueError, match=rf"ids.* {bad}$"):
            call()


def test_new_tables_are_normal(reference):
    torch.manual_seed(0)
    table = reference("ex03_embeddings").TokenEmbedding(2000, 64, scale=True).weight.detach().flatten()
    quantiles = torch.tensor([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    expected = torch.distributions.Normal(0.0, 0.02).icdf(quantiles)
    torch.testing.assert_close(table.quantile(quantiles), expected, rtol=0, atol=6e-4)
