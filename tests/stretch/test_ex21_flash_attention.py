"""What the stretch goals of exercise 21 must do."""

from __future__ import annotations

import torch

from grader.checks import Exercise, Random, check


@check("each query sees itself and the keys just before it", axes={"": "batch query value"})
def test_sliding(ex: Exercise, rng: Random):
    width, value_width = rng.sizes(2)
    q, k, v = (rng.tensor(2, 13, size, dtype=torch.float64) for size in (width, width, value_width))
    return ex.sliding_attention(q, k, v, 4, 5)


@check("blocks and windows of any size, huge scores", after=test_sliding)
def test_sliding_of_any_size(ex: Exercise, rng: Random):
    q, k, v = (rng.tensor(2, 3, 11, 4, dtype=torch.float64) for _ in range(3))
    return {
        "itself": ex.sliding_attention(q, k, v, 1, 3),
        "all": ex.sliding_attention(q, k, v, 50, 4),
        "one block": ex.sliding_attention(q, k, v, 6),
        "small blocks": ex.sliding_attention(q, k, v, 7, 1),
        "huge": ex.sliding_attention(1e4 * q, k, v, 5, 2),
        "flat": ex.sliding_attention(q[0, 0, :1], k[0, 0, :1], v[0, 0, :1], 3),
    }


@check("100,000 tokens: what lies outside of the band is never computed", after=test_sliding)
def test_sliding_is_linear(ex: Exercise, rng: Random):
    q, k, v = (rng.tensor(100_000, 2) for _ in range(3))
    return ex.sliding_attention(q, k, v, 100, 500)[-3:]
