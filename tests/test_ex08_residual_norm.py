"""What layer norm and the residual connection must do: the checks of exercise 8."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from grader.checks import Exercise, Random, check, close, filled, gradients, on_meta, raised

EPS = 1e-5  # given in each check of a norm's values that is not about the default: one wrong number costs one check
FAR = 100.0  # and the size of what a frame gets, whose norm has the default: an eps of any usual size does not show


def neutral(module: nn.Module) -> nn.Module:
    """A norm, or a frame with its norm, whose scale is one and whose shift is zero, however it started."""
    norm = getattr(module, "norm", module)
    with torch.no_grad():
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    return module


@check("layer norm with a scale and a shift of its own", points=2, axes={"": "batch position feature"})
def test_norm_values(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    norm = filled(ex.LayerNorm(d_model, eps=EPS), rng, dtype=torch.float64)
    return norm(rng.tensor(batch, length, d_model, dtype=torch.float64, scale=2.0) + 1)


@test_norm_values.explain
def _(got, want):
    if close(got, want, 1e-5) and not close(got, want, 2e-6):
        gap = abs(got - want).max()
        yield f"you are off by {gap:.1g} at most: where exactly does eps come in, and how large is it?"


@check("at first the scale is one and the shift zero, and both can be learned", points=1)
def test_norm_starts_neutral(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1, 3, 9)
    filled(ex.LayerNorm(d_model), rng)  # another one, that has learned something
    norm = ex.LayerNorm(d_model)
    return {
        "weight": norm.weight,
        "bias": norm.bias,
        "weight is a parameter": isinstance(norm.weight, nn.Parameter),
        "bias is a parameter": isinstance(norm.bias, nn.Parameter),
    }


@check("a frame has a norm of its own, with a scale of one and a shift of zero", points=1)
def test_norm_of_a_frame(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1, 3, 9)
    filled(ex.Residual(d_model), rng)
    one, another = ex.Residual(d_model).norm, ex.Residual(d_model).norm
    return {"weight": one.weight, "bias": one.bias, "one norm for two frames": one is another}


@check("every token comes out with mean 0 and variance 1", points=1, after=test_norm_values)
def test_norm_statistics(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 3, 9)
    norm = neutral(ex.LayerNorm(16, eps=EPS)).double()
    return {"out": norm(rng.tensor(batch, length, 16, dtype=torch.float64, scale=3.0) + 5)}


@test_norm_statistics.explain
def _(got, want):
    if not close(got["out"].mean(-1), 0.0):
        yield "the features of a token do not have mean 0: over which axis is the mean taken?"
    elif close(got["out"].var(-1, ddof=1), 1.0, 1e-4):
        yield "the variance is 1 only if one divides by D - 1; which variance does the docstring ask for?"
    elif not close(got["out"].var(-1), 1.0, 1e-4):
        yield "the features of a token do not have variance 1: over which axis is it taken, and is the root there?"


@check("pre-norm: the input plus the sublayer's answer to the normalized input", points=1, after=test_norm_values)
def test_pre_norm(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    residual = filled(ex.Residual(d_model), rng, dtype=torch.float64)
    return residual(rng.tensor(batch, length, d_model, dtype=torch.float64, scale=FAR), lambda x: x.sin() * 3)


@check("post-norm: the norm of the sum", points=1, after=test_norm_values)
def test_post_norm(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    residual = filled(ex.Residual(d_model, norm_first=False), rng, dtype=torch.float64)
    return residual(rng.tensor(batch, length, d_model, dtype=torch.float64, scale=FAR), lambda x: x.sin() * 3)


### BEGIN HIDDEN TESTS
@check("nearly constant features: eps is inside the root, and the one that was given", points=1, after=test_norm_values)
def test_norm_low_variance(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    x = 2 + rng.tensor(batch, d_model, dtype=torch.float64, scale=3e-3)
    usual, large = neutral(ex.LayerNorm(d_model)), neutral(ex.LayerNorm(d_model, eps=0.1))
    return {"x": x, "usual": usual.double()(x), "large": large.double()(x)}


@test_norm_low_variance.explain
def _(got, want):
    centred = want["x"] - want["x"].mean(-1, keepdims=True)
    variance = centred.var(-1, keepdims=True)
    eps = np.median((centred / got["usual"]) ** 2 - variance)
    if close(got["large"], want["large"], 1e-6) and close(got["usual"], centred / np.sqrt(variance + eps), 1e-6):
        yield f"if no eps is given, your results are those of an eps of {eps:.2g}: which one does the signature have?"


@check("a large mean does not drown the differences", points=1, compare="structure", after=test_norm_values)
def test_norm_large_mean(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    x = torch.from_numpy(rng.integers(-8, 9, batch, d_model)).float()
    x[:, 0], x[:, 1] = -8, 8  # so that no row has a small variance, which would make much of a mean that is rounded
    x += 65536
    norm = neutral(ex.LayerNorm(d_model))
    return {"rough": norm(x), "exact": norm.double()(x.double())}


@test_norm_large_mean.explain
def _(got, want):
    # The sum of up to 9 such numbers is off by 0.3 at most, their mean by 0.03, a result by a hundredth.
    gap = abs(got["rough"] - want["exact"]).max()
    if gap > 0.03:
        yield (
            f"with a mean of 65536 the float32 result is off by {gap:.2g}: does your formula subtract two large "
            "numbers that are nearly equal?"
        )


@check("features that are all the same give the shift, not NaN", points=1)
def test_norm_constant(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    norm = filled(ex.LayerNorm(d_model), rng)
    return norm(torch.full((batch, d_model), 3.0))


@check("a token's result does not depend on the other tokens", points=1, after=test_norm_values)
def test_norm_alone(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    norm = filled(ex.LayerNorm(d_model, eps=EPS), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64)
    return {"together": norm(x)[0, 1], "alone": norm(x[0, 1]), "with four axes": norm(x[:, None])[0, 0, 1]}


@check("gradients reach the input, the scale and the shift", points=1, after=test_norm_values)
def test_norm_gradients(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    norm = filled(ex.LayerNorm(d_model, eps=EPS), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64, grad=True)
    return gradients(norm(x), {"x": x, "weight": norm.weight, "bias": norm.bias}, rng)


@check("bfloat16 in, bfloat16 out; on the device of the input", points=1, compare="structure", after=test_post_norm)
def test_dtype_and_device(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    x, plain = rng.tensor(batch, d_model, dtype=torch.bfloat16), rng.tensor(batch, d_model)
    x[:, 0], x[:, 1] = -2, 2  # no row has a small variance, which would make much of a rounded mean
    norm, frames = neutral(ex.LayerNorm(d_model)), [ex.Residual(d_model, norm_first=first) for first in (True, False)]
    modules = {"norm": norm, "pre-norm": neutral(frames[0]), "post-norm": neutral(frames[1])}

    def results(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: module(x.clone(), *([] if name == "norm" else [torch.sin])) for name, module in modules.items()}

    for module in modules.values():
        module.to(torch.bfloat16)
    rough = results(x)
    for module in modules.values():
        module.double()
    exact = results(x.double())
    elsewhere = [on_meta(lambda on, f=f: f.float().to(on)(plain.to(on), lambda h: h * 2)) for f in frames]
    return {"rough": rough, "exact": exact, "elsewhere": elsewhere}


@test_dtype_and_device.explain
def _(got, want):
    for what in want["exact"]:
        gap = abs(got["rough"][what] - want["exact"][what]).max()
        if gap > 0.1:
            yield f"in bfloat16 the {what} is off by {gap:.2g}: rounding alone moves it by a few hundredths."
        elif not close(got["exact"][what], want["exact"][what], 1e-3):
            yield f"the {what} is not right in float64 either: see the checks of its values."
    if any(each["strays"] for each in got["elsewhere"]):
        yield "a tensor of yours is not on the device of the input: which one is made without `device=`?"


@check(
    "nothing is changed in place, neither the input nor what the sublayer returned",
    points=1,
    tolerance=0,
    after=test_post_norm,
)
def test_input_unchanged(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2)
    x, answer = rng.tensor(batch, d_model), rng.tensor(batch, d_model)
    ex.LayerNorm(d_model)(x)
    for first in (True, False):
        ex.Residual(d_model, norm_first=first)(x, lambda y: answer)
        ex.Residual(d_model, dropout=0.5, norm_first=first).train()(x, lambda y: answer)
    return {"x": x, "answer": answer}


@check("gradients reach x on the path and through the sublayer, in both orders", points=1, after=test_input_unchanged)
def test_frame_gradients(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    found = {}
    for order, first in (("pre-norm", True), ("post-norm", False)):
        frame = filled(ex.Residual(d_model, norm_first=first), rng, dtype=torch.float64)
        x = rng.tensor(batch, d_model, dtype=torch.float64, scale=FAR, grad=True)
        found[order] = {"gradients": gradients(frame(x, lambda h: h.sin() * 3), {"x": x}, rng)}
    return found


@check("the sublayer is asked exactly once, about the right thing", points=1, after=test_norm_values)
def test_sublayer_called_once(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    x = rng.tensor(batch, d_model, dtype=torch.float64, scale=FAR)
    seen: dict[str, list[torch.Tensor]] = {}
    again: list[torch.Tensor] = []

    def listen(heard: list[torch.Tensor]):
        return lambda y: (heard.append(y.clone()), y * 2)[1]

    for name, first in (("pre", True), ("post", False)):
        heard: list[torch.Tensor] = []
        frame = filled(ex.Residual(d_model, norm_first=first), rng, dtype=torch.float64)
        frame(x.clone(), listen(heard))
        seen[name] = list(heard)
        again.append(frame(x.clone(), torch.cos))
    return {**seen, "with another sublayer": again}


@check(
    "pre-norm: in training dropout acts on the sublayer's output, never on the path of x; in evaluation it is off",
    points=1,
    compare="structure",
    after=test_pre_norm,
)
def test_dropout(ex: Exercise, rng: Random):
    x, residual = rng.tensor(40, 50), neutral(ex.Residual(50, dropout=0.25))
    trained = residual.train()(x.clone(), torch.ones_like)
    evaluated = [frame.eval()(x.clone(), torch.ones_like) for frame in (residual, neutral(ex.Residual(50)))]
    return {"trained": trained, "evaluated": evaluated, "x": x}


@test_dropout.explain
def _(got, want):
    added, evaluated = got["trained"] - want["x"], got["evaluated"]
    kept = added > 0.5
    strange = (abs(added) > 1e-4) & (abs(added - 4 / 3) > 1e-4)
    if not close(*evaluated):
        yield "in evaluation mode pre-norm with dropout=0.25 gives a different output from with dropout=0."
    elif not close(evaluated[0], want["x"] + 1, 1e-4):
        yield "in evaluation mode the sublayer returns ones, and what comes out is not x + 1."
    elif close(added, 1.0, 1e-4):
        yield "in training the sublayer's output is added whole: what does your dropout act on, if on anything?"
    elif ((abs(added) < 1e-4) | (abs(added - 1) < 1e-4)).all():
        yield "what dropout keeps of the sublayer's output is not scaled up by 1 / (1 - dropout)."
    elif strange.any():
        yield (
            f"with dropout=0.25, {strange.mean():.0%} of what comes out is neither x nor x + 4/3 times the sublayer's "
            "output: what does your dropout act on?"
        )
    elif (kept == kept[:1]).all() or (kept == kept[:, :1]).all():
        yield f"dropout does the same to all {'tokens' if (kept == kept[:1]).all() else 'features'} at once."
    elif abs((~kept).mean() - 0.25) > 0.06:
        yield f"with dropout=0.25, {(~kept).mean():.0%} of the sublayer's output is dropped."


@check(
    "post-norm: in training dropout acts on the sublayer's output, not on the sum or its norm; in evaluation it is off",
    points=1,
    compare="structure",
    after=test_post_norm,
)
def test_post_norm_dropout(ex: Exercise, rng: Random):
    half = rng.integers(50, 61)
    x = torch.tensor([[0.0] * half + [1.0] * half, [1.0] * half + [0.0] * half] * 15)
    frames = [neutral(ex.Residual(2 * half, dropout=p, norm_first=False)) for p in (0.25, 0.0)]
    trained = frames[0].train()(x.clone(), torch.ones_like)
    return {"trained": trained, "evaluated": [frame.eval()(x.clone(), torch.ones_like) for frame in frames], "x": x}


@test_post_norm_dropout.explain
def _(got, want):
    out, evaluated, x = got["trained"], got["evaluated"], want["x"]
    # The sum holds 0 or 4/3 in one half of a row, 1 or 7/3 in the other: in each, what is kept stands above the rest.
    low = np.repeat(np.stack([part.min(-1) for part in np.split(out, 2, axis=-1)], -1), x.shape[-1] // 2, axis=-1)
    kept = out - low > 0.1
    if not close(*evaluated):
        yield "in evaluation mode post-norm with dropout=0.25 gives a different output from with dropout=0."
    elif not close(evaluated[0], _normed(x + 1), 1e-3):
        yield "in evaluation mode the sublayer returns ones, and what comes out is not the norm of x + 1."
    elif close(out, _normed(x), 1e-3):
        yield "in training the sublayer's output is added whole: what does your dropout act on, if on anything?"
    elif (out == 0).mean() > 0.1:
        yield f"in training {(out == 0).mean():.0%} of what comes out is exactly 0: does dropout act behind the norm?"
    elif close(out, _normed(x + kept), 1e-3):
        yield "what dropout keeps of the sublayer's output is not scaled up by 1 / (1 - dropout)."
    elif not close(out, _normed(x + kept * 4 / 3), 1e-3):
        yield (
            "in training the output is not the norm of x plus what dropout leaves of the sublayer's output: does yours "
            "act on that alone, or on the sum?"
        )
    elif abs((~kept).mean() - 0.25) > 0.06:
        yield f"with dropout=0.25, {(~kept).mean():.0%} of the sublayer's output is dropped."
    elif (kept == kept[:1]).all():
        yield "dropout does the same to all tokens at once."


def _normed(y: np.ndarray) -> np.ndarray:
    return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)


@check("with dropout=1 training leaves x in pre-norm, the norm of x in post-norm", points=1, after=test_post_norm)
def test_everything_dropped(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    x, seen = rng.tensor(batch, d_model, scale=FAR), {}
    for order, first in (("pre-norm", True), ("post-norm", False)):
        frame = neutral(ex.Residual(d_model, dropout=1.0, norm_first=first))
        trained = frame.train()(x.clone(), torch.sin)
        seen[order] = {"training": trained, "evaluation": frame.eval()(x.clone(), torch.sin)}
    return seen


@check("a dropout outside 0..1 is a ValueError, 0 and 1 are fine", points=1, after=test_pre_norm)
def test_dropout_out_of_range(ex: Exercise, rng: Random):
    (d_model,) = rng.sizes(1)
    return {
        "above": raised(lambda: ex.Residual(d_model, dropout=1.5), mentions=[1.5]),
        "below": raised(lambda: ex.Residual(d_model, dropout=-0.25), mentions=[-0.25]),
        "ends": [raised(lambda p=p: ex.Residual(d_model, dropout=p)) for p in (0.0, 1.0)],
    }


### END HIDDEN TESTS
