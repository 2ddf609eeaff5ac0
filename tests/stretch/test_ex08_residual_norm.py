"""What the stretch goals of exercise 8 must do."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from grader.checks import Exercise, Random, check, filled


def folded(ex: Exercise, rng: Random, bias: bool) -> dict[str, Any]:
    """What a folded layer makes of bare normalized tokens, and the layers that it was made of."""
    width, out_width = rng.sizes(2)
    norm = filled(ex.LayerNorm(width), rng, dtype=torch.float64)
    linear = filled(nn.Linear(width, out_width, bias=bias), rng, dtype=torch.float64)
    x = rng.tensor(3, width, dtype=torch.float64)
    new, bare = ex.fold_norm(norm, linear), ex.LayerNorm(width).double()
    return {"folded": new(bare(x)), "as before": linear(norm(x)), "weight": norm.weight}


@check("after a bare norm, the new layer gives what the old one gives after the old norm")
def test_fold(ex: Exercise, rng: Random):
    return folded(ex, rng, True)


@check("a linear layer without a bias", after=test_fold)
def test_fold_without_bias(ex: Exercise, rng: Random):
    return folded(ex, rng, False)


@check("the gradient of the input of a normalization", axes={"": "batch token feature"})
def test_norm_grad(ex: Exercise, rng: Random):
    shape = rng.sizes(3, 3, 9)
    return ex.norm_grad(rng.tensor(*shape, dtype=torch.float64), rng.tensor(*shape, dtype=torch.float64))


@check("tokens with a mean far from 0, and a large eps", after=test_norm_grad)
def test_norm_grad_of_any_scale(ex: Exercise, rng: Random):
    (width,) = rng.sizes(1, 4, 9)
    x, grad = rng.tensor(4, width, dtype=torch.float64), rng.tensor(4, width, dtype=torch.float64)
    return {
        "far": ex.norm_grad(100 + 3 * x, grad),
        "eps": ex.norm_grad(x, grad, 0.5),
        "one": ex.norm_grad(x[0], grad[0]),
    }
