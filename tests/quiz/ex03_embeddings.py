"""Questions on exercise 3: the table of token embeddings, and what its gradient is."""

from __future__ import annotations

import numpy as np

from grader.learning.quiz import Ask, Exercise, Random, question


@question("the shape of a lookup")
def lookup_shape(ex: Exercise, rng: Random) -> Ask:
    batch, length, width, vocab_size = rng.sizes(4, 3, 12)
    out = ex.TokenEmbedding(vocab_size, width)(rng.ids(vocab_size, batch, length))
    return Ask(
        f"A table of {vocab_size} tokens, each {width} wide, is read with ids of shape ({batch}, {length}). "
        "What is the shape of the result?",
        tuple(out.shape),
        f"Every id is replaced by its row: one axis of {width} is added at the end. How many tokens the table has "
        "does not show.",
    )


@question("the parameters of the table")
def parameters(ex: Exercise, rng: Random) -> Ask:
    vocab_size, width = rng.pick([65, 100, 1000, 5000]), rng.pick([16, 64, 128])
    return Ask(
        f"How many parameters does TokenEmbedding(vocab_size={vocab_size}, d_model={width}) have?",
        sum(p.numel() for p in ex.TokenEmbedding(vocab_size, width).parameters()),
        f"One row of {width} for each of {vocab_size} tokens, no bias: {vocab_size} * {width}. In small models this "
        "table is often the largest single piece.",
    )


@question("which rows get a gradient")
def rows_with_gradient(ex: Exercise, rng: Random) -> Ask:
    vocab_size = rng.integers(6, 10)
    ids = rng.integers(0, vocab_size, 4)
    grad = ex.embedding_grad(np.ones((4, 3)), ids, vocab_size)
    return Ask(
        f"A table of {vocab_size} rows was read at {ids.tolist()}. Which of its rows get a gradient that is not zero?",
        frozenset(int(row) for row in np.flatnonzero(grad.any(axis=1))),
        "Only what was read took part in the loss. All other rows of the table have no reason to move in this step.",
    )


@question("a token that occurs several times")
def repeated(ex: Exercise, rng: Random) -> Ask:
    token, vocab_size = rng.integers(0, 5), 5
    ids = rng.integers(0, vocab_size, 7)
    ids[rng.integers(0, 7)] = token
    grad = ex.embedding_grad(np.ones((7, 2)), ids, vocab_size)
    return Ask(
        f"A table was read at {ids.tolist()}, and the gradient that comes back is 1 everywhere. What is the gradient "
        f"of each number in row {token}?",
        int(grad[token, 0]),
        "The contributions of all places where the token stands add up. `grad[ids] += g` in NumPy would count each "
        "row once, which is the well-known trap.",
    )


@question("the factor of a scaled embedding")
def scale(ex: Exercise, rng: Random) -> Ask:
    width = rng.pick([16, 64, 144, 256, 400])
    plain, scaled = ex.TokenEmbedding(5, width), ex.TokenEmbedding(5, width, scale=True)
    plain.load_state_dict(scaled.state_dict())
    ids = rng.ids(5, 1, 3)
    factor = (scaled(ids) / plain(ids)).mean().item()
    return Ask(
        f"The original transformer scales its embeddings (scale=True). By what factor, with d_model = {width}?",
        float(factor),
        f"By sqrt(d_model) = {factor:.0f}, so that vectors which start small are not drowned by the positional "
        "encodings that are added to them.",
    )
