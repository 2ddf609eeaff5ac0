"""What the stretch goals of exercise 5 must do."""

from __future__ import annotations

import math

import torch

from grader.checks import Exercise, Random, check, close


def in_parts(rng: Random, scale: float) -> dict[str, torch.Tensor]:
    """Attention over three parts of some keys, with the log-sum-exps of its scores, and over all keys together."""
    batch, queries, width, value_width = rng.sizes(4)
    q = rng.tensor(batch, queries, width, dtype=torch.float64, scale=scale)
    lengths = rng.sizes(3)
    k, v = (rng.tensor(batch, sum(lengths), size, dtype=torch.float64) for size in (width, value_width))
    scores = q @ k.mT / math.sqrt(width)  # (batch, queries, all keys)
    parts = list(zip(scores.split(lengths, dim=-1), v.split(lengths, dim=-2), strict=True))
    return {
        "outs": torch.stack([each.softmax(-1) @ values for each, values in parts]),
        "lses": torch.stack([each.logsumexp(-1) for each, _ in parts]),
        "whole": scores.softmax(-1) @ v,
    }


@check("merged, the parts give what all keys together give", axes={"merged": "batch query value"})
def test_merge(ex: Exercise, rng: Random):
    parts = in_parts(rng, scale=2.0)
    return {"merged": ex.merge_parts(parts["outs"], parts["lses"]), "whole": parts["whole"]}


@test_merge.explain
def _(got, want):
    if close(want["merged"], want["whole"]) and close(got["merged"].sum() / got["whole"].sum(), 3.0):
        yield "the parts are added up whole: what is each one's share?"


@check("huge log-sum-exps, and a part that is all hidden", after=test_merge)
def test_merge_extremes(ex: Exercise, rng: Random):
    parts = in_parts(rng, scale=1e5)
    outs, lses = parts["outs"].clone(), parts["lses"].clone()
    outs[1], lses[1] = 0.0, -math.inf
    return {"huge": ex.merge_parts(parts["outs"], parts["lses"]), "hidden": ex.merge_parts(outs, lses)}


@check("linear attention is the mixture of the values in the shares phi(q) . phi(k)", axes={"": "batch query value"})
def test_linear(ex: Exercise, rng: Random):
    batch, queries, keys, width, value_width = rng.sizes(5)
    q, k, v = rng.tensor(batch, queries, width), rng.tensor(batch, keys, width), rng.tensor(batch, keys, value_width)
    return ex.linear_attention(q, k, v)


@check("a quarter of a million queries and keys: no table of all pairs is made", after=test_linear)
def test_linear_is_linear(ex: Exercise, rng: Random):
    length = 2**18
    q, k, v = (rng.tensor(length, 2) for _ in range(3))
    return ex.linear_attention(q, k, v)[:3]
