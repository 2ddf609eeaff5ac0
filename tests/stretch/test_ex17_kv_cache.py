"""What the stretch goals of exercise 17 must do."""

from __future__ import annotations

from typing import Any

import torch

from grader.checks import Exercise, Random, check


def full(ex: Exercise, rng: Random) -> Any:
    """A cache of two layers that holds four tokens of two texts."""
    cache = ex.KVCache()
    for layer in range(2):
        cache.append(layer, rng.tensor(2, 3, 4, 5), rng.tensor(2, 3, 4, 5))
    return cache


def token(rng: Random, texts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The keys and values of one more token."""
    return rng.tensor(texts, 3, 1, 5), rng.tensor(texts, 3, 1, 5)


@check("each text stands in the new cache so many times, in each layer")
def test_fork(ex: Exercise, rng: Random):
    new = ex.fork(full(ex, rng), 3)
    held = [new.held(0), new.held(1)]
    return {"held": held, "layer 0": new.append(0, *token(rng, 6)), "layer 1": new.append(1, *token(rng, 6))}


@check("neither cache knows what is appended to the other", after=test_fork)
def test_forks_are_apart(ex: Exercise, rng: Random):
    cache = full(ex, rng)
    new, other = ex.fork(cache, 1), ex.fork(cache, 2)
    new.append(0, *token(rng, 2))
    cache.append(1, *token(rng, 2))
    return {
        "old": [cache.held(0), cache.held(1)],
        "new": [new.held(0), new.held(1)],
        "other": [other.held(0), other.held(1)],
        "kept": cache.append(0, *token(rng, 2)),
        "empty": ex.fork(ex.KVCache(), 2).held(0),
    }


@check("the first tokens stay, in each layer")
def test_rewind(ex: Exercise, rng: Random):
    cache = full(ex, rng)
    ex.rewind(cache, 2)
    held = [cache.held(0), cache.held(1)]
    return {"held": held, "layer 0": cache.append(0, *token(rng, 2)), "layer 1": cache.append(1, *token(rng, 2))}


@check("nothing is left, or all; and what was returned keeps its numbers", after=test_rewind)
def test_rewind_extremes(ex: Exercise, rng: Random):
    empty, whole = full(ex, rng), full(ex, rng)
    ex.rewind(empty, 0)
    returned = whole.append(0, *token(rng, 2))
    ex.rewind(whole, 9)
    held = {"empty": empty.held(0), "whole": whole.held(0)}
    ex.rewind(whole, 1)
    return {
        **held,
        "again": empty.append(0, *token(rng, 2)),
        "more": whole.append(0, *token(rng, 2)),
        "returned": returned,
    }
