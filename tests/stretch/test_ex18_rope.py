"""What the stretch goals of exercise 18 must do."""

from __future__ import annotations

import torch

from grader.checks import Exercise, Random, check


@check("the slowest pair turns so many times as slowly", tolerance=1e-6)
def test_stretched_base(ex: Exercise, rng: Random):
    factor = rng.uniform(1.5, 8.0)
    return {
        "wide": float(ex.stretched_base(10000.0, 64, factor)),
        "narrow": float(ex.stretched_base(500.0, 4, factor)),
        "same": float(ex.stretched_base(10000.0, 8, 1.0)),
    }


@test_stretched_base.explain
def _(got, want):
    if abs(got["same"] / want["same"] - 1) > 1e-6:
        yield "with a factor of 1 the base should stay as it is."
    elif abs(got["wide"] / want["wide"] - 1) > 1e-6:
        pair = (got["wide"] / 10000.0) ** (62 / 64)
        yield f"with your base, the slowest pair of vectors 64 wide turns {pair:.4g} times as slowly as before."


@check("the first features are turned, the others stay", axes={"": "batch position feature"})
def test_partial(ex: Exercise, rng: Random):
    return ex.partial_rotate(rng.tensor(2, 5, 12, dtype=torch.float64), rng.ids(40, 5), 2 / 3, 100.0)


@check("all of the features, none of them, and two", after=test_partial)
def test_partial_extremes(ex: Exercise, rng: Random):
    x, positions = rng.tensor(3, 4, 8, dtype=torch.float64), rng.ids(40, 4)
    return {f"{share}": ex.partial_rotate(x.clone(), positions, share) for share in (1.0, 0.0, 0.25)}
