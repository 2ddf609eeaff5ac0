"""The reference of exercise 9 against PyTorch's GELU and a network of ready-made modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F


@pytest.mark.parametrize("form", ["none", "tanh"])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 5.0, 1e3, 1e20])
def test_gelu_and_its_slope_are_pytorchs(reference, form: str, scale: float):
    x = (torch.linspace(-3, 3, 301, dtype=torch.float64) * scale).requires_grad_()
    mine, theirs = reference("ex09_feed_forward").gelu(x, form), F.gelu(x, approximate=form)
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(out.sum(), x)[0] for out in (mine, theirs)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-10)


def test_the_slope_by_hand_is_the_slope_by_differences(reference):
    x = torch.linspace(-4, 4, 41, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: reference("ex09_feed_forward").gelu(x, "tanh"), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_slopes_stay_finite_at_the_end_of_each_dtype(reference, dtype: torch.dtype):
    end = torch.finfo(dtype).max / 2
    x = torch.tensor([-end, end], dtype=dtype).requires_grad_()
    (slope,) = torch.autograd.grad(reference("ex09_feed_forward").gelu(x, "tanh").sum(), x)
    assert slope.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("name", "module"), [("gelu", nn.GELU()), ("gelu_tanh", nn.GELU(approximate="tanh")), ("relu", nn.ReLU())]
)
def test_the_network_is_one_of_ready_made_modules(reference, name: str, module: nn.Module):
    network = reference("ex09_feed_forward").FeedForward(6, 10, name).double()
    ready = nn.Sequential(network.up, module, network.down)
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(network(x), ready(x), rtol=1e-12, atol=1e-12)
