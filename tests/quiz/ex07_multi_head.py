"""Questions on exercise 7: several heads, each in its own slice."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, multiplications, question


@question("the shape after splitting")
def split_shape(ex: Exercise, rng: Random) -> Ask:
    batch, length, width, heads = rng.sizes(4)
    x = torch.zeros(batch, length, heads * width)
    return Ask(
        f"x is {tuple(x.shape)}. What shape does split_heads(x, n_heads={heads}) have?",
        tuple(ex.split_heads(x, heads).shape),
        f"Each row of {heads * width} is cut into {heads} pieces of {width}, and the heads go in front of the "
        "positions, so that attention sees them as one more thing to do many times.",
    )


@question("which columns a head has")
def columns(ex: Exercise, rng: Random) -> Ask:
    heads, width = rng.integers(2, 6), rng.integers(2, 5)
    head = rng.integers(0, heads)
    split = ex.split_heads(torch.arange(heads * width)[None, None], heads)
    return Ask(
        f"D = {heads * width} and H = {heads}. Which columns of a token's row does head {head} get? (Both count from "
        "0.)",
        frozenset(split[0, head, 0].tolist()),
        f"d = D / H = {width}, and head h has the columns h*d to (h+1)*d - 1.",
    )


@question("the parameters of the layer")
def parameters(ex: Exercise, rng: Random) -> Ask:
    heads = rng.pick([1, 2, 4])
    width = heads * rng.pick([8, 16, 32])
    bias = bool(rng.integers(0, 2))
    layer = ex.MultiHeadAttention(width, heads, bias=bias)
    return Ask(
        f"How many parameters does MultiHeadAttention(d_model={width}, n_heads={heads}, bias={bias}) have?",
        sum(p.numel() for p in layer.parameters()),
        f"Four projections of {width} by {width}{f', and a bias of {width} each' if bias else ', no biases'}. The "
        "number of heads does not matter: they are slices of the same matrices.",
    )


@question("more heads")
def more_heads(ex: Exercise, rng: Random) -> Ask:
    width, few, many = 48, *rng.pick([(2, 4), (3, 6), (4, 8), (4, 12), (6, 24)])
    counts = [sum(p.numel() for p in ex.MultiHeadAttention(width, heads).parameters()) for heads in (few, many)]
    return Ask(
        f"d_model stays {width}, and there are {many} heads instead of {few}. How many parameters come on top?",
        counts[1] - counts[0],
        f"None. The heads get narrower: {width // many} columns each instead of {width // few}. What is paid is what "
        "one head can tell apart; what is gained is more questions at once.",
    )


@question("the shape of the weights in cross-attention")
def cross_weights(ex: Exercise, rng: Random) -> Ask:
    batch, queries, keys, heads = rng.sizes(4)
    layer = ex.MultiHeadAttention(heads * 2, heads)
    query, key = rng.tensor(batch, queries, heads * 2), rng.tensor(batch, keys, heads * 2)
    _, weights = layer(query, key, return_weights=True)
    return Ask(
        f"A layer with {heads} heads gets a query of shape {tuple(query.shape)} and keys of shape {tuple(key.shape)}. "
        "What is the shape of its attention weights?",
        tuple(weights.shape),
        f"For every sequence and head one table: {queries} queries by {keys} keys.",
    )


@question("the reshape that looks right")
def shortcut(ex: Exercise, rng: Random) -> Ask:
    length, heads, width = rng.integers(3, 7), rng.pick([2, 3, 4]), rng.integers(2, 4)
    tokens = torch.arange(length)[:, None].expand(length, heads * width)[None]
    wrong = tokens.reshape(1, heads, length, width)
    assert wrong.shape == ex.split_heads(tokens, heads).shape
    row = rng.integers(1, length)
    return Ask(
        f"T = {length}, H = {heads}, d = {width}. Instead of splitting and transposing, somebody calls "
        f"x.reshape(B, {heads}, {length}, {width}). From which token does row {row} of head 0 start? (Counted from 0.)",
        int(wrong[0, 0, row, 0]),
        f"reshape only counts numbers off in order: row {row} of head 0 begins with number {row * width}, and a token "
        f"has {heads * width}. Right would be token {row}. The shape is right, the content is not, and nothing "
        "crashes.",
    )


@question("the work of the layer")
def work(ex: Exercise, rng: Random) -> Ask:
    length, width = rng.pick([8, 16, 32]), rng.pick([16, 32])
    layer, x = ex.MultiHeadAttention(width, 4), rng.tensor(1, length, width)
    return Ask(
        f"How many multiplications do the matrix products of one self-attention layer take, with T = {length} tokens, "
        f"D = {width} and 4 heads? (Projections included.)",
        multiplications(lambda: layer(x)),
        "Four projections of T * D * D, and for all heads together T * T * D for the scores and as many for the "
        f"mixtures: 4 * {length} * {width}**2 + 2 * {length}**2 * {width}. For short texts the projections are the "
        "larger part.",
    )
