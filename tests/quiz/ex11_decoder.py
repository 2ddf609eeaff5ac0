"""Questions on exercise 11: the decoder, which reads the source while it writes."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, question


@question("the parameters of a layer")
def parameters(ex: Exercise, rng: Random) -> Ask:
    width, inner = rng.pick([(8, 16), (16, 32), (16, 64), (32, 64)])
    layer = ex.DecoderLayer(width, 2, inner)
    return Ask(
        f"How many parameters does DecoderLayer(d_model={width}, n_heads=2, d_ff={inner}) have? (All biases are "
        "included.)",
        sum(p.numel() for p in layer.parameters()),
        f"Two attentions of 4 * {width}**2 + 4 * {width}, feed-forward 2 * {width} * {inner} + {inner} + {width}, and "
        f"three norms of 2 * {width}.",
    )


@question("the shape that comes out")
def out_shape(ex: Exercise, rng: Random) -> Ask:
    batch, source, target, half = rng.sizes(4)
    x, memory = rng.tensor(batch, target, 2 * half), rng.tensor(batch, source, 2 * half)
    out = ex.DecoderLayer(2 * half, 2, 16)(x, memory)
    return Ask(
        f"A decoder layer gets x of shape {tuple(x.shape)} and a memory of shape {tuple(memory.shape)}. What shape "
        "comes out?",
        tuple(out.shape),
        "That of x. The memory's length disappears when the values are mixed.",
    )


@question("the weights of cross-attention")
def cross_shape(ex: Exercise, rng: Random) -> Ask:
    batch, source, target = rng.sizes(3)
    layer = ex.DecoderLayer(8, 2, 16)
    _, weights = layer.cross_attention(rng.tensor(batch, target, 8), rng.tensor(batch, source, 8), return_weights=True)
    return Ask(
        f"A decoder layer with 2 heads reads {batch} targets of length {target} and sources of length {source}. What "
        "is the shape of its cross-attention weights?",
        tuple(weights.shape),
        f"Queries come from the target, keys and values from the source: {target} rows, {source} columns, for each "
        "head.",
    )


@question("where the keys come from")
def sources(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(3, 7)
    torch.manual_seed(rng.integers(0, 2**31))
    layer = ex.DecoderLayer(8, 2, 16).double()
    x = rng.tensor(1, 4, 8, dtype=torch.float64)
    memory = rng.tensor(1, length, 8, dtype=torch.float64)
    other = memory + rng.tensor(1, length, 8, dtype=torch.float64)
    gap = (layer(x, memory) - layer(x, other)).abs().amax(-1)[0]
    return Ask(
        f"A decoder layer reads 4 target tokens and a memory of {length}. All of the memory is replaced. At how many "
        "target positions does the output change?",
        int((gap > 1e-9).sum()),
        "At all 4. Each of them reads the whole source; a causal mask is about the target alone, since the source is "
        "known in full before the first word is written.",
    )


@question("what a later word can change")
def causal(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(4, 9)
    moved = rng.integers(1, length)
    torch.manual_seed(rng.integers(0, 2**31))
    decoder = ex.Decoder(2, 8, 2, 16).double()
    x, memory = rng.tensor(1, length, 8, dtype=torch.float64), rng.tensor(1, 3, 8, dtype=torch.float64)
    y = x.clone()
    y[0, moved] += rng.tensor(8, dtype=torch.float64)
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    gap = (decoder(x, memory, mask) - decoder(y, memory, mask)).abs().amax(-1)[0]
    return Ask(
        f"A decoder reads {length} target tokens with a causal mask. Token {moved} is changed. At which positions "
        "does the output change?",
        frozenset(torch.nonzero(gap > 1e-9)[:, 0].tolist()),
        "At its own and the later ones. So what was written stays as it was while more is written.",
    )
