"""What the stretch goals of exercise 10 must do."""

from __future__ import annotations

from typing import Any

import torch

from grader.checks import Exercise, Random, check, close, filled


def stack(ex: Exercise, rng: Random, norm_first: bool) -> Any:
    """Three layers, in evaluation mode."""
    return filled(ex.Encoder(3, 6, 2, 5, norm_first=norm_first), rng, dtype=torch.float64).eval()


@check("the stream before the first layer and after each", axes={"": "layer batch position feature"})
def test_states(ex: Exercise, rng: Random):
    return ex.stream_states(stack(ex, rng, False), rng.tensor(2, 4, 6, dtype=torch.float64))


@check("in pre-norm the last norm is left out, and the mask reaches each layer", after=test_states)
def test_states_with_a_mask(ex: Exercise, rng: Random):
    mask = rng.mask(2, 1, 4, 4)
    return ex.stream_states(stack(ex, rng, True), rng.tensor(2, 4, 6, dtype=torch.float64), mask)


@check("how much of each input has come to each position", axes={"rollout": "batch position input"})
def test_rollout(ex: Exercise, rng: Random):
    weights = rng.tensor(3, 2, 4, 5, 5, dtype=torch.float64, scale=3.0).softmax(-1)
    return {"rollout": ex.attention_rollout(weights), "weights": weights}


@test_rollout.explain
def _(got, want):
    if not close(got["rollout"].sum(-1), 1.0):
        yield f"a row sums to {got['rollout'].sum(-1).flat[0]:.3g}: of what is each A a mixture?"


@check("one layer, one head", after=test_rollout)
def test_rollout_of_one_layer(ex: Exercise, rng: Random):
    return ex.attention_rollout(rng.tensor(1, 1, 1, 4, 4, dtype=torch.float64).softmax(-1))
