"""What the stretch goals of exercise 20 must do."""

from __future__ import annotations

import torch

from grader.checks import Exercise, Random, check


@check("each query head meets the keys of its group", axes={"": "batch head query key"})
def test_scores(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3, 3, 9)
    return ex.grouped_scores(
        rng.tensor(2, 6, queries, width, dtype=torch.float64), rng.tensor(2, 3, keys, width, dtype=torch.float64)
    )


@check("one head of keys for all, and one for each", after=test_scores)
def test_scores_of_any_group(ex: Exercise, rng: Random):
    q = rng.tensor(2, 4, 3, 5, dtype=torch.float64)
    return {f"{heads}": ex.grouped_scores(q, rng.tensor(2, heads, 6, 5, dtype=torch.float64)) for heads in (1, 2, 4)}


@check("each new head is the mean of those that it replaces", axes={"": "row column"})
def test_pooled(ex: Exercise, rng: Random):
    return ex.pooled_heads(rng.tensor(6 * 4, 5, dtype=torch.float64), 6, 2)


@check("all become one, or all stay", after=test_pooled)
def test_pooled_extremes(ex: Exercise, rng: Random):
    weight = rng.tensor(4 * 3, 7, dtype=torch.float64)
    return {"one": ex.pooled_heads(weight, 4, 1), "all": ex.pooled_heads(weight, 4, 4)}
