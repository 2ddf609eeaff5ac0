"""Exercise 0's reference against PyTorch, and against what mathematics says."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays


@pytest.fixture(scope="module")
def ex00(reference):
    exercise = reference("ex00_rnn")
    names = "rnn_step", "rnn_forward", "bottleneck"
    return SimpleNamespace(**{name: getattr(exercise, name) for name in names})  # hypothesis probes for other names


def inputs(seed, batch, length, inputs, width, scale=0.8):
    """xs, h0, W_xh, W_hh, b; W_hh has the spectral norm `scale`."""
    source = np.random.default_rng(seed)
    W_hh = source.standard_normal((width, width))
    return (
        source.standard_normal((batch, length, inputs)),
        source.uniform(-1, 1, (batch, width)),
        source.standard_normal((inputs, width)),
        W_hh * scale / np.linalg.svd(W_hh, compute_uv=False)[0],
        source.standard_normal(width),
    )


sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(seed=seeds, batch=sizes, length=sizes, width_in=sizes, width=sizes)
def test_every_state_is_pytorchs(ex00, seed, batch, length, width_in, width):
    xs, h0, W_xh, W_hh, b = inputs(seed, batch, length, width_in, width, scale=1.5)
    theirs = torch.nn.RNN(width_in, width, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(torch.from_numpy(W_xh.T))
        theirs.weight_hh_l0.copy_(torch.from_numpy(W_hh.T))
        theirs.bias_ih_l0.copy_(torch.from_numpy(b))
        theirs.bias_hh_l0.zero_()
        want, last = theirs(torch.from_numpy(xs), torch.from_numpy(h0)[None])
    states = ex00.rnn_forward(xs, h0, W_xh, W_hh, b)
    np.testing.assert_allclose(states, want, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(states[:, -1], last[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_the_bottleneck_bounds_the_jacobian_over_any_number_of_steps(ex00, scale, steps):
    xs, h0, *weights = inputs(steps, 1, steps, 3, 4, scale=scale)
    W_xh, W_hh, b = (torch.from_numpy(array) for array in weights)

    def last_state(h):
        for x in torch.from_numpy(xs[0]):
            h = torch.tanh(x @ W_xh + h @ W_hh + b)
        return h

    jacobian = torch.autograd.functional.jacobian(last_state, torch.from_numpy(h0[0]))
    bound = ex00.bottleneck(weights[1], steps)
    assert bound == pytest.approx(scale**steps)
    assert np.linalg.norm(jacobian.numpy(), 2) <= bound * (1 + 1e-12)


@settings(deadline=None)
@given(seed=seeds, length=st.integers(1, 30), scale=st.floats(0.0, 1.5))
def test_no_nudge_of_the_first_state_comes_out_larger_than_the_bottleneck_allows(ex00, seed, length, scale):
    xs, h0, *weights = inputs(seed, 2, length, 3, 4, scale=scale)
    nudge = np.random.default_rng(seed + 1).standard_normal(h0.shape)
    moved = ex00.rnn_forward(xs, h0 + nudge, *weights) - ex00.rnn_forward(xs, h0, *weights)
    for steps in range(1, length + 1):
        bound = ex00.bottleneck(weights[1], steps) * np.linalg.norm(nudge, axis=-1)
        assert (np.linalg.norm(moved[:, steps - 1], axis=-1) <= bound + 1e-12).all()


matrices = arrays.arrays(np.float64, st.integers(1, 5).map(lambda n: (n, n)), elements=st.floats(-3, 3, width=32))


@settings(deadline=None)
@given(W_hh=matrices, steps=st.integers(0, 9))
def test_the_bottleneck_is_the_largest_singular_value_to_the_power_of_the_steps(ex00, W_hh, steps):
    want = np.linalg.svd(W_hh, compute_uv=False)[0] ** steps
    bound = ex00.bottleneck(W_hh, steps)
    assert type(bound) is float
    assert bound == pytest.approx(want, rel=1e-12, abs=1e-300)
    assert bound == pytest.approx(float(torch.linalg.matrix_norm(torch.from_numpy(W_hh), 2)) ** steps, rel=1e-10)
    assert np.linalg.norm(np.linalg.matrix_power(W_hh, steps), 2) <= bound * (1 + 1e-9) + 1e-300


@settings(deadline=None)
@given(seed=seeds, cut=st.integers(0, 8))
def test_a_sequence_may_be_read_in_two_parts(ex00, seed, cut):
    xs, h0, *weights = inputs(seed, 3, 8, 2, 4)
    whole = ex00.rnn_forward(xs, h0, *weights)
    first = ex00.rnn_forward(xs[:, :cut], h0, *weights)
    between = first[:, -1] if cut else h0
    second = ex00.rnn_forward(xs[:, cut:], between, *weights)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)


@settings(deadline=None)
@given(seed=seeds, size=st.sampled_from([1.0, 1e3, 1e150]))
def test_states_stay_within_bounds_and_arguments_as_they_were(ex00, seed, size):
    given = [size * array for array in inputs(seed, 2, 5, 3, 4)]
    before = [array.copy() for array in given]
    states = ex00.rnn_forward(*given)
    assert (np.abs(states) <= 1).all()
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("length", [0, 1, 3])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_keep_their_dtype_at_every_length(ex00, dtype, length):
    given = [array.astype(dtype) for array in inputs(0, 2, length, 3, 4)]
    states = ex00.rnn_forward(*given)
    assert states.dtype == dtype
    assert states.shape == (2, length, 4)


@pytest.mark.parametrize("dtypes", [(np.int64,) * 5, (np.int8,) * 5, (np.int64, *(np.float32,) * 4), (bool,) * 5])
def test_the_dtype_is_that_of_a_step_for_integers_too(ex00, dtypes):
    xs, h0, *weights = (array.astype(dtype) for array, dtype in zip(inputs(0, 2, 3, 3, 4), dtypes, strict=True))
    step = ex00.rnn_step(xs[:, 0], h0, *weights)
    states = ex00.rnn_forward(xs, h0, *weights)
    assert states.dtype == step.dtype
    np.testing.assert_array_equal(states[:, 0], step)
