"""The reference of exercise 19 against PyTorch's own RMS norm, SiLU and GLU."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

sizes = st.integers(1, 9)


@settings(deadline=None, max_examples=40)
@given(sizes, sizes, st.floats(1e-6, 1.0), st.floats(1e-3, 1e3))
def test_the_norm_is_pytorchs(reference, tokens, width, eps, scale):
    mine, theirs = reference("ex19_rmsnorm_swiglu").RMSNorm(width, eps).double(), torch.nn.RMSNorm(width, eps).double()
    with torch.no_grad():
        weight = torch.randn(width)
        mine.weight.copy_(weight)
        theirs.weight.copy_(weight)
    x = scale * torch.randn(tokens, width, dtype=torch.float64)
    torch.testing.assert_close(mine(x), theirs(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_norm_in_low_precision_is_the_exact_one_rounded_once(reference, dtype):
    torch.manual_seed(0)
    norm = reference("ex19_rmsnorm_swiglu").RMSNorm(33).to(dtype)
    x = (500 * torch.randn(20, 33)).to(dtype)
    exact = x.double() / torch.sqrt(x.double().square().mean(-1, keepdim=True) + 1e-5)
    gap = (norm(x).double() - exact).abs().max().item()
    assert gap <= 1.01 * torch.finfo(dtype).eps * exact.abs().max().item()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=1, max_size=8))
def test_silu_and_its_slope_are_pytorchs(reference, numbers):
    x = torch.tensor(numbers, requires_grad=True)
    mine, theirs = reference("ex19_rmsnorm_swiglu").silu(x), F.silu(x)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    (slope,) = torch.autograd.grad(mine.sum(), x, retain_graph=True)
    torch.testing.assert_close(slope, torch.autograd.grad(theirs.sum(), x)[0], rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(sizes, sizes, sizes, st.booleans())
def test_swiglu_is_made_of_pytorchs_silu(reference, tokens, d_model, d_ff, bias):
    network = reference("ex19_rmsnorm_swiglu").SwiGLU(d_model, d_ff, bias).double()
    x = torch.randn(tokens, d_model, dtype=torch.float64)
    gate, up, down = (
        lambda z, part=part: F.linear(z, part.weight, part.bias) for part in (network.gate, network.up, network.down)
    )
    torch.testing.assert_close(network(x), down(F.silu(gate(x)) * up(x)), rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(st.integers(1, 20000), st.integers(1, 300))
def test_the_width_is_the_least_multiple(reference, d_model, multiple):
    width = reference("ex19_rmsnorm_swiglu").swiglu_width(d_model, multiple)
    assert width % multiple == 0
    assert width >= Fraction(8 * d_model, 3) > width - multiple
