"""The reference of exercise 4 against complex arithmetic, exact arithmetic and PyTorch's own embedding."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

halves, offsets, bases = st.integers(1, 12), st.integers(-60, 60), st.floats(2.0, 1e5)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), halves, bases)
def test_encoding_agrees_with_complex_powers(reference, length, half, base):
    """Clock i at time t is the complex number exp(j t w_i): sine and cosine are its imaginary and its real part."""
    pe = reference("ex04_positions").sinusoidal_encoding(length, 2 * half, base)
    assert pe.dtype == torch.float32
    for t in range(length):
        for i in range(half):
            clock = complex(math.cos(1.0), math.sin(1.0)) ** (t / base ** (i / half))
            assert pe[t, 2 * i].item() == pytest.approx(clock.imag, abs=1e-6)
            assert pe[t, 2 * i + 1].item() == pytest.approx(clock.real, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(halves, offsets, bases)
def test_one_matrix_shifts_every_position(reference, half, offset, base):
    ex = reference("ex04_positions")
    pe, matrix = ex.sinusoidal_encoding(120, 2 * half, base), ex.shift_matrix(offset, 2 * half, base)
    times = torch.arange(max(0, -offset), min(120, 120 - offset))
    torch.testing.assert_close(pe[times] @ matrix.T, pe[times + offset], rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(halves, offsets, offsets)
def test_shifts_are_rotations_that_add_up(reference, half, one, other):
    ex = reference("ex04_positions")
    first, second = ex.shift_matrix(one, 2 * half), ex.shift_matrix(other, 2 * half)
    torch.testing.assert_close(first @ second, ex.shift_matrix(one + other, 2 * half), rtol=0, atol=1e-5)
    torch.testing.assert_close(first.T @ first, torch.eye(2 * half), rtol=0, atol=1e-5)
    assert torch.linalg.det(first.double()).item() == pytest.approx(1.0, abs=1e-4)


def test_dot_products_depend_on_the_distance_alone(reference):
    pe = reference("ex04_positions").sinusoidal_encoding(200, 32).double()
    products = pe @ pe.T
    for distance in (0, 1, 17, 150):
        along = products.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=0, atol=1e-5)


def test_no_two_positions_look_alike(reference):
    pe = reference("ex04_positions").sinusoidal_encoding(1024, 64)
    distances = torch.cdist(pe, pe) + 10 * torch.eye(1024)
    assert distances.min() > 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_learned_positions_agree_with_torch(reference, dtype):
    layer, theirs = reference("ex04_positions").LearnedPositions(9, 4).to(dtype), nn.Embedding(9, 4, dtype=dtype)
    theirs.load_state_dict(layer.state_dict())
    x = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float32).to(dtype)
    out, expected = layer(x), x + theirs(torch.arange(6))
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, theirs.weight.grad)


def test_the_table_stays_out_of_checkpoints_and_moves_with_the_model(reference):
    ex = reference("ex04_positions")
    layer = ex.SinusoidalPositions(8, 4)
    assert not list(layer.parameters()) and not layer.state_dict()
    ex.SinusoidalPositions(16, 4).load_state_dict(layer.state_dict())
    assert layer.to("meta")(torch.empty(2, 8, 4, device="meta")).device.type == "meta"


def test_attention_without_positions_is_blind_to_order(reference):
    ex = reference("ex04_positions")
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([3, 0, 5, 1, 4, 2])

    def attend(x):
        return attention(x, x, x)[0]

    torch.testing.assert_close(attend(x)[:, order], attend(x[:, order]))
    positions = ex.SinusoidalPositions(6, 8)
    assert not torch.allclose(attend(positions(x))[:, order], attend(positions(x[:, order])), atol=1e-2)


@pytest.mark.parametrize("name", ["SinusoidalPositions", "LearnedPositions"])
def test_too_long_is_named(reference, name):
    layer = getattr(reference("ex04_positions"), name)(5, 4)
    with pytest.raises(ValueError, match=r"length 6.*max_len = 5"):
        layer(torch.zeros(1, 6, 4))
