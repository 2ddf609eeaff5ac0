"""What positional encodings must do: the checks of exercise 4.

Angles may be computed in float32 or in float64: tolerances and lengths leave room for both.
"""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, filled, gradients, parameters, raised


@check(
    "the encoding of position t holds the sine and the cosine of t / 10000 ** (2i / D), in turn",
    points=2,
    tolerance=2e-4,
    axes={"": "position width"},
)
def test_encoding_values(ex: Exercise, rng: Random):
    length, half = rng.sizes(2, low=4)
    return ex.sinusoidal_encoding(length, 2 * half)


@test_encoding_values.explain
def _(got, want):
    width = want.shape[1]
    sines, cosines = want[:, 0::2], want[:, 1::2]
    if close(got, np.concatenate([sines, cosines], axis=1), 1e-3):
        yield "all your sines stand on the left and all cosines on the right; here they take turns: sin, cos, sin, cos."
    elif close(got[:, 0::2], cosines, 1e-3) and close(got[:, 1::2], sines, 1e-3):
        yield "the cosine stands before the sine: which of the two is 0 at position 0?"
    elif close(got[:-1], want[1:], 1e-3):
        yield "your row 0 is the encoding of position 1: from where do you count?"
    elif close(got[0], want[0], 1e-3):
        turns = np.arctan2(got[1, 0::2], got[1, 1::2])
        wrong = np.flatnonzero(~np.isclose(turns, np.arctan2(sines[1], cosines[1]), rtol=1e-3, atol=0.0))
        if len(wrong):
            i = int(wrong[0])
            yield (
                f"with D = {width}, your clock {i} (columns {2 * i}, {2 * i + 1}) turns by {turns[i]:.4g} in a step; "
                f"1 / 10000 ** ({2 * i} / {width}) is {10000 ** (-2 * i / width):.4g}. Look at the exponent."
            )


@check("another base gives other speeds", points=1, tolerance=2e-4, axes={"": "position width"})
def test_encoding_with_another_base(ex: Exercise, rng: Random):
    length, half = rng.sizes(2, low=4)
    return ex.sinusoidal_encoding(length, 2 * half, base=50.0)


@test_encoding_with_another_base.explain
def _(got, want, reference):
    if close(got, np.asarray(reference.sinusoidal_encoding(*want.shape)), 1e-3):
        yield "with another base you get what 10000 gives: where in your formula does `base` occur?"


@check("an odd width is refused", points=1)
def test_odd_width_is_refused(ex: Exercise, rng: Random):
    return {
        "odd": raised(lambda: ex.sinusoidal_encoding(4, 7), mentions=["d_model", 7]),
        "even": raised(lambda: ex.sinusoidal_encoding(4, 6)),
    }


@check("one matrix moves the encoding of every position on by the same offset", points=2, tolerance=2e-4)
def test_shift_matrix(ex: Exercise, rng: Random):
    half, offset = rng.sizes(2, low=3)
    return {"matrix": ex.shift_matrix(offset, 2 * half), "offset": offset}


@test_shift_matrix.explain
def _(got, want, reference):
    matrix, offset = got["matrix"], want["offset"]
    width = len(matrix)
    halves = np.r_[0:width:2, 1:width:2]
    if close(matrix, want["matrix"][np.ix_(halves, halves)], 1e-3):
        yield "your matrix is made for sines on the left and cosines on the right; here they take turns: sin, cos."
    encoding = np.asarray(reference.sinusoidal_encoding(offset + 3, width))
    moved = encoding[:3] @ matrix.T
    if close(encoding[:3] @ matrix, encoding[offset:], 1e-3):
        yield f"your matrix works from the right, pe[t] @ M; here it stands on the left. M @ pe[0] is not pe[{offset}]."
    elif close(moved[0], encoding[offset], 1e-3) and not close(moved[1], encoding[offset + 1], 1e-3):
        yield f"M @ pe[0] is pe[{offset}], but M @ pe[1] is not pe[{offset + 1}]: the same M has to work for every t."


@check("the layer adds the first rows of the table to every sequence", points=1, tolerance=2e-4)
def test_sinusoidal_layer(ex: Exercise, rng: Random):
    batch, length, half = rng.sizes(3)
    layer = ex.SinusoidalPositions(length + 5, 2 * half)
    x = rng.tensor(batch, length, 2 * half)
    return {"out": layer(x.clone()), "x": x}


@test_sinusoidal_layer.explain
def _(got, want):
    added, right = got["out"] - want["x"], want["out"] - want["x"]
    if close(added, added[:, :1], 1e-3) and not close(added, added[:1], 1e-3):
        yield "every position of a sequence gets the same vector: which axis of x counts the positions?"
    elif close(added[0, :-1], right[0, 1:], 1e-3):
        yield "the first position gets row 1 of the table: from where do you count?"


@check("a sequence that is longer than max_len is refused", points=1)
def test_sinusoidal_layer_refuses_long_sequences(ex: Exercise, rng: Random):
    layer = ex.SinusoidalPositions(5, 4)
    return {
        "longer": raised(lambda: layer(rng.tensor(2, 6, 4)), mentions=["max_len", 6]),
        "just as long": raised(lambda: layer(rng.tensor(2, 5, 4))),
        "a batch of more than max_len": raised(lambda: layer(rng.tensor(7, 3, 4))),
    }


@check("the learned layer adds the first rows of its weight, which is a parameter", points=1)
def test_learned_layer(ex: Exercise, rng: Random):
    batch, length, width = rng.sizes(3)
    layer = filled(ex.LearnedPositions(length + 4, width), rng)
    learned = parameters(layer).get("weight") is layer.weight and layer.weight.requires_grad
    return {"weight": layer.weight, "learned": learned, "out": layer(rng.tensor(batch, length, width))}


@test_learned_layer.explain
def _(got, want):
    if not got["learned"]:
        yield "an optimiser would leave `weight` as it is: what tells PyTorch that a tensor is to be learned?"


### BEGIN HIDDEN TESTS
@check("one position, two columns, a width that is no power of two", points=1, tolerance=2e-4)
def test_encoding_of_odd_sizes(ex: Exercise, rng: Random):
    return {
        "one position": ex.sinusoidal_encoding(1, 6),
        "one clock": ex.sinusoidal_encoding(7, 2),
        "one of each": ex.sinusoidal_encoding(1, 2),
        "a width of 22": ex.sinusoidal_encoding(30, 22),
        "shift with one clock": ex.shift_matrix(3, 2),
    }


@check("far positions are as exact as near ones, and no entry leaves [-1, 1]", points=1, tolerance=4e-3)
def test_encoding_of_far_positions(ex: Exercise, rng: Random):
    return ex.sinusoidal_encoding(1000 + rng.integers(0, 200), 32)


@check("a shift may be back, far or nowhere, and uses the base", points=1, tolerance=1e-3)
def test_shift_matrix_of_other_offsets(ex: Exercise, rng: Random):
    half, offset = rng.sizes(2, low=3)
    return {
        "back": ex.shift_matrix(-offset, 2 * half),
        "nowhere": ex.shift_matrix(0, 2 * half),
        "far": ex.shift_matrix(200 + offset, 2 * half),
        "another base": ex.shift_matrix(offset, 2 * half, base=30.0),
    }


@check(
    "the sinusoidal table is a buffer: not learned, not saved", points=1, compare="nothing", free=("saved*", "buffers*")
)
def test_table_is_a_buffer(ex: Exercise, rng: Random):
    layer = ex.SinusoidalPositions(12, 8)
    return {
        "parameters": [list(parameter.shape) for parameter in layer.parameters()],
        "saved": {name: list(tensor.shape) for name, tensor in layer.state_dict().items()},
        "buffers": {name: list(buffer.shape) for name, buffer in layer.named_buffers()},
    }


@test_table_is_a_buffer.explain
def _(got, want):
    def large(shapes):
        return {name for name, shape in shapes.items() if np.prod(shape) > 1}  # a lone number is nobody's table

    if got["parameters"]:
        yield "the layer has parameters, so an optimiser could change the sines: what moves but is not learned?"
    elif not large(got["buffers"]):
        yield "the layer has no buffer, so its table would stay behind when the model moves to another device."
    elif large(got["saved"]):
        yield "the table is in `state_dict()`: which argument of `register_buffer` keeps it out?"


@check("the layers move with .to(...), and run on the device of their inputs", points=1)
def test_device(ex: Exercise, rng: Random):
    x = torch.empty(2, 5, 6, device="meta")
    return {
        "sinusoidal": ex.SinusoidalPositions(7, 6).to("meta")(x),
        "learned": ex.LearnedPositions(7, 6).to("meta")(x),
    }


@check("the result has the dtype of x, whatever that of the table", points=1, tolerance=2e-2)
def test_dtype_of_x(ex: Exercise, rng: Random):
    batch, length, half = rng.sizes(3)
    sinusoidal = ex.SinusoidalPositions(12, 2 * half)
    learned = filled(ex.LearnedPositions(12, 2 * half), rng)
    return {
        f"{name}, {str(dtype).removeprefix('torch.')}": layer(rng.tensor(batch, length, 2 * half, dtype=dtype))
        for name, layer in (("sinusoidal", sinusoidal), ("learned", learned))
        for dtype in (torch.float64, torch.bfloat16)
    }


@check("x is not changed in place, nor is a table: a second call gives the same", points=1, tolerance=2e-4)
def test_nothing_is_changed(ex: Exercise, rng: Random):
    batch, length, half = rng.sizes(3)
    x = rng.tensor(batch, length, 2 * half)
    observed = {}
    for name, layer in (
        ("sinusoidal", ex.SinusoidalPositions(12, 2 * half)),
        ("learned", filled(ex.LearnedPositions(12, 2 * half), rng)),
    ):
        mine = x.clone()
        layer(mine)
        observed[f"x after {name}"] = mine
        observed[f"{name}, second call"] = layer(x.clone())
    return observed


@test_nothing_is_changed.explain
def _(got, want):
    for name in ("sinusoidal", "learned"):
        if not close(got[f"x after {name}"], want[f"x after {name}"]):
            yield f"after the {name} layer the caller's x is another: do you add to it, or make a new tensor?"


@check("gradients pass to x, and reach the rows of the learned table that were used", points=1, tolerance=1e-6)
def test_gradients(ex: Exercise, rng: Random):
    batch, length, half = rng.sizes(3)
    x = rng.tensor(batch, length, 2 * half, dtype=torch.float64, grad=True)
    fixed = ex.SinusoidalPositions(length + 3, 2 * half)
    learned = filled(ex.LearnedPositions(length + 3, 2 * half), rng, dtype=torch.float64)
    return {
        "sinusoidal": gradients(fixed(x), {"x": x}, rng),
        "learned": gradients(learned(x), {"x": x, "weight": learned.weight}, rng),
    }


def reason(spread):
    """Where a wrong standard deviation may come from."""
    if 0.95 < spread < 1.05:
        return "1 is what `randn` gives: what makes its numbers smaller?"
    if 0.135 < spread < 0.147:
        return "In N(0, 0.02) the 0.02 is the standard deviation, not the variance."
    if 0.0112 < spread < 0.0119:
        return "That is what even draws between -0.02 and 0.02 have; a normal distribution has no such bounds."
    return "By what do you multiply the numbers that you draw?"


@check("a learned table is drawn from N(0, 0.02), each one anew", points=1, compare="structure")
def test_initial_weights(ex: Exercise, rng: Random):
    return {"one": ex.LearnedPositions(512, 64).weight, "another": ex.LearnedPositions(512, 64).weight}


@test_initial_weights.explain
def _(got, want):
    table = got["one"]
    spread, far = table.std(), (np.abs(table) > 0.04).mean()  # the bounds are seven standard errors wide and more
    if not table.any():
        yield "a new table is zero everywhere: which distribution are its entries to be drawn from?"
    elif len(np.unique(table)) < 0.9 * table.size:
        yield "many entries of a new table are the same: is each of them drawn by itself?"
    elif not 0.019 < spread < 0.021:
        yield f"the entries of a new table have a standard deviation of {spread:.3g}; expected 0.02. {reason(spread)}"
    elif abs(table.mean()) > 0.001:
        yield f"the entries of a new table have a mean of {table.mean():.3g}; expected 0."
    elif not 0.033 < far < 0.058:
        yield (
            f"{far:.1%} of the entries of a new table are more than two standard deviations away from 0; "
            "of a normal distribution 4.6% are."
        )
    elif close(table, got["another"]):
        yield "two new layers have the same table: is a seed set somewhere, or one table shared by all?"


@check("the learned layer refuses sequences that are longer than max_len", points=1)
def test_learned_layer_refuses_long_sequences(ex: Exercise, rng: Random):
    max_len, width = rng.sizes(2, low=4)
    layer = filled(ex.LearnedPositions(max_len, width), rng)
    return {
        "one longer": raised(lambda: layer(rng.tensor(2, max_len + 1, width)), mentions=["max_len", max_len + 1]),
        "much longer": raised(lambda: layer(rng.tensor(1, max_len + 50, width)), mentions=["max_len", max_len + 50]),
        "just as long": raised(lambda: layer(rng.tensor(2, max_len, width))),
    }


@check("a batch of one, a length of one and the full length keep their axes", points=1, tolerance=2e-4)
def test_layers_on_odd_sizes(ex: Exercise, rng: Random):
    max_len, half = rng.sizes(2, low=3)
    sinusoidal = ex.SinusoidalPositions(max_len, 2 * half)
    learned = filled(ex.LearnedPositions(max_len, 2 * half), rng)
    single = ex.SinusoidalPositions(1, 2)
    observed = {"one position, two columns": single(rng.tensor(3, 1, 2))}
    for name, layer in (("sinusoidal", sinusoidal), ("learned", learned)):
        observed[f"{name}, full length"] = layer(rng.tensor(2, max_len, 2 * half))
        observed[f"{name}, length one"] = layer(rng.tensor(max_len + 2, 1, 2 * half))
        observed[f"{name}, batch of one"] = layer(rng.tensor(1, 2, 2 * half))
    return observed


### END HIDDEN TESTS
