"""What GELU and the feed-forward network must do: the checks of exercise 9."""

from __future__ import annotations

import math

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, filled, gradients, on_meta, raised


@check("the exact GELU: x times the probability that a standard normal variable stays below it", points=2)
def test_gelu_values(ex: Exercise, rng: Random):
    rows, columns = rng.sizes(2)
    x = rng.tensor(rows, columns, dtype=torch.float64, scale=2.0)
    return {"out": ex.gelu(x.clone()), "x": x}


@test_gelu_values.explain
def _(got, want):
    out, x, due = got["out"], want["x"], want["out"]
    if close(out, _through_tanh(x), 1e-6):
        yield "this is the approximation through tanh; without `approximate` the exact form is expected."
    elif close(out, 2 * due, 1e-6):
        yield "all values are twice what they should be: between which numbers does 1 + erf(...) lie?"
    elif close(out * x, due, 1e-6):
        yield "this is the probability alone: GELU is x times that."


def _through_tanh(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


@check("the approximation through tanh, as GPT-2 uses it", points=2)
def test_gelu_tanh_values(ex: Exercise, rng: Random):
    rows, columns = rng.sizes(2)
    x = rng.tensor(rows, columns, dtype=torch.float64, scale=2.0)
    return {"out": ex.gelu(x.clone(), approximate="tanh"), "x": x}


@test_gelu_tanh_values.explain
def _(got, want):
    out, x, due = got["out"], want["x"], want["out"]
    if close(out, x * np.vectorize(_below)(x), 1e-6):
        yield 'this is the exact form; with approximate="tanh" its approximation through tanh is expected.'
    elif close(out, due, 2e-3) and not close(out, due, 1e-6):
        yield f"you are off by {abs(out - due).max():.1g} at most: compare each constant with the lesson's."


def _below(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


@check("with relu the network widens, activates and narrows", points=1, axes={"out": "batch position feature"})
def test_relu_network(ex: Exercise, rng: Random):
    batch, length, d_model, d_ff = rng.sizes(4)
    network = filled(ex.FeedForward(d_model, d_ff, activation="relu"), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64)
    weights = {name: [getattr(network, name).weight, getattr(network, name).bias] for name in ("up", "down")}
    return {"out": network(x.clone()), "x": x} | weights


@test_relu_network.explain
def _(got, want):
    (up, up_bias), (down, down_bias) = want["up"], want["down"]
    if close(got["out"], (want["x"] @ up.T + up_bias) @ down.T + down_bias, 1e-9):
        yield "there is no activation between `up` and `down`: your network is one linear map."


@check(
    "the network widens, activates with GELU and narrows",
    points=1,
    axes={"": "batch position feature"},
    after=test_gelu_values,
)
def test_feed_forward_values(ex: Exercise, rng: Random):
    batch, length, d_model, d_ff = rng.sizes(4)
    network = filled(ex.FeedForward(d_model, d_ff), rng, dtype=torch.float64)
    return network(rng.tensor(batch, length, d_model, dtype=torch.float64))


@check("each of the three activations can be asked for", points=1, after=test_feed_forward_values)
def test_activations(ex: Exercise, rng: Random):
    batch, d_model, d_ff = rng.sizes(3)
    x = rng.tensor(batch, d_model, dtype=torch.float64, scale=2.0)
    names = ("gelu", "gelu_tanh", "relu")
    return {name: filled(ex.FeedForward(d_model, d_ff, name), rng, dtype=torch.float64)(x) for name in names}


@check("the hidden layer is four times as wide unless told otherwise", points=1)
def test_default_width(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1)
    network = ex.FeedForward(d_model)
    return {"up.weight.shape": network.up.weight.shape, "down.weight.shape": network.down.weight.shape}


### BEGIN HIDDEN TESTS
@check("another approximation is a ValueError that names it", points=1)
def test_unknown_approximation(ex: Exercise, rng: Random):
    return raised(lambda: ex.gelu(rng.tensor(3), approximate="sigmoid"), mentions=["sigmoid"])


@check(
    "another activation, or a dropout outside 0..1, is a ValueError that names the value; 0 and 1 are fine", points=1
)
def test_wrong_arguments(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1)
    return {
        "activation": raised(lambda: ex.FeedForward(d_model, activation="swish"), mentions=["swish"]),
        "above": raised(lambda: ex.FeedForward(d_model, dropout=1.5), mentions=[1.5]),
        "below": raised(lambda: ex.FeedForward(d_model, dropout=-0.25), mentions=[-0.25]),
        "ends": [raised(lambda p=p: ex.FeedForward(d_model, dropout=p)) for p in (0.0, 1.0)],
    }


@check("huge inputs: zero to the left, x to the right, no NaN", points=1)
def test_gelu_huge(ex: Exercise, rng: Random):
    far = torch.tensor([50.0, 1e8, 1e30]) * (1 + rng.uniform())
    forms = ("none", "tanh")
    return {"right": far, "left": -far} | {form: [ex.gelu(-far, form), ex.gelu(far.clone(), form)] for form in forms}


@test_gelu_huge.explain
def _(got, want):
    for form in ("none", "tanh"):
        left, right = got[form]
        if abs(left).max() > 1e-6:
            yield f"far to the left the form {form!r} should give 0; yours gives up to {abs(left).max():.3g}."
        elif not np.allclose(right, want["right"], rtol=1e-5, atol=0):
            yield f"far to the right the form {form!r} should give x itself; yours does not."


@check("far out the slope of GELU is 0 to the left and 1 to the right", points=1)
def test_gelu_slope_far_out(ex: Exercise, rng: Random):
    x = (torch.tensor([-1e15, -1e4, -50.0, 50.0, 1e4, 1e15]) * (1 + rng.uniform())).requires_grad_()
    return {form: {"gradients": gradients(ex.gelu(x, form), {"x": x}, rng)} for form in ("none", "tanh")}


@check("gradients of both forms of GELU", points=1, after=test_gelu_values)
def test_gelu_gradients(ex: Exercise, rng: Random):
    rows, columns = rng.sizes(2)
    x = rng.tensor(rows, columns, dtype=torch.float64, scale=2.0, grad=True)
    return {form: {"gradients": gradients(ex.gelu(x, form), {"x": x}, rng)} for form in ("none", "tanh")}


@check("gradients reach the input and all four parameters", points=1, after=test_relu_network)
def test_feed_forward_gradients(ex: Exercise, rng: Random):
    batch, length, d_model, d_ff = rng.sizes(4)
    network = filled(ex.FeedForward(d_model, d_ff, "relu"), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64, grad=True)
    parts = {
        "x": x,
        "up_weight": network.up.weight,
        "up_bias": network.up.bias,
        "down_weight": network.down.weight,
        "down_bias": network.down.bias,
    }
    return gradients(network(x), parts, rng)


@check("one position's result depends on that position alone", points=1, after=test_relu_network)
def test_position_wise(ex: Exercise, rng: Random):
    batch, length, d_model, d_ff = rng.sizes(4, 3, 9)
    network = filled(ex.FeedForward(d_model, d_ff, "relu"), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64)
    alone = network(x[:, 1:2])
    return {"together": network(x)[:, 1:2], "alone": alone}


@test_position_wise.explain
def _(got, want):
    if not close(got["together"], got["alone"], 1e-9):
        yield "a position computed by itself gives a different result than in its sequence: what mixes the positions?"


@check("bias=False leaves both biases out", points=1)
def test_no_bias(ex: Exercise, rng: Random):
    d_model, d_ff = rng.sizes(2)
    network = ex.FeedForward(d_model, d_ff, bias=False)
    return {"up.bias": network.up.bias, "down.bias": network.down.bias}


@check(
    "dropout: in training some of the work is dropped, in evaluation none",
    points=1,
    compare="structure",
    after=test_relu_network,
)
def test_dropout(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1)
    x, width = rng.tensor(5, d_model), 64
    evaluated = [filled(ex.FeedForward(d_model, activation="relu", dropout=p), rng).eval()(x) for p in (0.5, 0.0)]
    # This one hands the first half of the numbers through, twice: what is dropped of it is seen, wherever dropout acts.
    network = ex.FeedForward(width, width, "relu", dropout=0.25).train()
    with torch.no_grad():
        network.up.weight.copy_(torch.eye(width // 2, width).repeat(2, 1))
        network.down.weight.copy_(torch.eye(width))
        for layer in (network.up, network.down):
            layer.bias.zero_()
    positive = (1 + abs(rng.tensor(100, width // 2))).repeat(1, 2)
    return {"evaluated": evaluated, "trained": network(positive.clone()), "x": positive}


@test_dropout.explain
def _(got, want):
    one = got["trained"] / want["x"]
    kept, times = one != 0, float(np.median(one[one != 0])) if one.any() else 0.0
    # Where dropout acts is open: on the hidden layer or on the result, on both, or with half of it on each.
    due = [each for each in (4 / 3, (4 / 3) ** 2, (8 / 7) ** 2) if close(times, each, 1e-4)]
    if not close(*got["evaluated"]):
        yield "in evaluation mode a network with dropout=0.5 gives a different result from the same one with dropout=0."
    elif close(one, 1.0):
        yield "with dropout=0.25 nothing is dropped in training."
    elif not kept.any():
        yield "with dropout=0.25 everything is dropped in training."
    elif not close(one[kept], times):
        yield "with dropout=0.25 the values that are kept are not all multiplied by the same number."
    elif not due:
        yield f"with dropout=0.25 a value that is kept is multiplied by {times:.3f} instead of 1 / (1 - 0.25) = 1.333."
    elif (kept == kept[:1]).all() or (kept == kept[:, :1]).all():
        yield f"dropout does the same to all {'tokens' if (kept == kept[:1]).all() else 'features'} at once."
    elif (kept[:, : kept.shape[1] // 2] == kept[:, kept.shape[1] // 2 :]).all():
        yield (
            "two hidden values that `up` makes of the same input are only ever dropped together: does dropout act on "
            "what comes in?"
        )
    elif abs(kept.mean() - 1 / due[0]) > 0.04:
        yield f"with dropout=0.25, {1 - kept.mean():.0%} of the values are dropped in training."


@check("the input is left as it is", points=1, tolerance=0, after=test_relu_network)
def test_input_unchanged(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2)
    x = rng.tensor(batch, d_model)
    for name in ("gelu", "gelu_tanh", "relu"):
        filled(ex.FeedForward(d_model, activation=name), rng)(x)
    ex.gelu(x)
    ex.gelu(x, "tanh")
    return {"x": x}


@check("bfloat16 in, bfloat16 out; on the device of the input", points=1, compare="structure", after=test_relu_network)
def test_dtype_and_device(ex: Exercise, rng: Random):
    batch, d_model, d_ff = rng.sizes(3, 3)
    one, two, x = (rng.tensor(batch, d_model, dtype=torch.bfloat16) for _ in range(3))
    network = filled(ex.FeedForward(d_model, d_ff, "relu"), rng, dtype=torch.bfloat16)
    rough = {"exact form": ex.gelu(one.clone()), "tanh": ex.gelu(two.clone(), "tanh"), "network": network(x.clone())}
    network.double()
    due = {"exact form": ex.gelu(one.double()), "tanh": ex.gelu(two.double(), "tanh"), "network": network(x.double())}
    elsewhere, y = filled(ex.FeedForward(d_model, d_ff, "gelu_tanh"), rng), rng.tensor(batch, d_model)
    return {
        "bfloat16": rough,
        "float64": due,
        "elsewhere": {
            "gelu": on_meta(lambda on: [ex.gelu(y.to(on)), ex.gelu(y.to(on), "tanh")]),
            "FeedForward": on_meta(lambda on: elsewhere.to(on)(y.to(on))),
        },
    }


@test_dtype_and_device.explain
def _(got, want):
    for what, due in want["float64"].items():
        mine = got["float64"][what]
        gap = abs(got["bfloat16"][what] - mine).max()
        if gap > 0.1 * max(1.0, abs(mine).max()):
            yield f"in bfloat16 the {what} is off by {gap:.2g}: rounding alone moves it by a few hundredths."
        elif not close(mine, due, 2e-2):
            yield f"the {what} is not right in float64 either: see the checks of its values."
    for what in want["elsewhere"]:
        if got["elsewhere"][what]["strays"]:
            yield f"in `{what}` a tensor is not on the device of the input: which one is made without `device=`?"


@check("no leading axis, one feature, one hidden unit: it still works", points=1, after=test_relu_network)
def test_small(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1)
    flat = filled(ex.FeedForward(d_model, 7, "relu"), rng)(rng.tensor(d_model))
    tiny = filled(ex.FeedForward(1, 1, "relu"), rng)(rng.tensor(1, 1, 1))
    return {"flat": flat, "tiny": tiny}


### END HIDDEN TESTS
