"""What RMSNorm and SwiGLU must do: the checks of exercise 19."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from grader.checks import Exercise, Random, check, close, filled, gradients, on_meta

PARTS = ("gate", "up", "down")


def neutral(norm: nn.Module) -> nn.Module:
    """A norm whose scale is one, however it started."""
    with torch.no_grad():
        norm.weight.fill_(1.0)
    return norm


@check(
    "RMSNorm: x over the root of its mean square, times the weight",
    points=2,
    tolerance=2e-5,
    axes={"out": "batch position feature"},
)
def test_norm(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    norm = filled(ex.RMSNorm(d_model), rng)
    x = rng.tensor(batch, length, d_model, scale=2.0) + 1
    return {"out": norm(x.clone()), "x": x, "weight": norm.weight}


@test_norm.explain
def _(got, want):
    out, x, weight = got["out"], want["x"], want["weight"]
    square = (x**2).mean(-1, keepdims=True)
    centred = x - x.mean(-1, keepdims=True)
    if close(out, centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight, 1e-4):
        yield "this is a layer norm without a shift: here the mean is not taken away."
    elif close(out, x / np.sqrt((x**2).sum(-1, keepdims=True) + 1e-5) * weight, 1e-4):
        yield "you divide by the root of the sum of the squares: what makes a sum of D numbers a mean?"
    elif close(out, x / (square + 1e-5) * weight, 1e-4):
        yield "you divide by the mean square itself: which step is left to do before that?"
    elif close(out, x / np.sqrt(square + 1e-5), 1e-4):
        yield "the token is normalized, and the weight does nothing."


@check("at first the scale is one; it can be learned, and nothing else can", points=1)
def test_norm_starts_neutral(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1, 3, 9)
    norm = ex.RMSNorm(d_model)
    learned = isinstance(norm.weight, nn.Parameter)
    return {"weight": norm.weight, "weight is a parameter": learned, "parameters": len(list(norm.parameters()))}


@check("silu(x) is x * sigmoid(x)", points=1)
def test_silu(ex: Exercise, rng: Random):
    x = rng.tensor(4, 6, scale=2.0)
    return {"out": ex.silu(x.clone()), "x": x}


@test_silu.explain
def _(got, want):
    out, x = got["out"], want["x"]
    if close(out, 1 / (1 + np.exp(-x)), 1e-4):
        yield "this is sigmoid(x) alone: what is it that the gate lets pass?"
    elif close(out, x * np.tanh(x), 1e-4):
        yield "this is x * tanh(x), which lets negative numbers through with the wrong sign."


@check("SwiGLU: down(silu(gate(x)) * up(x))", points=2, axes={"out": "batch position feature"})
def test_swiglu(ex: Exercise, rng: Random):
    batch, length, d_model, d_ff = rng.sizes(4, 3, 9)
    network = filled(ex.SwiGLU(d_model, d_ff), rng)
    x = rng.tensor(batch, length, d_model)
    weights = {name: getattr(network, name).weight for name in PARTS}
    return {"out": network(x.clone()), "x": x, "weights": weights}


@test_swiglu.explain
def _(got, want):
    out, x = got["out"], want["x"]
    gate, up, down = (np.asarray(want["weights"][name]) for name in PARTS)

    def silu(z):
        return z / (1 + np.exp(-z))

    g, u = x @ gate.T, x @ up.T
    if close(out, (g * silu(u)) @ down.T, 1e-4):
        yield "`up` goes through silu and `gate` does not: it should be the other way round."
    elif close(out, (g * u) @ down.T, 1e-4):
        yield "gate and up are multiplied, and there is no nonlinearity."
    elif close(out, (silu(g) + u) @ down.T, 1e-4):
        yield "the two branches are added: how can a gate that is shut keep the other one out?"
    elif close(out, silu(g * u) @ down.T, 1e-4):
        yield "silu acts on the product: which of the two should it act on?"
    elif close(out, silu(g) @ down.T, 1e-4):
        yield "what `up` computes has no part in the result."
    elif close(out, (1 / (1 + np.exp(-g)) * u) @ down.T, 1e-4):
        yield "the gate is sigmoid(gate(x)), as in a plain GLU; here it is silu."


@check("the width is the least multiple that is at least 8 D / 3", points=1)
def test_width(ex: Exercise, rng: Random):
    d_model = 3 * rng.integers(5, 40)
    widths = {str(d_model + more): ex.swiglu_width(d_model + more) for more in range(3)}
    wide = ex.swiglu_width(4096, 256)
    found = {"by d_model": widths, "multiples of 64": ex.swiglu_width(d_model, 64), "Llama": wide}
    return found | {"type": "int" if isinstance(wide, int) else type(wide).__name__}


@test_width.explain
def _(got, want):
    for d_model, width in got["by d_model"].items():
        if 3 * width < 8 * int(d_model):
            yield f"swiglu_width({d_model}) is {width}, less than 8 * {d_model} / 3 = {8 * int(d_model) / 3:.2f}."
            return
    if got["multiples of 64"] % 64:
        yield f"with multiple_of=64 the width is {got['multiples of 64']}, which is no multiple of 64."


### BEGIN HIDDEN TESTS
@check("small features: eps is inside the root, and the one that was given", points=1, tolerance=2e-5, after=test_norm)
def test_norm_eps(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    x = rng.tensor(batch, d_model, scale=3e-3)
    return {"usual": neutral(ex.RMSNorm(d_model))(x), "large": neutral(ex.RMSNorm(d_model, eps=0.1))(x)}


@test_norm_eps.explain
def _(got, want):
    if close(got["usual"], got["large"]) and not close(want["usual"], want["large"]):
        yield "with eps=0.1 the result is that of eps=1e-5: where does `eps` arrive?"


@check("a token of zeros gives zeros, and finite gradients", points=1, after=test_norm)
def test_norm_zeros(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    norm = filled(ex.RMSNorm(d_model, eps=1e-5), rng)
    x = torch.zeros(batch, d_model, requires_grad=True)
    out = norm(x)
    return {"out": out, "gradients": gradients(out, {"x": x, "weight": norm.weight}, rng)}


@check("a token's result does not depend on the others, whatever axes there are", points=1, after=test_norm)
def test_norm_alone(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    norm = filled(ex.RMSNorm(d_model), rng)
    x = rng.tensor(batch, length, d_model)
    return {"together": norm(x)[0, 1], "alone": norm(x[0, 1]), "four axes": norm(x[:, None])[0, 0, 1]}


@check(
    "gradients reach the input, through the mean square too, and the weight", points=1, tolerance=2e-5, after=test_norm
)
def test_norm_gradients(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    norm = filled(ex.RMSNorm(d_model, eps=1e-5), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64, grad=True)
    return gradients(norm(x), {"x": x, "weight": norm.weight}, rng)


@check("float16: squares and mean are computed in float32 at least", points=2, after=test_norm)
def test_norm_low_precision(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    x = ((1 + rng.tensor(batch, d_model).abs()) * 1000).to(torch.float16)
    return {"float16": neutral(ex.RMSNorm(d_model)).to(torch.float16)(x)}


@test_norm_low_precision.explain
def _(got, want):
    if not got["float16"].any():
        yield "in float16 a token with numbers of some thousands comes out as zeros: what are their squares?"


@check("the result has the dtype of x, whatever that of the weight", points=1, tolerance=2e-2, after=test_norm)
def test_norm_dtype(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
    return {
        f"{one} through a weight in {other}": filled(ex.RMSNorm(d_model), rng, dtype=kinds[other])(
            rng.tensor(batch, d_model, dtype=kinds[one])
        )
        for one in kinds
        for other in kinds
    }


@check("silu far out: value and gradient are finite", points=1, after=test_silu)
def test_silu_extremes(ex: Exercise, rng: Random):
    x = torch.tensor([-3e38, -1e5, -1000.0, -90.0, 0.0, 90.0, 1000.0, 1e5, 3e38], requires_grad=True)
    out = ex.silu(x)
    return {"out": out / 3e38, "up to 1000": ex.silu(x[:7]), "gradient": torch.autograd.grad(out.sum(), x)[0]}


@check("silu: any shape, any floating dtype, and its slope", points=1, after=test_silu)
def test_silu_shapes(ex: Exercise, rng: Random):
    x = rng.tensor(3, 4, dtype=torch.float64, scale=3.0, grad=True)
    return {
        "a single number": ex.silu(rng.tensor(1)[0]),
        "four axes": ex.silu(rng.tensor(2, 1, 3, 2)),
        "float64": ex.silu(x),
        "bfloat16": ex.silu(rng.tensor(5, dtype=torch.bfloat16)),
        "gradient": gradients(ex.silu(x), {"x": x}, rng),
    }


@check("SwiGLU: gradients reach x and all parameters", points=1, after=test_swiglu)
def test_swiglu_gradients(ex: Exercise, rng: Random):
    batch, d_model, d_ff = rng.sizes(3, 3, 9)
    network = filled(ex.SwiGLU(d_model, d_ff, bias=True), rng, dtype=torch.float64)
    x = rng.tensor(batch, d_model, dtype=torch.float64, grad=True)
    wanted = {"x": x}
    for name in PARTS:
        wanted |= {f"{name}.weight": getattr(network, name).weight, f"{name}.bias": getattr(network, name).bias}
    return gradients(network(x), wanted, rng)


@check("three linear layers without a bias; with bias=True each has one", points=1)
def test_swiglu_parts(ex: Exercise, rng: Random):
    d_model, d_ff = rng.sizes(2, 3, 9)
    plain, with_bias = ex.SwiGLU(d_model, d_ff), filled(ex.SwiGLU(d_model, d_ff, bias=True), rng)
    return {
        "shapes": {f"{name}.weight": list(getattr(plain, name).weight.shape) for name in PARTS},
        "default": {f"{name}.bias": getattr(plain, name).bias for name in PARTS},
        "bias=True": {f"{name}.bias": getattr(with_bias, name).bias for name in PARTS},
        "out": with_bias(rng.tensor(2, d_model)),
    }


@check("SwiGLU: a token's result does not depend on the others, whatever axes there are", points=1, after=test_swiglu)
def test_swiglu_alone(ex: Exercise, rng: Random):
    batch, length, d_model, d_ff = rng.sizes(4)
    network = filled(ex.SwiGLU(d_model, d_ff), rng)
    x = rng.tensor(batch, length, d_model)
    return {
        "together": network(x)[0, 1],
        "alone": network(x[0, 1]),
        "one hidden unit": filled(ex.SwiGLU(d_model, 1), rng)(x),
    }


@check("SwiGLU: bfloat16 in, bfloat16 out; float64 in, float64 out", points=1, compare="structure", after=test_swiglu)
def test_swiglu_low_precision(ex: Exercise, rng: Random):
    batch, d_model, d_ff = rng.sizes(3, 3, 9)
    network = filled(ex.SwiGLU(d_model, d_ff), rng, dtype=torch.bfloat16)
    x = rng.tensor(batch, d_model, dtype=torch.bfloat16)
    return {"rough": network(x), "exact": network.double()(x.double())}


@test_swiglu_low_precision.explain
def _(got, want):
    # Each of the steps is off by a 256th of its size, a few times over.
    size = abs(want["exact"]).max()
    gap = abs(got["rough"] - want["exact"]).max()
    if not close(got["exact"], want["exact"]):
        yield "in float64 the SwiGLU is not right either."
    elif gap > 0.25 * size:
        yield f"in bfloat16 the SwiGLU is off by {gap:.2g}, more than rounding can do."


@check("widths of many models, with and without a multiple", points=1, after=test_width)
def test_widths(ex: Exercise, rng: Random):
    pairs = [(rng.integers(1, 3000), rng.pick([1, 2, 7, 8, 32, 64, 128, 256])) for _ in range(20)]
    edges = [(3, 1), (3, 8), (24, 64), (25, 64), (1, 1), (1, 256), (768, 1), (96, 256)]
    return {f"swiglu_width({d}, {m})": ex.swiglu_width(d, multiple_of=m) for d, m in [*pairs, *edges]}


@check("no argument is changed in place", points=1, tolerance=0)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2)
    x = rng.tensor(batch, d_model)
    for work in (ex.silu, ex.RMSNorm(d_model), ex.SwiGLU(d_model, 5)):
        work(x)
    return x


@check("the results are on the device of the inputs", points=1)
def test_device(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2)
    norm, network, x = filled(ex.RMSNorm(d_model), rng), filled(ex.SwiGLU(d_model, 5), rng), rng.tensor(batch, d_model)
    return {
        "RMSNorm": on_meta(lambda on: norm.to(on)(x.to(on))),
        "silu": on_meta(lambda on: ex.silu(x.to(on))),
        "SwiGLU": on_meta(lambda on: network.to(on)(x.to(on))),
    }


@test_device.explain
def _(got, want):
    for name in want:
        if got[name]["strays"]:
            yield f"{name}: a tensor of yours is not on the device of the inputs: which one is made without `device=`?"


### END HIDDEN TESTS
