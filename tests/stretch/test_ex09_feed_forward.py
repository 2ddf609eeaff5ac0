"""What the stretch goals of exercise 9 must do."""

from __future__ import annotations

from typing import Any

import torch

from grader.checks import Exercise, Random, check, filled


def layer_of(ex: Exercise, rng: Random, **options: Any) -> Any:
    """A layer of width 3 with five hidden units, in evaluation mode."""
    return filled(ex.FeedForward(3, 5, **options), rng, dtype=torch.float64).eval()


@check("what each hidden unit adds", axes={"parts": "batch position unit feature"})
def test_parts(ex: Exercise, rng: Random):
    layer = layer_of(ex, rng)
    x = rng.tensor(2, 4, 3, dtype=torch.float64)
    return {"parts": ex.memory_parts(layer, x), "out": layer(x)}


@check("any bend, with biases or without", after=test_parts)
def test_parts_of_any_layer(ex: Exercise, rng: Random):
    x = rng.tensor(1, 3, 3, dtype=torch.float64)
    return {
        "relu": ex.memory_parts(layer_of(ex, rng, activation="relu", bias=False), x),
        "tanh": ex.memory_parts(layer_of(ex, rng, activation="gelu_tanh", dropout=0.5), x),
    }


@check("the layer with some of its units, in this order")
def test_kept(ex: Exercise, rng: Random):
    layer = layer_of(ex, rng, activation="relu")
    x = rng.tensor(2, 4, 3, dtype=torch.float64)
    new = ex.kept_units(layer, [4, 0, 2])
    return {"out": new(x), "up": new.up.weight, "down": new.down.weight, "old": layer(x)}


@check("a layer without biases, with another bend", after=test_kept)
def test_kept_without_biases(ex: Exercise, rng: Random):
    new = ex.kept_units(layer_of(ex, rng, activation="gelu_tanh", bias=False), [1, 3])
    biases = [part.bias is not None for part in (new.up, new.down)]
    return {"out": new(rng.tensor(2, 4, 3, dtype=torch.float64)), "biases": biases}
