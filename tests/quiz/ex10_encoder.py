"""Questions on exercise 10: the encoder, a stack that reads the whole source at once."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, question


@question("the parameters of a layer")
def parameters(ex: Exercise, rng: Random) -> Ask:
    width, inner = rng.pick([(8, 16), (16, 32), (16, 64), (32, 64)])
    layer = ex.EncoderLayer(width, 2, inner)
    return Ask(
        f"How many parameters does EncoderLayer(d_model={width}, n_heads=2, d_ff={inner}) have? (All biases are "
        "included.)",
        sum(p.numel() for p in layer.parameters()),
        f"Attention 4 * {width}**2 + 4 * {width}, feed-forward 2 * {width} * {inner} + {inner} + {width}, and two "
        f"norms of 2 * {width} each.",
    )


@question("the shape that goes through")
def through(ex: Exercise, rng: Random) -> Ask:
    batch, length, half, layers = rng.sizes(4)
    encoder = ex.Encoder(layers, 2 * half, 2, 16)
    x = rng.tensor(batch, length, 2 * half)
    return Ask(
        f"x of shape {tuple(x.shape)} goes into an Encoder with {layers} layers. What shape comes out?",
        tuple(encoder(x).shape),
        "The same. Every layer reads the stream and adds to it, so layers can be stacked at will.",
    )


@question("who sees whom")
def reach(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(4, 9)
    moved = rng.integers(0, length)
    torch.manual_seed(rng.integers(0, 2**31))
    encoder = ex.Encoder(1, 8, 2, 16).double()
    x = rng.tensor(1, length, 8, dtype=torch.float64)
    y = x.clone()
    y[0, moved] += rng.tensor(8, dtype=torch.float64)
    gap = (encoder(x) - encoder(y)).abs().amax(-1)[0]
    return Ask(
        f"An encoder reads {length} tokens without a mask. Token {moved} is changed. At how many positions does the "
        "output change?",
        int((gap > 1e-9).sum()),
        "At all of them: nothing is hidden in an encoder, it may read the source from both sides. Only a decoder, "
        "which writes, must not look ahead.",
    )


@question("what padding can do")
def padding(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(5, 9)
    real = rng.integers(2, length)
    torch.manual_seed(rng.integers(0, 2**31))
    encoder = ex.Encoder(2, 8, 2, 16).double()
    mask = (torch.arange(length) < real)[None, None, None]
    x = rng.tensor(1, length, 8, dtype=torch.float64)
    y = x.clone()
    y[0, real:] = rng.tensor(length - real, 8, dtype=torch.float64)
    gap = (encoder(x, mask) - encoder(y, mask)).abs().amax(-1)[0]
    return Ask(
        f"A source of {real} tokens is padded to {length}, and the mask hides the padding as keys. What stands there "
        "is replaced. At which positions does the output change?",
        frozenset(torch.nonzero(gap > 1e-9)[:, 0].tolist()),
        f"At the padded ones alone ({real} to {length - 1}), which nobody reads. No real token saw them in any layer.",
    )


@question("a final norm")
def final_norm(ex: Exercise, rng: Random) -> Ask:
    norm_first, layers = bool(rng.integers(0, 2)), rng.integers(2, 7)
    encoder = ex.Encoder(layers, 8, 2, 16, norm_first=norm_first)
    norms = sum(type(module).__name__ == "LayerNorm" for module in encoder.modules())
    return Ask(
        f"How many layer norms are in an Encoder of {layers} layers with norm_first={norm_first}?",
        norms,
        f"Two in each layer, {2 * layers}"
        + (", and one at the end: in pre-norm the stream itself was never normalized." if norm_first
           else ". In post-norm the last sublayer ends with one already, so none is added."),
    )  # fmt: skip
