"""Exercise 1's reference against PyTorch, and against what mathematics says."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays


@pytest.fixture(scope="module")
def ex01(reference):
    exercise = reference("ex01_softmax")
    names = "softmax", "log_softmax", "cross_entropy", "perplexity"
    return SimpleNamespace(**{name: getattr(exercise, name) for name in names})  # hypothesis probes for other names


def scores(limit=700.0):
    shapes = arrays.array_shapes(min_dims=1, max_dims=3, max_side=5)
    return arrays.arrays(np.float64, shapes, elements=st.floats(-limit, limit))


@settings(deadline=None)
@given(x=scores(), data=st.data())
def test_softmax_and_log_softmax_are_pytorchs_along_every_axis(ex01, x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    np.testing.assert_allclose(ex01.softmax(x, axis), torch.softmax(torch.from_numpy(x), axis), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(
        ex01.log_softmax(x, axis), torch.log_softmax(torch.from_numpy(x), axis), rtol=1e-12, atol=1e-12
    )


@settings(deadline=None)
@given(x=scores(limit=1.7e308))
def test_any_finite_scores_give_a_distribution_in_their_order(ex01, x):
    with np.errstate(over="ignore"):  # a difference may exceed the largest float: its exponential is 0 all the same
        shares = ex01.softmax(x)
    np.testing.assert_allclose(shares.sum(-1), 1.0, rtol=1e-12)
    assert (shares >= 0).all()
    order = np.argsort(x, axis=-1)
    assert (np.diff(np.take_along_axis(shares, order, -1), axis=-1) >= 0).all()


@settings(deadline=None)
@given(x=scores(limit=50.0), shift=st.floats(-50.0, 50.0))
def test_a_shift_changes_nothing_and_log_sum_exp_bounds_the_maximum(ex01, x, shift):
    np.testing.assert_allclose(ex01.softmax(x + shift), ex01.softmax(x), rtol=1e-10)
    log_sum_exp = (x - ex01.log_softmax(x))[..., 0]
    assert (log_sum_exp >= x.max(-1) - 1e-9).all()
    assert (log_sum_exp <= x.max(-1) + math.log(x.shape[-1]) + 1e-9).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_keep_their_dtype(ex01, dtype):
    x = np.linspace(-3, 3, 7, dtype=dtype)
    assert ex01.softmax(x).dtype == ex01.log_softmax(x).dtype == dtype


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool_])
def test_integers_of_every_kind_are_scores_like_any_others(ex01, dtype):
    x = np.array([[0, 1, 1], [100, 2, 3]]).astype(dtype)
    want = ex01.softmax(x.astype(np.float64))
    np.testing.assert_allclose(ex01.softmax(x), want, rtol=1e-6)
    np.testing.assert_allclose(ex01.log_softmax(x), np.log(want), rtol=1e-6)


@pytest.mark.parametrize("ignore_index", [None, 0, 2, -100])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_cross_entropy_is_pytorchs(ex01, ignore_index, scale):
    source = np.random.default_rng(0)
    logits, targets = scale * source.standard_normal((40, 6)), source.integers(0, 6, 40)
    if ignore_index == -100:
        targets[::3] = -100
    want = F.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(targets), ignore_index=-100 if ignore_index is None else ignore_index
    )
    loss = ex01.cross_entropy(logits, targets, ignore_index)
    assert type(loss) is float
    assert loss == pytest.approx(want.item(), rel=1e-12)


def test_the_gradient_is_what_was_predicted_minus_what_happened(ex01):
    source = np.random.default_rng(1)
    logits, targets = source.standard_normal((3, 4)), np.array([2, 0, 3])
    slopes = np.empty_like(logits)
    for index in np.ndindex(logits.shape):
        nudge = np.zeros_like(logits)
        nudge[index] = 1e-6
        up, down = ex01.cross_entropy(logits + nudge, targets), ex01.cross_entropy(logits - nudge, targets)
        slopes[index] = (up - down) / 2e-6
    np.testing.assert_allclose(slopes, (ex01.softmax(logits) - np.eye(4)[targets]) / 3, atol=1e-8)


@pytest.mark.parametrize("vocab_size", [1, 2, 50257])
def test_knowing_nothing_is_as_good_as_guessing_among_all(ex01, vocab_size):
    targets = np.array([0, vocab_size - 1])
    assert ex01.perplexity(np.full((2, vocab_size), 3.0), targets) == pytest.approx(vocab_size)


def test_a_certain_and_right_model_has_perplexity_one(ex01):
    logits = np.where(np.eye(3, dtype=bool), 0.0, -np.inf)
    assert ex01.perplexity(logits, np.arange(3)) == 1.0
    assert ex01.cross_entropy(logits, np.array([1, 2, 0])) == math.inf
