"""What the stretch goals of exercise 14 must do."""

from __future__ import annotations

from typing import Any

import torch

from grader.checks import Exercise, Random, check, filled, parameters


def accumulated(ex: Exercise, rng: Random, rows: int) -> dict[str, Any]:
    """The loss and the gradients of five texts, after gradients of something else."""
    gpt = ex.of("ex13_gpt")
    model = filled(gpt.GPT(gpt.GPTConfig(7, 4, d_model=6, n_heads=2, n_layers=1)), rng, dtype=torch.float64)
    x, y = rng.ids(7, 5, 4), rng.ids(7, 5, 4)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    loss = ex.accumulated_gradient(model, x, y, rows)
    return {"loss": float(loss), "gradients": {name: each.grad for name, each in parameters(model).items()}}


@check("the loss and the gradient of the whole batch, from pieces of one text")
def test_accumulated(ex: Exercise, rng: Random):
    return accumulated(ex, rng, 1)


@check("pieces of different sizes, and a single one", after=test_accumulated)
def test_accumulated_in_unequal_pieces(ex: Exercise, rng: Random):
    return {"two": accumulated(ex, rng, 2), "four": accumulated(ex, rng, 4), "all": accumulated(ex, rng, 9)}


@check("no piece is larger than was asked for", after=test_accumulated)
def test_accumulated_in_small_pieces(ex: Exercise, rng: Random):
    gpt = ex.of("ex13_gpt")
    model = filled(gpt.GPT(gpt.GPTConfig(7, 4, d_model=6, n_heads=2, n_layers=1)), rng)
    sizes, work = [], model.forward

    def forward(*args: Any, **options: Any) -> Any:
        logits, loss = work(*args, **options)
        sizes.append(len(logits))
        return logits, loss

    model.forward = forward
    ex.accumulated_gradient(model, rng.ids(7, 7, 4), rng.ids(7, 7, 4), 3)
    return {"texts": sum(sizes), "none larger": max(sizes, default=0) <= 3}


@check("up, along and down")
def test_rate(ex: Exercise, rng: Random):
    top = rng.uniform(0.1, 1.0)
    return [ex.wsd_lr(step, top, 10, 20, 100) for step in (0, 1, 9, 10, 50, 79, 80, 81, 99, 100, 150)]


@check("no warm-up, or no plateau", after=test_rate)
def test_rate_without_a_plateau(ex: Exercise, rng: Random):
    return {
        "at once": [ex.wsd_lr(step, 0.5, 0, 4, 8) for step in range(10)],
        "peak": [ex.wsd_lr(step, 0.5, 4, 6, 10) for step in range(12)],
    }
