"""What the stretch goals of exercise 0 must do."""

from __future__ import annotations

from typing import Any

import numpy as np

from grader.checks import Exercise, Random, check, close


def inputs(rng: Random, length: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Sequences of some length, and a cell with the state before the first step."""
    batch, width, inner = rng.sizes(3)
    weights = {
        "W_xh": rng.array(inner, width, scale=0.5),
        "W_hh": rng.array(width, width, scale=0.5),
        "b": rng.array(width),
    }
    return rng.array(batch, length, inner), {"h": rng.array(batch, width), **weights}


def gate(rng: Random, cell: dict[str, Any]) -> dict[str, Any]:
    """The weights of a gate that fits a cell."""
    return {f"{name}z" if name[0] == "W" else "b_z": rng.array(*cell[full].shape)
            for name, full in (("W_x", "W_xh"), ("W_h", "W_hh"), ("b", "b"))}  # fmt: skip


@check("a gate mixes the old state and the new one")
def test_gate(ex: Exercise, rng: Random):
    xs, cell = inputs(rng, 1)
    return ex.gated_step(xs[:, 0], **cell, **gate(rng, cell))


@check("a gate that is shut keeps the state as it is, one that is open takes the new one", after=test_gate)
def test_gate_extremes(ex: Exercise, rng: Random):
    xs, cell = inputs(rng, 1)
    weights = gate(rng, cell)
    shut, open_ = ({**weights, "b_z": weights["b_z"] + bias} for bias in (-1e5, 1e5))
    return {
        "shut": ex.gated_step(xs[:, 0], **cell, **shut),
        "open": ex.gated_step(xs[:, 0], **cell, **open_),
        "state": cell["h"],
    }


@test_gate_extremes.explain
def _(got, want):
    if not close(got["shut"], want["state"]) and close(got["open"], want["state"]):
        yield "your gate is shut where it should be open: at z = 1 the new state is taken."


def gradient(ex: Exercise, rng: Random, length: int) -> Any:
    """The gradient of the weights of the state, through some steps."""
    xs, cell = inputs(rng, length)
    h0 = cell.pop("h")
    return ex.rnn_grad(xs, h0, **cell, grad=rng.array(*h0.shape))


@check("the gradient of one step")
def test_gradient_of_one_step(ex: Exercise, rng: Random):
    return gradient(ex, rng, 1)


@check("the gradient of six steps: each has a share in it", after=test_gradient_of_one_step)
def test_gradient_through_time(ex: Exercise, rng: Random):
    return gradient(ex, rng, 6)
