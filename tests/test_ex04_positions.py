"""What positional encodings must do: the checks of exercise 4.

Angles may be computed in float32 or in float64: tolerances and lengths leave room for both.
"""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, filled, gradients, on_meta, parameters, raised


@check(
    "the encoding of position t holds the sine and the cosine of t / 10000 ** (2i / D), in turn",
    points=1,
    tolerance=2e-4,
    axes={"": "position width"},
)
def test_encoding_values(ex: Exercise, rng: Random):
    length, half = rng.sizes(2, low=4)
    return ex.sinusoidal_encoding(length, 2 * half)


@test_encoding_values.explain
def _(got, want):
    sines, cosines = want[:, 0::2], want[:, 1::2]
    if close(got, np.concatenate([sines, cosines], axis=1), 1e-3):
        yield "all your sines stand on the left and all cosines on the right; here they take turns: sin, cos, sin, cos."
    elif close(got[:, 0::2], cosines, 1e-3) and close(got[:, 1::2], sines, 1e-3):
        yield "the cosine stands before the sine: which of the two is 0 at position 0?"
    elif close(got[:-1], want[1:], 1e-3):
        yield "your row 0 is the encoding of position 1: from where do you count?"
    else:
        yield from clocks_told(got, want)


def clocks_told(got, want):
    """A sentence on the first clock that goes wrong, if the clocks are right at position 0."""
    if not close(got[0], want[0], 1e-3):
        return
    times, width = np.arange(len(got)), want.shape[1]
    for i in range(width // 2):
        (sines, cosines), right = got[:, 2 * i : 2 * i + 2].T, want[:, 2 * i : 2 * i + 2].T
        if close([sines, cosines], right, 1e-3):
            continue
        turn = np.arctan2(sines[1], cosines[1]) % (2 * np.pi)  # whole turns leave no trace at whole times
        expected = np.arctan2(right[0][1], right[1][1])
        where = f"with D = {width}, your clock {i} (columns {2 * i}, {2 * i + 1})"
        if close(sines, np.sin(turn * times), 1e-3) and close(cosines, np.cos(turn * times), 1e-3):
            yield f"{where} turns by {turn:.4g} in a step, whole turns aside; expected {expected:.4g}."
        elif not close(length := sines[1] ** 2 + cosines[1] ** 2, 1.0, 1e-3):
            yield (
                f"{where} has a sine and a cosine whose squares sum to {length:.4g} at position 1; those of one angle "
                "sum to 1. Which angle does each of them take?"
            )
        return


@check(
    "another base gives other speeds",
    points=1,
    tolerance=2e-4,
    axes={"usual base": "position width", "another base": "position width"},
    after=test_encoding_values,
)
def test_encoding_with_another_base(ex: Exercise, rng: Random):
    length, half = rng.sizes(2, low=4)
    return {
        "usual base": ex.sinusoidal_encoding(length, 2 * half),
        "another base": ex.sinusoidal_encoding(length, 2 * half, base=50.5),
    }


@test_encoding_with_another_base.explain
def _(got, want):
    if close(got["another base"], want["usual base"], 1e-3):
        yield "with another base you get what 10000 gives: where in your formula does `base` occur?"


@check("an odd width is refused", points=1)
def test_odd_width_is_refused(ex: Exercise, rng: Random):
    return {
        "odd": raised(lambda: ex.sinusoidal_encoding(4, 7), mentions=[7]),
        "even": raised(lambda: ex.sinusoidal_encoding(4, 6)),
    }


@check("one matrix moves the encoding of every position on by the same offset", points=1, tolerance=2e-4)
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


@check(
    "the layer adds the first rows of the table to every sequence", points=1, tolerance=2e-4, after=test_encoding_values
)
def test_sinusoidal_layer(ex: Exercise, rng: Random):
    batch, length, half = rng.sizes(3)
    layer = ex.SinusoidalPositions(length + 5, 2 * half)
    x = rng.tensor(batch, length, 2 * half)
    return {"out": layer(x.clone()), "x": x, "in evaluation mode": layer.eval()(x.clone())}


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
        "longer": raised(lambda: layer(rng.tensor(2, 6, 4)), mentions=[6]),
        "just as long": raised(lambda: layer(rng.tensor(2, 5, 4))),
        "a batch of more than max_len": raised(lambda: layer(rng.tensor(7, 3, 4))),
    }


@check("the learned layer adds the first rows of its weight, which is a parameter", points=1)
def test_learned_layer(ex: Exercise, rng: Random):
    batch, length, width = rng.sizes(3)
    layer, x = filled(ex.LearnedPositions(length + 4, width), rng), rng.tensor(batch, length, width)
    learned = parameters(layer).get("weight") is layer.weight and layer.weight.requires_grad
    seen = {"weight": layer.weight, "learned": learned, "out": layer(x.clone())}
    return seen | {"in evaluation mode": layer.eval()(x.clone())}


@test_learned_layer.explain
def _(got, want):
    if not got["learned"]:
        yield "an optimizer would leave `weight` as it is: what tells PyTorch that a tensor is to be learned?"


### BEGIN HIDDEN TESTS
@check("one position, two columns, a width that is no power of two", points=1, tolerance=2e-4)
def test_encoding_of_odd_sizes(ex: Exercise, rng: Random):
    return {
        "one position": ex.sinusoidal_encoding(1, 6),
        "one clock": ex.sinusoidal_encoding(7, 2),
        "one of each": ex.sinusoidal_encoding(1, 2),
        "a width of 22": ex.sinusoidal_encoding(30, 22),
    }


@check(
    "far positions are as exact as near ones, and no entry leaves [-1, 1]",
    points=1,
    tolerance=4e-3,
    after=test_encoding_values,
)
def test_encoding_of_far_positions(ex: Exercise, rng: Random):
    return ex.sinusoidal_encoding(2200 + rng.integers(0, 200), 32)


@check("a shift may be back, far or nowhere, and uses the base", points=1, tolerance=1e-3, after=test_shift_matrix)
def test_shift_matrix_of_other_offsets(ex: Exercise, rng: Random):
    half, offset = rng.sizes(2, low=3)
    return {
        "back": ex.shift_matrix(-offset, 2 * half),
        "nowhere": ex.shift_matrix(0, 2 * half),
        "one clock": ex.shift_matrix(3, 2),
        "far": ex.shift_matrix(200 + offset, 2 * half),
        "another base": ex.shift_matrix(offset, 2 * half, base=30.0),
    }


@check("the sinusoidal table is a buffer: not learned, not saved", points=1)
def test_table_is_a_buffer(ex: Exercise, rng: Random):
    layer = ex.SinusoidalPositions(12, 8)
    buffers, saved = list(layer.buffers()), layer.state_dict().values()
    return {
        "parameters": len(list(layer.parameters())),
        "a table among the buffers": any(tensor.numel() > 1 for tensor in buffers),  # a lone number is nobody's table
        "a table in state_dict()": any(tensor.numel() > 1 for tensor in saved),
    }


@test_table_is_a_buffer.explain
def _(got, want):
    if got["parameters"]:
        yield "the layer has parameters, so an optimizer could change the sines: what moves but is not learned?"
    elif not got["a table among the buffers"]:
        yield "the layer has no buffer: which method registers a table as one, so that it moves along with the model?"
    elif got["a table in state_dict()"]:
        yield "the table is in `state_dict()`: which argument of `register_buffer` keeps it out?"


@check("the layers move with .to(...), and run on the device of their inputs", points=1)
def test_device(ex: Exercise, rng: Random):
    layers = {"sinusoidal": ex.SinusoidalPositions(7, 6), "learned": ex.LearnedPositions(7, 6)}
    x = torch.ones(2, 5, 6)
    return on_meta(lambda device: {name: layer.to(device)(x.to(device)) for name, layer in layers.items()})


@test_device.explain
def _(got, want):
    if got["strays"]:
        yield (
            "on a device other than the CPU, a tensor is not on the device of x: is there one that is no parameter, no "
            "buffer and not made there?"
        )


def in_dtypes(layer, rng, *shape):
    """What a layer returns for inputs of other dtypes than its table's."""
    return {
        str(dtype).removeprefix("torch."): layer(rng.tensor(*shape, dtype=dtype))
        for dtype in (torch.float64, torch.bfloat16)
    }


@check(
    "SinusoidalPositions: the result has the dtype of x, whatever that of the table",
    points=1,
    tolerance=2e-2,
    after=test_encoding_values,
)
def test_sinusoidal_dtype(ex: Exercise, rng: Random):
    batch, length, half = rng.sizes(3)
    return in_dtypes(ex.SinusoidalPositions(12, 2 * half), rng, batch, length, 2 * half)


@check("LearnedPositions: the result has the dtype of x, whatever that of the weight", points=1, tolerance=2e-2)
def test_learned_dtype(ex: Exercise, rng: Random):
    batch, length, width = rng.sizes(3)
    return in_dtypes(filled(ex.LearnedPositions(12, width), rng), rng, batch, length, width)


def called_twice(layer, x):
    """What the caller's x and two calls look like; the second call gets a copy that nobody has touched."""
    mine = x.clone()
    first = layer(mine).clone()
    return {"x": mine, "first call": first, "second call": layer(x.clone())}


def told_of_changes(got, want):
    if not close(got["x"], want["x"], 1e-9):
        yield "after the call the caller's x is another: do you add to it, or make a new tensor?"
    elif not close(got["first call"], got["second call"], 1e-9):
        yield "a second call with the same x gives something other than the first: what does a call change?"


@check(
    "SinusoidalPositions: neither x nor the table is changed, so a second call gives the same",
    points=1,
    tolerance=2e-4,
    after=test_sinusoidal_layer,
)
def test_sinusoidal_changes_nothing(ex: Exercise, rng: Random):
    batch, length, half = rng.sizes(3)
    return called_twice(ex.SinusoidalPositions(12, 2 * half), rng.tensor(batch, length, 2 * half))


test_sinusoidal_changes_nothing.explain(told_of_changes)


@check(
    "LearnedPositions: neither x nor the weight is changed, so a second call gives the same",
    points=1,
    tolerance=2e-4,
    after=test_learned_layer,
)
def test_learned_changes_nothing(ex: Exercise, rng: Random):
    batch, length, width = rng.sizes(3)
    return called_twice(filled(ex.LearnedPositions(12, width), rng), rng.tensor(batch, length, width))


test_learned_changes_nothing.explain(told_of_changes)


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


def reason(table, spread):
    """Where a wrong standard deviation may come from."""
    if 0.95 < spread < 1.05:
        return "1 is what `randn` gives: what makes its numbers smaller?"
    if 0.135 < spread < 0.147:
        return "In N(0, 0.02) the 0.02 is the standard deviation, not the variance."
    if 0.0112 < spread < 0.0119 and np.abs(table).max() <= 0.02:
        return "None lies beyond 0.02, as if all numbers between -0.02 and 0.02 were equally likely."
    return "By what do you multiply the numbers that you draw?"


@check("a learned table is drawn from N(0, 0.02), each one anew", points=1, compare="structure")
def test_initial_weights(ex: Exercise, rng: Random):
    return {"one": ex.LearnedPositions(512, 64).weight, "another": ex.LearnedPositions(512, 64).weight}


@test_initial_weights.explain
def _(got, want):
    for table in (got["one"], got["another"]):
        yield from oddities(table)
    if close(got["one"], got["another"]):
        yield "two new layers have the same table: is a seed set somewhere, or one table shared by all?"


def oddities(table):
    """Sentences on what keeps a table from being N(0, 0.02): each bound is seven standard errors wide and more."""
    spread, far = table.std(), (np.abs(table) > 0.04).mean()
    if not table.any():
        yield "a new table is zero everywhere: which distribution are its entries to be drawn from?"
    elif len(np.unique(table)) < 0.9 * table.size or len(np.unique(table, axis=0)) < len(table):
        yield "many entries of a new table are the same: is each of them drawn independently?"
    elif not 0.019 < spread < 0.021:
        yield (
            f"the entries of a new table have a standard deviation of {spread:.3g}; expected 0.02. "
            f"{reason(table, spread)}"
        )
    elif abs(table.mean()) > 0.001:
        yield f"the entries of a new table have a mean of {table.mean():.3g}; expected 0."
    elif not 0.033 < far < 0.058:
        yield (
            f"{far:.1%} of the entries of a new table are more than two standard deviations away from 0; "
            "of a normal distribution 4.6% are."
        )
    for axis, line in ((1, "row"), (0, "column")):
        spreads, means, errors = table.std(axis), table.mean(axis), 7 / np.sqrt(table.shape[axis])
        odd = np.flatnonzero((abs(means / 0.02) > errors) | (abs(spreads / 0.02 - 1) > errors / np.sqrt(2)))
        if len(odd):
            i = odd[0]
            yield (
                f"{line} {i} of a new table has a mean of {means[i]:.3g} and a standard deviation of {spreads[i]:.3g}: "
                f"expected N(0, 0.02) in every {line}, without exceptions."
            )


@check("the learned layer refuses sequences that are longer than max_len", points=1)
def test_learned_layer_refuses_long_sequences(ex: Exercise, rng: Random):
    max_len, width = rng.sizes(2, low=4)
    layer = filled(ex.LearnedPositions(max_len, width), rng)
    return {
        "one longer": raised(lambda: layer(rng.tensor(2, max_len + 1, width)), mentions=[max_len + 1]),
        "much longer": raised(lambda: layer(rng.tensor(1, max_len + 50, width)), mentions=[max_len + 50]),
        "just as long": raised(lambda: layer(rng.tensor(2, max_len, width))),
    }


@check(
    "a batch of one, a length of one and the full length keep their axes",
    points=1,
    tolerance=2e-4,
    after=test_encoding_values,
)
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
