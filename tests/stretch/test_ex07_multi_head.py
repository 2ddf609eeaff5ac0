"""What the stretch goals of exercise 7 must do."""

from __future__ import annotations

from typing import Any

import torch

from grader.checks import Exercise, Random, check, close, filled


def layer_of(ex: Exercise, rng: Random, n_heads: int, bias: bool = True) -> Any:
    """A layer with four features for each head, in evaluation mode."""
    return filled(ex.MultiHeadAttention(4 * n_heads, n_heads, bias=bias), rng, dtype=torch.float64).eval()


@check("each head's part of the output", axes={"parts": "batch head position feature"})
def test_parts(ex: Exercise, rng: Random):
    layer = layer_of(ex, rng, 3)
    x = rng.tensor(2, 5, 12, dtype=torch.float64)
    return {"parts": ex.head_parts(layer, x), "out": layer(x), "bias": layer.out_proj.bias}


@test_parts.explain
def _(got, want):
    whole = got["parts"].sum(1)
    if not close(whole + want["bias"], want["out"]) and close(whole, want["out"] + 2 * want["bias"]):
        yield "each part holds the bias, which belongs to none."


@check("a layer without biases, with one head", after=test_parts)
def test_parts_of_one_head(ex: Exercise, rng: Random):
    return ex.head_parts(layer_of(ex, rng, 1, bias=False), rng.tensor(3, 4, 4, dtype=torch.float64))


@check("the layer computes the same with its heads in another order, and each is where it should be")
def test_reordered(ex: Exercise, rng: Random):
    layer = layer_of(ex, rng, 3)
    x = rng.tensor(2, 5, 12, dtype=torch.float64)
    out, weights = ex.reorder_heads(layer, [2, 0, 1])(x, return_weights=True)
    return {"out": out, "weights": weights}


@check("the old layer stays as it is; biases may be missing", after=test_reordered)
def test_reordered_leaves_the_old_layer(ex: Exercise, rng: Random):
    layer = layer_of(ex, rng, 3)
    x = rng.tensor(2, 5, 12, dtype=torch.float64)
    ex.reorder_heads(layer, [1, 2, 0])
    _, before = layer(x, return_weights=True)
    bare = layer_of(ex, rng, 2, bias=False)
    return {"before": before, "bare": ex.reorder_heads(bare, [1, 0])(x[..., :8], return_weights=True)}
