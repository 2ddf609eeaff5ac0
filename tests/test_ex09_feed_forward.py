"""What GELU and the feed-forward network must do: the checks of exercise 9."""

from __future__ import annotations

import torch

from grader.checks import Exercise, Random, check, close, filled, gradients, raised


@check("the exact GELU: x times the chance that a standard normal variable stays below it", points=2)
def test_gelu_values(ex: Exercise, rng: Random):
    rows, columns = rng.sizes(2)
    return ex.gelu(rng.tensor(rows, columns, dtype=torch.float64, scale=2.0))


@test_gelu_values.explain
def _(got, want):
    if close(got, want, 2e-3) and not close(got, want, 1e-7):
        yield "you are off by a few thousandths at most: is this the approximation? Here the exact form is due."


@check("the approximation through tanh, as GPT-2 uses it", points=2)
def test_gelu_tanh_values(ex: Exercise, rng: Random):
    rows, columns = rng.sizes(2)
    return ex.gelu(rng.tensor(rows, columns, dtype=torch.float64, scale=2.0), approximate="tanh")


@test_gelu_tanh_values.explain
def _(got, want):
    if close(got, want, 2e-3) and not close(got, want, 1e-7):
        yield "you are off by a few thousandths at most: is this the exact form, or is a digit of 0.044715 missing?"


@check("the network widens, bends with GELU and narrows", points=2, axes={"": "batch position feature"})
def test_feed_forward_values(ex: Exercise, rng: Random):
    batch, length, d_model, d_ff = rng.sizes(4)
    network = filled(ex.FeedForward(d_model, d_ff), rng, dtype=torch.float64)
    return network(rng.tensor(batch, length, d_model, dtype=torch.float64))


@check("each of the three activations can be asked for", points=1)
def test_activations(ex: Exercise, rng: Random):
    batch, d_model, d_ff = rng.sizes(3)
    x = rng.tensor(batch, d_model, dtype=torch.float64, scale=2.0)
    names = ("gelu", "gelu_tanh", "relu")
    return {name: filled(ex.FeedForward(d_model, d_ff, name), rng, dtype=torch.float64)(x) for name in names}


@check("the hidden layer is four times as wide unless told otherwise", points=1)
def test_default_width(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1)
    network = ex.FeedForward(d_model)
    return {"up": network.up.weight.shape, "down": network.down.weight.shape}


### BEGIN HIDDEN TESTS
@check("another approximation is a ValueError that names it", points=1)
def test_unknown_approximation(ex: Exercise, rng: Random):
    return raised(lambda: ex.gelu(rng.tensor(3), approximate="sigmoid"), mentions=["approximate", "sigmoid"])


@check("another activation, or a dropout outside 0..1, is a ValueError that names it; 0 and 1 are fine", points=1)
def test_wrong_arguments(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1)
    return {
        "activation": raised(lambda: ex.FeedForward(d_model, activation="swish"), mentions=["activation", "swish"]),
        "above": raised(lambda: ex.FeedForward(d_model, dropout=1.5), mentions=["dropout", "1.5"]),
        "below": raised(lambda: ex.FeedForward(d_model, dropout=-0.25), mentions=["dropout", "-0.25"]),
        "ends": [raised(lambda p=p: ex.FeedForward(d_model, dropout=p)) for p in (0.0, 1.0)],
    }


@check("huge inputs: zero to the left, x to the right, no NaN", points=1)
def test_gelu_huge(ex: Exercise, rng: Random):
    far = torch.tensor([-1e30, -1e8, -50.0, 50.0, 1e8, 1e30]) * (1 + rng.uniform())
    return {form: ex.gelu(far, form) for form in ("none", "tanh")}


@check("far out the slope of GELU is 0 to the left and 1 to the right", points=1)
def test_gelu_slope_far_out(ex: Exercise, rng: Random):
    x = (torch.tensor([-1e15, -1e4, -50.0, 50.0, 1e4, 1e15]) * (1 + rng.uniform())).requires_grad_()
    return {form: gradients(ex.gelu(x, form), {"x": x}, rng) for form in ("none", "tanh")}


@check("gradients of both forms of GELU", points=1)
def test_gelu_gradients(ex: Exercise, rng: Random):
    rows, columns = rng.sizes(2)
    x = rng.tensor(rows, columns, dtype=torch.float64, scale=2.0, grad=True)
    return {form: gradients(ex.gelu(x, form), {"x": x}, rng) for form in ("none", "tanh")}


@check("gradients reach the input and all four parameters", points=1)
def test_feed_forward_gradients(ex: Exercise, rng: Random):
    batch, length, d_model, d_ff = rng.sizes(4)
    network = filled(ex.FeedForward(d_model, d_ff, "gelu_tanh"), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64, grad=True)
    parts = {
        "x": x,
        "up_weight": network.up.weight,
        "up_bias": network.up.bias,
        "down_weight": network.down.weight,
        "down_bias": network.down.bias,
    }
    return gradients(network(x), parts, rng)


@check("one position's result depends on that position alone", points=1)
def test_position_wise(ex: Exercise, rng: Random):
    batch, length, d_model, d_ff = rng.sizes(4, 3, 9)
    network = filled(ex.FeedForward(d_model, d_ff), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64)
    alone = network(x[:, 1:2])
    return {"together": network(x)[:, 1:2], "alone": alone}


@test_position_wise.explain
def _(got, want):
    if not close(got["together"], got["alone"], 1e-9):
        yield "a position computed by itself gives another result than in its sequence: what mixes the positions?"


@check("bias=False leaves both biases out", points=1)
def test_no_bias(ex: Exercise, rng: Random):
    batch, d_model, d_ff = rng.sizes(3)
    network = filled(ex.FeedForward(d_model, d_ff, bias=False), rng, dtype=torch.float64)
    out = network(rng.tensor(batch, d_model, dtype=torch.float64))
    return {"out": out, "up": network.up.bias is None, "down": network.down.bias is None}


@check("dropout: in training some of the work is dropped, in evaluation none", points=1, compare="nothing")
def test_dropout(ex: Exercise, rng: Random):
    width = 64
    network = filled(ex.FeedForward(width, 4 * width, dropout=0.5), rng)
    x = rng.tensor(40, width)
    trained = [network.train()(x) for _ in range(2)]
    evaluated = [network.eval()(x) for _ in range(2)]
    many = torch.stack([network.train()(x) for _ in range(200)]).mean(0)
    return {"trained": trained, "evaluated": evaluated, "mean": many}


@test_dropout.explain
def _(got, want):
    if not close(got["evaluated"][0], want["evaluated"][0], 1e-4):
        yield "in evaluation mode the result is not that of the whole network: dropout has nothing to do there."
    if close(got["trained"][0], got["trained"][1]):
        yield "with dropout=0.5 two passes in training mode give the same result: where is something dropped?"
    off = abs(got["mean"] - want["evaluated"][0]).mean() / abs(want["evaluated"][0]).mean()
    if off > 0.35:
        yield "averaged over many passes, training gives another result than evaluation: are the kept values scaled up?"


@check("the input is left as it is", points=1, tolerance=0)
def test_input_unchanged(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2)
    x = rng.tensor(batch, d_model)
    for name in ("gelu", "gelu_tanh", "relu"):
        filled(ex.FeedForward(d_model, activation=name), rng)(x)
    ex.gelu(x)
    ex.gelu(x, "tanh")
    return {"x": x}


@check("bfloat16 in, bfloat16 out; on the device of the input", points=1)
def test_dtype_and_device(ex: Exercise, rng: Random):
    batch, d_model, d_ff = rng.sizes(3)
    x = rng.tensor(batch, d_model, dtype=torch.bfloat16)
    network = filled(ex.FeedForward(d_model, d_ff), rng, dtype=torch.bfloat16)
    meta = torch.empty(batch, d_model, device="meta")
    elsewhere = ex.FeedForward(d_model, d_ff, "gelu_tanh").to("meta")
    return {
        "exact": ex.gelu(x),
        "tanh": ex.gelu(x, "tanh"),
        "network": network(x),
        "meta": [ex.gelu(meta), ex.gelu(meta, "tanh"), elsewhere(meta)],
    }


@check("no leading axis, one feature, one hidden unit: it still works", points=1)
def test_small(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1)
    flat = filled(ex.FeedForward(d_model), rng)(rng.tensor(d_model))
    tiny = filled(ex.FeedForward(1, 1), rng)(rng.tensor(1, 1, 1))
    return {"flat": flat, "tiny": tiny}


### END HIDDEN TESTS
