"""What layer norm and the residual connection must do: the checks of exercise 8."""

from __future__ import annotations

import torch

from grader.checks import Exercise, Random, check, close, filled, gradients


@check("layer norm with a scale and a shift of its own", points=2, axes={"": "batch position feature"})
def test_norm_values(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    norm = filled(ex.LayerNorm(d_model), rng, dtype=torch.float64)
    return norm(rng.tensor(batch, length, d_model, dtype=torch.float64, scale=2.0) + 1)


@test_norm_values.explain
def _(got, want):
    if close(got, want, 1e-5) and not close(got, want, 1e-8):
        yield (
            "you are off by a millionth or so, everywhere: where exactly does eps come in, and is something in between "
            "computed in float32?"
        )


@check("at first the scale is one and the shift zero", points=1)
def test_norm_starts_neutral(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    norm = ex.LayerNorm(d_model)
    return {"weight": norm.weight, "bias": norm.bias, "out": norm(rng.tensor(batch, d_model))}


@check("every token comes out with mean 0 and variance 1", points=1)
def test_norm_statistics(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 3, 9)
    norm = ex.LayerNorm(16).double()
    return {"out": norm(rng.tensor(batch, length, 16, dtype=torch.float64, scale=3.0) + 5)}


@test_norm_statistics.explain
def _(got, want):
    if not close(got["out"].mean(-1), 0.0):
        yield "the features of a token do not have mean 0: over which axis is the mean taken?"
    elif close(got["out"].var(-1, ddof=1), 1.0, 1e-4):
        yield "the variance is 1 only if one divides by D - 1; which variance does the docstring ask for?"
    elif not close(got["out"].var(-1), 1.0, 1e-4):
        yield "the features of a token do not have variance 1: over which axis is it taken, and is the root there?"


@check("pre-norm: the input plus the sublayer's answer to the normed input", points=2)
def test_pre_norm(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    residual = filled(ex.Residual(d_model), rng, dtype=torch.float64)
    return residual(rng.tensor(batch, length, d_model, dtype=torch.float64), lambda x: x.sin() * 3)


@check("post-norm: the norm of the sum", points=2)
def test_post_norm(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    residual = filled(ex.Residual(d_model, norm_first=False), rng, dtype=torch.float64)
    return residual(rng.tensor(batch, length, d_model, dtype=torch.float64), lambda x: x.sin() * 3)


### BEGIN HIDDEN TESTS
@check("nearly constant features: eps is inside the root, and the one that was given", points=2)
def test_norm_low_variance(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    x = 2 + rng.tensor(batch, d_model, dtype=torch.float64, scale=3e-3)
    return {"usual": ex.LayerNorm(d_model).double()(x), "large": ex.LayerNorm(d_model, eps=0.1).double()(x)}


@check("a large mean does not drown the differences", points=1, tolerance=1e-3)
def test_norm_large_mean(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    whole = torch.from_numpy(rng.integers(-8, 9, batch, d_model)).float()
    return ex.LayerNorm(d_model)(whole + 65536)


@check("features that are all the same give the shift, not NaN", points=1)
def test_norm_constant(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    norm = filled(ex.LayerNorm(d_model), rng)
    return norm(torch.full((batch, d_model), 3.0))


@check("a token's result does not depend on the other tokens", points=1)
def test_norm_alone(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    norm = filled(ex.LayerNorm(d_model), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64)
    return {"together": norm(x)[0, 1], "alone": norm(x[0, 1])}


@check("gradients reach the input, the scale and the shift", points=1)
def test_norm_gradients(ex: Exercise, rng: Random):
    batch, length, d_model = rng.sizes(3, 3, 9)
    norm = filled(ex.LayerNorm(d_model), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, d_model, dtype=torch.float64, grad=True)
    return gradients(norm(x), {"x": x, "weight": norm.weight, "bias": norm.bias}, rng)


@check("bfloat16 in, bfloat16 out; on the device of the input", points=1)
def test_dtype_and_device(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    norm = ex.LayerNorm(d_model).to(torch.bfloat16)
    elsewhere = ex.Residual(d_model).to("meta")
    return {
        "bfloat16": norm(rng.tensor(batch, d_model, dtype=torch.bfloat16)),
        "meta": elsewhere(torch.empty(batch, d_model, device="meta"), lambda x: x * 2),
    }


@check("nothing is changed in place, neither the input nor what the sublayer returned", points=1, tolerance=0)
def test_input_unchanged(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2)
    x, answer = rng.tensor(batch, d_model), rng.tensor(batch, d_model)
    ex.LayerNorm(d_model)(x)
    for first in (True, False):
        ex.Residual(d_model, norm_first=first)(x, lambda y: answer)
    return {"x": x, "answer": answer}


@check("the sublayer is asked exactly once, about the right thing", points=1)
def test_sublayer_called_once(ex: Exercise, rng: Random):
    batch, d_model = rng.sizes(2, 3, 9)
    x = rng.tensor(batch, d_model, dtype=torch.float64)
    seen: dict[str, list[torch.Tensor]] = {"pre": [], "post": []}

    def listen(name: str):
        return lambda y: (seen[name].append(y.clone()), y * 2)[1]

    for name, first in (("pre", True), ("post", False)):
        filled(ex.Residual(d_model, norm_first=first), rng, dtype=torch.float64)(x, listen(name))
    return seen


@check("dropout acts on the sublayer's output in training, never on the road", points=1, compare="nothing")
def test_dropout(ex: Exercise, rng: Random):
    x = rng.tensor(40, 50)
    residual = ex.Residual(50, dropout=0.25)
    added = [(residual.train() if train else residual.eval())(x, torch.ones_like) - x for train in (True, False)]
    return {"training": added[0], "evaluation": added[1]}


@test_dropout.explain
def _(got, want):
    training = got["training"]
    dropped = abs(training) < 1e-4
    if not close(got["evaluation"], 1.0, 1e-4):
        yield "in evaluation mode the sublayer's output should be added as it is."
    elif close(training, 1.0, 1e-4):
        yield "in training the sublayer's output is added whole: what does your dropout act on, if on anything?"
    elif not (dropped | (abs(training - 4 / 3) < 1e-4)).all():
        yield "the road itself is touched, or what is kept is not scaled up by 1 / (1 - dropout)."
    elif not 0.19 < dropped.mean() < 0.31:
        yield f"with dropout=0.25 a share of {dropped.mean():.2f} of the sublayer's output is dropped."


### END HIDDEN TESTS
