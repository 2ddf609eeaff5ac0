"""Questions on exercise 5: scaled dot-product attention."""

from __future__ import annotations

import math

import numpy as np
import torch

from grader.learning.quiz import Ask, Exercise, Random, changed, multiplications, question


@question("the shape of the weights")
def weights_shape(ex: Exercise, rng: Random) -> Ask:
    batch, queries, keys, width, value_width = rng.sizes(5)
    q, k, v = rng.tensor(batch, queries, width), rng.tensor(batch, keys, width), rng.tensor(batch, keys, value_width)
    _, weights = ex.scaled_dot_product_attention(q, k, v)
    return Ask(
        f"q is {tuple(q.shape)}, k is {tuple(k.shape)}, v is {tuple(v.shape)}. What is the shape of the weights?",
        tuple(weights.shape),
        f"One weight for every pair of a query and a key, {queries} rows and {keys} columns, for each of the {batch} "
        f"sequences. The width {width} is summed away in the dot products.",
    )


@question("the shape of the output")
def output_shape(ex: Exercise, rng: Random) -> Ask:
    batch, queries, keys, width, value_width = rng.sizes(5)
    q, k, v = rng.tensor(batch, queries, width), rng.tensor(batch, keys, width), rng.tensor(batch, keys, value_width)
    out, _ = ex.scaled_dot_product_attention(q, k, v)
    return Ask(
        f"q is {tuple(q.shape)}, k is {tuple(k.shape)}, v is {tuple(v.shape)}. What is the shape of the output?",
        tuple(out.shape),
        f"weights @ v is ({queries}, {keys}) times ({keys}, {value_width}): one answer for each query, as wide as a "
        "value. The number of keys is summed away.",
    )


@question("one score by hand")
def score(ex: Exercise, rng: Random) -> Ask:
    width = rng.pick([4, 9, 16])
    query, key = rng.integers(-2, 3, 4), rng.integers(-2, 3, 4)
    q, k = (torch.zeros(1, width, dtype=torch.float64) for _ in range(2))
    q[0, :4], k[0, :4] = torch.from_numpy(query), torch.from_numpy(key)
    _, weights = ex.scaled_dot_product_attention(q, torch.cat([k, 0 * k]), torch.cat([k, k]))
    value = (weights[0, 0] / weights[0, 1]).log().item()  # the other key's score is 0
    zeros = f", and {width - 4} zeros" if width > 4 else ""
    return Ask(
        f"D = {width}. A query is {query.tolist()}{zeros}, a key is {key.tolist()}{zeros}. What is the score that "
        "goes into the softmax?",
        round(value, 9),
        f"The dot product is {int(query @ key)}, divided by sqrt({width}) = {math.isqrt(width)}.",
    )


@question("one query, worked out")
def worked(ex: Exercise, rng: Random) -> Ask:
    one, two = rng.sizes(2, 1, 5)
    values = 10.0 * np.array(rng.sizes(2, 1, 9))
    keys = np.log(np.array([[one], [two]], dtype=float))
    answer = float(ex.attend(np.ones(1), keys, values[:, None])[0])
    return Ask(
        f"D = 1. The query is 1, the two keys are ln {one} and ln {two}, their values {values[0]:g} and {values[1]:g}. "
        "What does attention return?",
        answer,
        f"The scores are ln {one} and ln {two}, the weights {one}/{one + two} and {two}/{one + two}, and the mixture "
        f"is ({one} * {values[0]:g} + {two} * {values[1]:g}) / {one + two}.",
    )


@question("without the square root")
def without_scale(ex: Exercise, rng: Random) -> Ask:
    width = rng.pick([16, 64, 100, 256])
    q, k = rng.tensor(1, width, dtype=torch.float64), rng.tensor(5, width, dtype=torch.float64)
    _, right = ex.scaled_dot_product_attention(q, k, k)
    with changed(
        ex, ("scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))", "scores = q @ k.transpose(-2, -1)")
    ) as bare:
        _, sharp = bare.scaled_dot_product_attention(q, k, k)
    gaps = [(w.log().max() - w.log().min()).item() for w in (right, sharp)]
    return Ask(
        f"Queries and keys have D = {width}. The division by sqrt(D) is left out. How many times as far apart are the "
        "scores of two keys now?",
        gaps[1] / gaps[0],
        f"sqrt({width}) times. A dot product of {width} terms of size 1 has a spread of sqrt({width}); undivided, the "
        "softmax puts nearly all on one key, and hardly any gradient gets through.",
    )


@question("the work of attention")
def work(ex: Exercise, rng: Random) -> Ask:
    length, width = rng.pick([8, 16, 32, 64]), rng.pick([4, 16, 64])
    q = rng.tensor(length, width)
    return Ask(
        f"{length} tokens attend to each other; queries, keys and values are {width} wide. How many multiplications "
        "do the two matrix products take?",
        multiplications(lambda: ex.scaled_dot_product_attention(q, q, q)),
        f"T * T * D for the scores and as many for the mixtures: 2 * {length}**2 * {width}. Twice as many tokens, "
        "four times the work.",
    )


@question("equal keys")
def equal_keys(ex: Exercise, rng: Random) -> Ask:
    values = np.array(rng.sizes(4, 1, 30), dtype=float)
    out = ex.attend(rng.array(3), np.tile(rng.array(3), (4, 1)), values[:, None])
    return Ask(
        f"Four keys are all the same; their values are {values.astype(int).tolist()}. What does any query get?",
        float(out[0]),
        "Equal keys get equal scores, so each value counts a quarter: the plain average, whatever the query asks.",
    )
