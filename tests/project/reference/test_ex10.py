"""The reference encoder against PyTorch's own, with the same weights by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

WIDTH, HEADS, INNER = 12, 3, 20
TOLERANCES = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
ORDERS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])


@pytest.fixture(scope="module")
def ex10(reference):
    return reference("ex10_encoder")


def copied(ours: nn.Module, theirs: nn.Module) -> None:
    """Give our module PyTorch's weights, by name. Every parameter of ours is filled."""
    names = {
        "self_attn.out_proj": "self_attention.out_proj",
        "linear1": "feed_forward.up",
        "linear2": "feed_forward.down",
        "norm1": "attention_residual.norm",
        "norm2": "feed_forward_residual.norm",
    }
    state = {}
    for name, tensor in theirs.state_dict().items():
        if "in_proj_" in name:
            before, kind = name.split("self_attn.in_proj_")
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                state[f"{before}self_attention.{part}_proj.{kind}"] = piece
        else:
            for old, new in names.items():
                name = name.replace(old, new)
            state[name] = tensor
    ours.load_state_dict(state)


def twins(ours: nn.Module, theirs: nn.Module, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """Both in one dtype, in evaluation mode, with the same weights; norms and biases are not what they start as."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    ours, theirs = ours.to(dtype).eval(), theirs.to(dtype).eval()
    copied(ours, theirs)
    return ours, theirs


def pytorchs(norm_first: bool, n_layers: int | None = None) -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, dropout=0.0, batch_first=True, norm_first=norm_first)
    if n_layers is None:
        return layer
    norm = nn.LayerNorm(WIDTH) if norm_first else None
    return nn.TransformerEncoder(layer, n_layers, norm=norm, enable_nested_tensor=False)


def cases(dtype: torch.dtype):
    """Inputs with our mask and with PyTorch's, in which True means hidden."""
    x = torch.randn(4, 5, WIDTH, dtype=dtype)
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    padding = torch.arange(5) < torch.tensor([5, 1, 3, 4])[:, None]
    yield x, None, {}
    yield x, causal, {"mask": ~causal}
    yield x, padding[:, None, None, :], {"src_key_padding_mask": ~padding}
    yield x, causal & padding[:, None, None, :], {"mask": ~causal, "src_key_padding_mask": ~padding}


def close(got: torch.Tensor, want: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)


@TOLERANCES
@ORDERS
def test_a_layer_is_pytorchs(ex10, norm_first, dtype, tolerance):
    ours, theirs = twins(ex10.EncoderLayer(WIDTH, HEADS, INNER, norm_first=norm_first), pytorchs(norm_first), dtype)
    for x, mask, masks in cases(dtype):
        masks = {"src_mask" if name == "mask" else name: hidden for name, hidden in masks.items()}
        x.requires_grad_()  # also keeps PyTorch from its fused inference kernel
        out, want = ours(x, mask), theirs(x, **masks)
        close(out, want, tolerance)
        grad = torch.randn_like(out)
        (got,), (wanted,) = torch.autograd.grad(out, x, grad), torch.autograd.grad(want, x, grad)
        close(got, wanted, 10 * tolerance)


@TOLERANCES
@ORDERS
def test_a_stack_is_pytorchs(ex10, norm_first, dtype, tolerance):
    ours, theirs = twins(ex10.Encoder(3, WIDTH, HEADS, INNER, norm_first=norm_first), pytorchs(norm_first, 3), dtype)
    assert (ours.norm is not None) is norm_first
    for x, mask, masks in cases(dtype):
        close(ours(x, mask), theirs(x.requires_grad_(), **masks), tolerance)


def test_pytorchs_layers_differ_after_the_twins_were_made(ex10):
    """Or else a stack that uses one layer three times would pass as well."""
    _, theirs = twins(ex10.Encoder(3, WIDTH, HEADS, INNER), pytorchs(False, 3), torch.float64)
    first, second = theirs.layers[0].linear1.weight, theirs.layers[1].linear1.weight
    assert not torch.allclose(first, second)


@ORDERS
def test_layers_are_made_one_by_one(ex10, norm_first):
    encoder = ex10.Encoder(3, WIDTH, HEADS, INNER, norm_first=norm_first)
    layer = sum(parameter.numel() for parameter in encoder.layers[0].parameters())
    assert layer == 4 * WIDTH**2 + 4 * WIDTH + 2 * WIDTH * INNER + INNER + WIDTH + 4 * WIDTH
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 3 * layer + 2 * WIDTH * norm_first
    assert not torch.equal(encoder.layers[0].feed_forward.up.weight, encoder.layers[1].feed_forward.up.weight)


def test_the_last_layers_gradients_fall_with_the_depth_in_pre_norm_only(ex10):
    """What the lesson says of both orders, measured (Xiong et al. 2020, theorem 1, with their initial weights)."""

    def last_gradient(n_layers: int, norm_first: bool) -> float:
        torch.manual_seed(0)
        encoder = ex10.Encoder(n_layers, 64, 4, 256, norm_first=norm_first)
        for parameter in encoder.parameters():
            if parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)
        (encoder(torch.randn(8, 10, 64)) * torch.randn(8, 10, 64)).sum().backward()
        return float(encoder.layers[-1].feed_forward.down.weight.grad.norm())

    post, pre = ([last_gradient(n, norm_first) for n in (6, 24)] for norm_first in (False, True))
    assert post[1] > 0.9 * post[0]
    assert 0.4 < pre[1] / pre[0] < 0.65  # sqrt(6 / 24) is 0.5
    assert post[1] > 2 * pre[1]
