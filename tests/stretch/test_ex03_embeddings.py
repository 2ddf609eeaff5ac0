"""What the stretch goals of exercise 3 must do."""

from __future__ import annotations

import numpy as np

from grader.checks import Exercise, Random, check


def nearest(ex: Exercise, weight: np.ndarray, token_id: int, k: int) -> list[int]:
    """The ids that come back, as plain numbers."""
    return [int(found) for found in ex.neighbours(weight.copy(), token_id, k)]


@check("the tokens whose vectors point most nearly the same way, the nearest first")
def test_neighbours(ex: Exercise, rng: Random):
    weight = rng.array(12, 5)
    return {"all": nearest(ex, weight, 3, 11), "some": nearest(ex, weight, 0, 4)}


@check("the length of a vector makes no difference", after=test_neighbours)
def test_neighbours_of_any_length(ex: Exercise, rng: Random):
    weight = rng.array(12, 5) * 10.0 ** rng.integers(-2, 3, 12)[:, np.newaxis]
    return nearest(ex, weight, 7, 5)


@check("the gradient of a table that is used twice")
def test_tied(ex: Exercise, rng: Random):
    vocab_size, width = rng.sizes(2, 5, 9)
    ids, targets = rng.integers(0, vocab_size, 4), rng.integers(0, vocab_size, 4)
    return ex.tied_grad(rng.array(vocab_size, width), ids, targets)


@check("tokens that occur several times, and large logits", after=test_tied)
def test_tied_repeated(ex: Exercise, rng: Random):
    return {
        "repeated": ex.tied_grad(rng.array(5, 3), np.array([1, 1, 4, 1]), np.array([4, 2, 4, 1])),
        "large": ex.tied_grad(rng.array(5, 3, scale=40.0), np.array([0, 3]), np.array([2, 1])),
    }
