"""What the stretch goals of exercise 19 must do."""

from __future__ import annotations

import torch

from grader.checks import Exercise, Random, check, filled


@check("the layer with another bend")
def test_gated(ex: Exercise, rng: Random):
    layer = filled(ex.SwiGLU(4, 6), rng, dtype=torch.float64)
    return ex.gated_unit(layer, rng.tensor(2, 3, 4, dtype=torch.float64), torch.relu)


@check("any bend, with biases or without; with SiLU it is the layer itself", after=test_gated)
def test_gated_with_any_bend(ex: Exercise, rng: Random):
    layer = filled(ex.SwiGLU(4, 6, bias=True), rng, dtype=torch.float64)
    x = rng.tensor(5, 4, dtype=torch.float64)
    return {
        "silu": ex.gated_unit(layer, x, torch.nn.functional.silu),
        "layer": layer(x),
        "bilinear": ex.gated_unit(layer, x, lambda z: z),
        "sine": ex.gated_unit(layer, x, torch.sin),
    }


@check("the gradient of the input of a normalization by the mean square", axes={"": "batch token feature"})
def test_rms_grad(ex: Exercise, rng: Random):
    shape = rng.sizes(3, 3, 9)
    return ex.rms_grad(rng.tensor(*shape, dtype=torch.float64), rng.tensor(*shape, dtype=torch.float64))


@check("tokens of any scale, and a large eps", after=test_rms_grad)
def test_rms_grad_of_any_scale(ex: Exercise, rng: Random):
    x, grad = rng.tensor(4, 6, dtype=torch.float64), rng.tensor(4, 6, dtype=torch.float64)
    return {"large": ex.rms_grad(50 * x, grad), "eps": ex.rms_grad(x, grad, 0.5), "one": ex.rms_grad(x[0], grad[0])}
