"""The reference decoder against PyTorch's own, with the same weights by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

WIDTH, HEADS, INNER = 12, 3, 20
BATCH, TARGET, SOURCE = 4, 5, 7
TOLERANCES = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
ORDERS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
NAMES = {
    "linear1": "feed_forward.up",
    "linear2": "feed_forward.down",
    "norm1": "attention_residual.norm",
    "norm2": "cross_residual.norm",
    "norm3": "feed_forward_residual.norm",
    "multihead_attn": "cross_attention",
    "self_attn": "self_attention",
}


@pytest.fixture(scope="module")
def ex11(reference):
    return reference("ex11_decoder")


def copied(ours: nn.Module, theirs: dict[str, torch.Tensor]) -> None:
    """Give our module PyTorch's weights, by name. Every parameter of ours is filled."""
    state: dict[str, torch.Tensor] = {}
    for name, tensor in theirs.items():
        for old, new in NAMES.items():
            name = name.replace(old, new)
        if "in_proj_" in name:
            attention, kind = name.split("in_proj_")
            state |= {
                f"{attention}{part}_proj.{kind}": piece for part, piece in zip("qkv", tensor.chunk(3), strict=True)
            }
        else:
            state[name] = tensor
    ours.load_state_dict(state)


def twins(ours: nn.Module, theirs: nn.Module, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """Both in one dtype, in evaluation mode, with the same weights; norms and biases are not what they start as."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    ours, theirs = ours.to(dtype).eval(), theirs.to(dtype).eval()
    copied(ours, theirs.state_dict())
    return ours, theirs


def pytorchs(norm_first: bool, n_layers: int | None = None) -> nn.Module:
    layer = nn.TransformerDecoderLayer(WIDTH, HEADS, INNER, dropout=0.0, batch_first=True, norm_first=norm_first)
    if n_layers is None:
        return layer
    return nn.TransformerDecoder(layer, n_layers, norm=nn.LayerNorm(WIDTH) if norm_first else None)


def streams(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    target, source = (torch.randn(BATCH, n, WIDTH, dtype=dtype, requires_grad=True) for n in (TARGET, SOURCE))
    return target, source


def cases():
    """Our masks and PyTorch's, in which True means hidden."""
    causal = torch.ones(TARGET, TARGET, dtype=torch.bool).tril()
    padding = torch.arange(SOURCE) < torch.tensor([7, 1, 3, 4])[:, None]
    target_padding = torch.arange(TARGET) < torch.tensor([5, 2, 1, 4])[:, None]
    window = torch.rand(TARGET, SOURCE) < 0.5
    window[:, 0] = True
    yield {}, {}
    yield {"self_mask": causal}, {"tgt_mask": ~causal}
    yield {"memory_mask": padding[:, None, None, :]}, {"memory_key_padding_mask": ~padding}
    yield (
        {"self_mask": causal, "memory_mask": padding[:, None, None, :]},
        {"tgt_mask": ~causal, "memory_key_padding_mask": ~padding},
    )
    yield (
        {"self_mask": causal & target_padding[:, None, None, :], "memory_mask": window & padding[:, None, None, :]},
        {
            "tgt_mask": ~causal,
            "tgt_key_padding_mask": ~target_padding,
            "memory_mask": ~window,
            "memory_key_padding_mask": ~padding,
        },
    )


def agree(ours: nn.Module, theirs: nn.Module, dtype: torch.dtype, tolerance: float) -> None:
    """The same outputs, and the same gradients of both streams."""
    for masks, their_masks in cases():
        x, memory = streams(dtype)
        out, want = ours(x, memory, **masks), theirs(x, memory, **their_masks)
        torch.testing.assert_close(out, want, atol=tolerance, rtol=tolerance)
        grad = torch.randn_like(out)
        pairs = zip(*(torch.autograd.grad(one, (x, memory), grad) for one in (out, want)), strict=True)
        for got, wanted in pairs:
            torch.testing.assert_close(got, wanted, atol=10 * tolerance, rtol=10 * tolerance)


@TOLERANCES
@ORDERS
def test_a_layer_is_pytorchs(ex11, norm_first, dtype, tolerance):
    ours = ex11.DecoderLayer(WIDTH, HEADS, INNER, norm_first=norm_first)
    agree(*twins(ours, pytorchs(norm_first), dtype), dtype, tolerance)


@TOLERANCES
@ORDERS
def test_a_stack_is_pytorchs(ex11, norm_first, dtype, tolerance):
    ours = ex11.Decoder(3, WIDTH, HEADS, INNER, norm_first=norm_first)
    assert (ours.norm is not None) is norm_first
    agree(*twins(ours, pytorchs(norm_first, 3), dtype), dtype, tolerance)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@ORDERS
def test_encoder_and_decoder_together_are_pytorchs_transformer(ex11, reference, norm_first):
    """What the memory is: the encoder's result, once, for every layer. Both stacks at once, in float64."""
    ex10 = reference("ex10_encoder")
    torch.manual_seed(0)
    theirs = nn.Transformer(WIDTH, HEADS, 2, 2, INNER, dropout=0.0, batch_first=True, norm_first=norm_first).double()
    if not norm_first:  # PyTorch puts a final norm on a post-norm stack as well
        theirs.encoder.norm = theirs.decoder.norm = None
    encoder = ex10.Encoder(2, WIDTH, HEADS, INNER, norm_first=norm_first).double()
    decoder = ex11.Decoder(2, WIDTH, HEADS, INNER, norm_first=norm_first).double()
    copied(decoder, theirs.decoder.state_dict())
    # the norm around the feed-forward network is an encoder layer's second and a decoder layer's third
    copied(encoder, {name.replace("norm2", "norm3"): tensor for name, tensor in theirs.encoder.state_dict().items()})
    target, source = streams(torch.float64)
    causal = torch.ones(TARGET, TARGET, dtype=torch.bool).tril()
    want = theirs(source, target, tgt_mask=~causal)
    torch.testing.assert_close(decoder(target, encoder(source), causal), want, atol=1e-10, rtol=1e-10)


def test_one_pass_does_the_work_of_many(ex11):
    torch.manual_seed(0)
    decoder = ex11.Decoder(3, WIDTH, HEADS, INNER).double().eval()
    x, memory = streams(torch.float64)
    causal = torch.ones(TARGET, TARGET, dtype=torch.bool).tril()
    whole = decoder(x, memory, causal)
    for t in range(1, TARGET + 1):
        torch.testing.assert_close(whole[:, t - 1], decoder(x[:, :t], memory, causal[:t, :t])[:, -1])


@ORDERS
def test_layers_are_made_one_by_one(ex11, norm_first):
    decoder = ex11.Decoder(3, WIDTH, HEADS, INNER, norm_first=norm_first)
    layer = sum(parameter.numel() for parameter in decoder.layers[0].parameters())
    assert layer == 2 * (4 * WIDTH**2 + 4 * WIDTH) + 2 * WIDTH * INNER + INNER + WIDTH + 6 * WIDTH
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 3 * layer + 2 * WIDTH * norm_first
