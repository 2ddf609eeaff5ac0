"""What token embeddings must do: the checks of exercise 3."""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, filled, gradients, parameters, raised


@check("each id reads its row of the table", points=1, axes={"": "position width"})
def test_lookup_reads_rows(ex: Exercise, rng: Random):
    vocab, width, length = rng.sizes(3)
    return ex.embedding_lookup(rng.array(vocab, width), rng.integers(0, vocab, length))


@check(
    "ids of shape (batch, position) give vectors of shape (batch, position, width)", axes={"": "batch position width"}
)
def test_lookup_of_a_batch(ex: Exercise, rng: Random):
    vocab, width, batch, length = rng.sizes(4)
    return ex.embedding_lookup(rng.array(vocab, width), rng.integers(0, vocab, batch, length))


@check("the gradient of the table adds up the rows of a repeated id", points=2, axes={"grad": "token width"})
def test_grad_of_repeated_ids(ex: Exercise, rng: Random):
    vocab, width = rng.sizes(2, low=4)
    ids = np.array([2, 0, 2, 3, 2])
    grad_out = rng.array(5, width)
    grad = ex.embedding_grad(grad_out.copy(), ids.copy(), vocab)
    return {"grad": grad, "grad_out": grad_out, "ids": ids}


@test_grad_of_repeated_ids.explain
def _(got, want):
    grad, rows, ids = got["grad"], want["grad_out"], want["ids"]
    last = np.zeros_like(want["grad"])
    last[ids] = rows
    if close(grad, last):
        yield (
            "token 2 was read three times, but only the last of its gradients arrived in row 2. What does NumPy do "
            "in `grad[ids] += grad_out` when an id comes more than once?"
        )
    counts = np.maximum(np.bincount(ids, minlength=len(grad)), 1)[:, None]
    if close(grad * counts, want["grad"]):
        yield "token 2 was read three times, and row 2 got the mean of its gradients: does the chain rule average?"


@check("an id outside the table is refused, a negative one too", points=1)
def test_lookup_refuses_ids(ex: Exercise, rng: Random):
    vocab, width = rng.sizes(2, low=4)
    weight = rng.array(vocab, width)
    return {
        "too large": raised(lambda: ex.embedding_lookup(weight, np.array([1, vocab, 0])), mentions=[vocab]),
        "negative": raised(lambda: ex.embedding_lookup(weight, np.array([[1, 0], [-1, 2]])), mentions=[-1]),
        "the last id": raised(lambda: ex.embedding_lookup(weight, np.array([vocab - 1]))),
    }


@test_lookup_refuses_ids.explain
def _(got, want):
    if got["negative"].type is None:
        yield "an id of -1 goes through: which row does `weight[-1]` read in Python?"


@check("the table is a parameter of the name `weight`, to be learned", points=1, axes={"weight": "token width"})
def test_weight_is_a_parameter(ex: Exercise, rng: Random):
    vocab, width = rng.sizes(2)
    layer = filled(ex.TokenEmbedding(vocab, width), rng)
    learned = parameters(layer).get("weight") is layer.weight and layer.weight.requires_grad
    return {"weight": layer.weight, "learned": learned}


@test_weight_is_a_parameter.explain
def _(got, want):
    if not got["learned"]:
        yield "an optimizer would leave `weight` as it is: what tells PyTorch that a tensor is to be learned?"


@check("the layer reads the rows of its weight", points=1, axes={"": "batch position width"})
def test_layer_reads_rows(ex: Exercise, rng: Random):
    vocab, width, batch, length = rng.sizes(4)
    layer = filled(ex.TokenEmbedding(vocab, width), rng)
    return layer(rng.ids(vocab, batch, length))


@check("with `scale`, what is read is multiplied by the square root of the width", points=1)
def test_scale(ex: Exercise, rng: Random):
    vocab, width, batch, length = rng.sizes(4)
    layer = filled(ex.TokenEmbedding(vocab, width, scale=True), rng)
    table, ids = layer.weight.detach().clone(), rng.ids(vocab, batch, length)
    return {"out": layer(ids), "weight": table, "ids": ids, "in evaluation mode": layer.eval()(ids)}


@test_scale.explain
def _(got, want):
    rows = want["weight"][want["ids"]]
    factor = float((got["out"] * rows).sum() / (rows * rows).sum())
    width = rows.shape[-1]
    if close(got["out"], factor * rows, 1e-3) and not close(factor, np.sqrt(width), 1e-3):
        yield f"you multiply by {factor:.3g}; the width is {width}, and its square root {np.sqrt(width):.3g}."


### BEGIN HIDDEN TESTS
@check("one id alone, a batch of one and many axes work, there and back", points=1)
def test_ids_of_any_shape(ex: Exercise, rng: Random):
    vocab, width, *shape = rng.sizes(6)
    weight, many = rng.array(vocab, width), rng.integers(0, vocab, *shape)
    return {
        "lookup of one id": ex.embedding_lookup(weight, np.array(vocab - 1)),
        "lookup of a batch of one, length one": ex.embedding_lookup(weight, np.array([[0]])),
        "lookup with four axes": ex.embedding_lookup(weight, many),
        "gradient of one id": ex.embedding_grad(rng.array(width), np.array(vocab - 1), vocab),
        "gradient of a batch of one, length one": ex.embedding_grad(rng.array(1, 1, width), np.array([[0]]), vocab),
        "gradient with four axes": ex.embedding_grad(rng.array(*shape, width), many, vocab),
    }


@check("the gradient of a batch has one row for each token, read or not", points=1, axes={"": "token width"})
def test_grad_of_a_batch(ex: Exercise, rng: Random):
    width, batch, length = rng.sizes(3)
    ids = rng.integers(1, 4, batch, length)  # many repeats; the first row and the last ones are never read
    return ex.embedding_grad(rng.array(batch, length, width), ids, 7)


@check("the gradient of the table refuses ids outside it", points=1)
def test_grad_refuses_ids(ex: Exercise, rng: Random):
    vocab, width = rng.sizes(2, low=4)
    grad_out = rng.array(3, width)
    return {
        "too large": raised(lambda: ex.embedding_grad(grad_out, np.array([0, vocab, 1]), vocab), mentions=[vocab]),
        "far too large": raised(
            lambda: ex.embedding_grad(grad_out, np.array([0, 1, vocab + 90]), vocab), mentions=[vocab + 90]
        ),
        "negative": raised(lambda: ex.embedding_grad(grad_out, np.array([-2, 0, 1]), vocab), mentions=[-2]),
        "the last id": raised(lambda: ex.embedding_grad(grad_out, np.array([0, vocab - 1, 1]), vocab)),
    }


@test_grad_refuses_ids.explain
def _(got, want):
    if got["negative"].type is None:
        yield "a negative id goes through: is there a row of the gradient for it?"


@check("the NumPy functions keep the dtype: float32 stays float32", points=1)
def test_numpy_dtypes(ex: Exercise, rng: Random):
    vocab, width, length = rng.sizes(3)
    ids = rng.integers(0, vocab, length)
    return {
        f"{name} in {dtype}": call
        for dtype in ("float32", "float64")
        for name, call in (
            ("lookup", ex.embedding_lookup(rng.array(vocab, width, dtype=dtype), ids)),
            ("gradient", ex.embedding_grad(rng.array(length, width, dtype=dtype), ids, vocab)),
        )
    }


@check("the NumPy functions leave their arguments alone", points=1, after=test_grad_of_repeated_ids)
def test_numpy_arguments_unchanged(ex: Exercise, rng: Random):
    vocab, width, length = rng.sizes(3)
    weight, ids, grad_out = rng.array(vocab, width), rng.integers(0, vocab, length), rng.array(length, width)
    ex.embedding_lookup(weight, ids)
    ex.embedding_grad(grad_out, ids, vocab)
    return {"weight": weight, "ids": ids, "grad_out": grad_out}


def reason(table, spread):
    """Where a wrong standard deviation may come from."""
    if 0.95 < spread < 1.05:
        return "1 is what `randn` gives: what makes its numbers smaller?"
    if 0.135 < spread < 0.147:
        return "In N(0, 0.02) the 0.02 is the standard deviation, not the variance."
    if 0.0112 < spread < 0.0119 and np.abs(table).max() <= 0.02:
        return "None lies beyond 0.02, as if all numbers between -0.02 and 0.02 were equally likely."
    return "By what do you multiply the numbers that you draw?"


def oddities(table, name):
    """Sentences on what keeps a table from being N(0, 0.02): each bound is more than seven standard errors wide."""
    spread, far = table.std(), (np.abs(table) > 0.04).mean()
    if len(np.unique(table)) < 0.9 * table.size or len(np.unique(table, axis=0)) < len(table):
        yield f"many entries of {name} are the same: is each of them drawn independently?"
    elif not 0.019 < spread < 0.021:
        yield f"the entries of {name} have a standard deviation of {spread:.3g}; expected 0.02. {reason(table, spread)}"
    elif abs(table.mean()) > 0.001:
        yield f"the entries of {name} have a mean of {table.mean():.3g}; expected 0."
    elif not 0.033 < far < 0.058:
        yield (
            f"{far:.1%} of the entries of {name} are more than two standard deviations away from 0; "
            "of a normal distribution 4.6% are."
        )
    for axis, line in ((1, "row"), (0, "column")):
        spreads, means, errors = table.std(axis), table.mean(axis), 7 / np.sqrt(table.shape[axis])
        odd = np.flatnonzero((abs(means / 0.02) > errors) | (abs(spreads / 0.02 - 1) > errors / np.sqrt(2)))
        if len(odd):
            i = odd[0]
            yield (
                f"{line} {i} of {name} has a mean of {means[i]:.3g} and a standard deviation of {spreads[i]:.3g}: "
                f"expected N(0, 0.02) in every {line}, without exceptions."
            )


@check("a new table is drawn from N(0, 0.02), with `scale` and without", points=1, compare="structure")
def test_initial_weights(ex: Exercise, rng: Random):
    return {"plain": ex.TokenEmbedding(512, 64).weight, "scaled": ex.TokenEmbedding(512, 64, scale=True).weight}


@test_initial_weights.explain
def _(got, want):
    yield from oddities(got["plain"], "a new table")
    yield from oddities(got["scaled"], "a new table of a layer with `scale`")


@check("every new layer draws a table of its own", points=1, compare="structure")
def test_layers_differ(ex: Exercise, rng: Random):
    vocab, width = rng.sizes(2, low=4)
    one, another = ex.TokenEmbedding(vocab, width), ex.TokenEmbedding(vocab, width)
    return {"one": one.weight, "another": another.weight, "scaled": ex.TokenEmbedding(vocab, width, True).weight}


@test_layers_differ.explain
def _(got, want):
    pairs = ("one", "another"), ("one", "scaled"), ("another", "scaled")
    if any(close(got[first], got[second]) for first, second in pairs):
        yield "two new layers have the same table: is a seed set somewhere, or one table shared by all?"


@check("calling the layer changes neither its table nor the ids", points=1, after=test_scale)
def test_layer_changes_nothing(ex: Exercise, rng: Random):
    vocab, width, batch, length = rng.sizes(4)
    layer = filled(ex.TokenEmbedding(vocab, width, scale=True), rng)
    ids = rng.ids(vocab, batch, length)
    layer(ids)
    return {"weight": layer.weight, "ids": ids, "the second answer": layer(ids)}


@test_layer_changes_nothing.explain
def _(got, want):
    if not close(got["weight"], want["weight"], 1e-9):
        yield "calling the layer changes its table: is it the table that you multiply, or what was read from it?"


@check(
    "the gradient that reaches the table adds up repeated ids", points=1, tolerance=1e-6, axes={"weight": "token width"}
)
def test_layer_gradient(ex: Exercise, rng: Random):
    width, batch, length = rng.sizes(3)
    layer = filled(ex.TokenEmbedding(6, width, scale=True), rng, dtype=torch.float64)
    ids = rng.ids(4, batch, length)  # many repeats; the last two rows are never read
    return gradients(layer(ids), {"weight": layer.weight}, rng)


@check("the layer refuses ids outside its table, negative ones too", points=1)
def test_layer_refuses_ids(ex: Exercise, rng: Random):
    vocab, width = rng.sizes(2, low=4)
    layer = filled(ex.TokenEmbedding(vocab, width), rng)
    return {
        "too large": raised(lambda: layer(torch.tensor([[0, 1], [vocab, 2]])), mentions=[vocab]),
        "far too large": raised(lambda: layer(torch.tensor([[vocab + 70]])), mentions=[vocab + 70]),
        "negative": raised(lambda: layer(torch.tensor([[0, 1, -3]])), mentions=[-3]),
        "the last id": raised(lambda: layer(torch.tensor([[vocab - 1, 0]]))),
    }


@test_layer_refuses_ids.explain
def _(got, want):
    if got["negative"].type is None:
        yield "a negative id goes through: which row does it read?"


@check("the layer's output has the dtype of its table", points=1, tolerance=2e-2)
def test_layer_dtypes(ex: Exercise, rng: Random):
    vocab, width, batch, length = rng.sizes(4)
    ids = rng.ids(vocab, batch, length)
    return {
        f"{str(dtype).removeprefix('torch.')}, scale={scale}": filled(
            ex.TokenEmbedding(vocab, width, scale=scale), rng, dtype=dtype
        )(ids)
        for dtype in (torch.float64, torch.bfloat16)
        for scale in (False, True)
    }


@check("a batch of one, a length of one and a width of one keep their axes", points=1)
def test_layer_sizes_of_one(ex: Exercise, rng: Random):
    vocab, width, length = rng.sizes(3)
    layer = filled(ex.TokenEmbedding(vocab, width), rng)
    narrow = filled(ex.TokenEmbedding(vocab, 1, scale=True), rng)
    return {
        "a batch of one": layer(rng.ids(vocab, 1, length)),
        "length one": layer(rng.ids(vocab, length, 1)),
        "one token": layer(rng.ids(vocab, 1, 1)),
        "width one": narrow(rng.ids(vocab, 2, length)),
    }


### END HIDDEN TESTS
