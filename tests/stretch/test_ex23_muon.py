"""What the stretch goals of exercise 23 must do."""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close


@check("the singular vectors stay, and all singular values are 1", tolerance=1e-5)
def test_polar(ex: Exercise, rng: Random):
    return ex.polar_factor(rng.tensor(5, 7, dtype=torch.float64))


@test_polar.explain
def _(got, want):
    found = np.linalg.svd(got, compute_uv=False)
    if not close(found, 1.0, 1e-5):
        yield f"your matrix has singular values from {found.min():.4g} to {found.max():.4g}."


@check("tall, square and tiny matrices", tolerance=1e-4, after=test_polar)
def test_polar_of_any_shape(ex: Exercise, rng: Random):
    return {
        "tall": ex.polar_factor(rng.tensor(9, 4, dtype=torch.float64)),
        "square": ex.polar_factor(torch.eye(4, dtype=torch.float64) + rng.tensor(4, 4, dtype=torch.float64, scale=0.2)),
        "tiny": ex.polar_factor(1e-6 * rng.tensor(3, 8, dtype=torch.float64)),
        "single": ex.polar_factor(rng.tensor(3, 8)),
    }


@check("each tensor is the mean of those of its name")
def test_averaged(ex: Exercise, rng: Random):
    states = [{"weight": rng.tensor(3, 4), "bias": rng.tensor(4)} for _ in range(3)]
    return ex.averaged_state(states)


@check("dtypes stay, integers are the last ones, and nothing is shared or changed", after=test_averaged)
def test_averaged_of_any_dtype(ex: Exercise, rng: Random):
    states = [
        {"rough": rng.tensor(3, dtype=torch.bfloat16), "steps": torch.tensor([number, 7]), "weight": rng.tensor(2, 2)}
        for number in (3, 9)
    ]
    found = ex.averaged_state(states)
    alone = ex.averaged_state(states[:1])
    before = {name: tensor.clone() for name, tensor in alone.items()}
    for tensor in [*found.values(), *alone.values()]:
        tensor.zero_()
    again = ex.averaged_state(states)
    return {"mean": again, "alone": before, "states": states}
