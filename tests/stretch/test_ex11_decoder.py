"""What the stretch goals of exercise 11 must do."""

from __future__ import annotations

from typing import Any

import torch

from grader.checks import Exercise, Random, check, filled


def layer_and_inputs(ex: Exercise, rng: Random) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """A layer with three heads, a target and a memory."""
    layer = filled(ex.DecoderLayer(12, 3, 5), rng, dtype=torch.float64).eval()
    return layer, rng.tensor(2, 4, 12, dtype=torch.float64), rng.tensor(2, 5, 12, dtype=torch.float64)


@check(
    "the keys and values of the memory", axes={"k": "batch head position feature", "v": "batch head position feature"}
)
def test_memory_keys(ex: Exercise, rng: Random):
    layer, _, memory = layer_and_inputs(ex, rng)
    k, v = ex.memory_keys(layer, memory, 3)
    return {"k": k, "v": v}


@check("with them, the target sees what it sees with the memory itself", axes={"out": "batch position feature"})
def test_cross_attend(ex: Exercise, rng: Random):
    layer, x, memory = layer_and_inputs(ex, rng)
    k, v = (projected.unflatten(-1, (3, 4)).transpose(1, 2) for projected in (
        layer.cross_attention.k_proj(memory), layer.cross_attention.v_proj(memory)
    ))  # fmt: skip
    mask = rng.mask(2, 1, 1, 5)
    mask[1] = False  # a memory of nothing but padding
    return {
        "out": ex.cross_attend(layer, x, k, v),
        "masked": ex.cross_attend(layer, x, k, v, mask),
        "as before": layer.cross_attention(x, memory, mask=mask),
        "one": ex.cross_attend(layer, x[:, -1:], k, v),
    }
