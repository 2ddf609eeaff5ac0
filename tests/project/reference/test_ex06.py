"""The reference of exercise 6 against the definition, element by element, and against PyTorch's own softmax."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def ex06(reference):
    return reference("ex06_masks")


@pytest.fixture(scope="module")
def masked_softmax(ex06):
    return ex06.masked_softmax


def test_masks_say_what_their_definitions_say(ex06):
    lengths, size = [0, 2, 5, 3], 5
    causal, padding = ex06.causal_mask(size), ex06.padding_mask(torch.tensor(lengths), size)
    combined = ex06.combine_masks(causal, padding)
    assert causal.tolist() == [[j <= i for j in range(size)] for i in range(size)]
    assert padding.tolist() == [[j < length for j in range(size)] for length in lengths]
    assert combined.tolist() == [[[[j <= i and j < n for j in range(size)] for i in range(size)]] for n in lengths]


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.sampled_from([1e-3, 1.0, 1e3, 1e30]))
def test_the_softmax_of_a_row_is_the_softmax_of_what_it_may_see(masked_softmax, data, batch, rows, keys, scale):
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    scores = torch.randn(batch, rows, keys, dtype=torch.float64) * scale
    mask = torch.rand(batch, rows, keys) < 0.5
    weights = masked_softmax(scores, mask)
    for b in range(batch):
        for i in range(rows):
            seen = mask[b, i]
            torch.testing.assert_close(weights[b, i, seen], torch.softmax(scores[b, i, seen], -1))
            assert not weights[b, i, ~seen].any()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [0.0, 1.0, 0.9])
def test_no_nan_arises_anywhere_in_either_direction(ex06, dtype, size):
    scores = torch.tensor([[1.0, -1.0, 0.5], [-1.0, 1.0, 1.0], [1.0, 1.0, -1.0]], dtype=dtype)
    scores = (scores * size * (torch.finfo(dtype).max if size == 0.9 else 1)).requires_grad_()
    mask = torch.tensor([[True, True, False], [False, False, False], [True, False, True]])
    with torch.autograd.detect_anomaly(check_nan=True):
        weights = ex06.masked_softmax(scores, mask)
        weights.square().sum().backward()
    assert weights.dtype == dtype
    assert weights.isfinite().all() and scores.grad.isfinite().all()
    assert not weights[1].any() and not scores.grad[1].any() and not scores.grad[~mask].any()


def test_gradients_agree_with_finite_differences(ex06):
    torch.manual_seed(0)
    mask = torch.rand(4, 5) < 0.6
    mask[2] = False
    scores = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: ex06.masked_softmax(s, mask), scores)
    assert torch.autograd.gradcheck(lambda s: ex06.masked_softmax(s, mask, dim=1), scores)


def test_with_everything_to_see_it_is_the_plain_softmax(ex06):
    scores = torch.randn(2, 3, 4)
    for dim in (0, 1, 2, -2):
        assert torch.equal(
            ex06.masked_softmax(scores, torch.ones(4, dtype=torch.bool), dim), torch.softmax(scores, dim)
        )


def test_one_causal_pass_equals_a_pass_for_every_prefix(ex06):
    scores = torch.randn(6, 6, dtype=torch.float64)
    weights = ex06.masked_softmax(scores, ex06.causal_mask(6))
    for i in range(6):
        torch.testing.assert_close(weights[i, : i + 1], torch.softmax(scores[i, : i + 1], -1))
    assert math.isclose(weights.sum().item(), 6.0)
