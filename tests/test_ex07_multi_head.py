"""What multi-head attention must do: the checks of exercise 7."""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, filled, gradients, on_meta, raised


@check(
    "head h gets columns h*d to (h+1)*d - 1 of every position",
    points=1,
    tolerance=0,
    axes={"heads": "batch head position column"},
)
def test_split_heads(ex: Exercise, rng: Random):
    batch, heads, length, width = rng.sizes(4)
    x = rng.tensor(batch, length, heads * width)
    return {"heads": ex.split_heads(x, heads), "x": x}


@test_split_heads.explain
def _(got, want):
    batch, heads, length, width = want["heads"].shape
    if (got["heads"] == want["x"].reshape(batch, heads, length, width)).all():
        yield (
            f"the shape is right, but head 0 got the first {length * width} numbers in a row, not {width} columns "
            "of every token: which axis did you cut, and which two change places afterwards?"
        )
    elif (got["heads"] == want["x"].reshape(batch, length, width, heads).transpose(0, 3, 1, 2)).all():
        yield f"head 0 got every {heads}th column; its columns should be neighbours."


@check("merging puts the heads' columns side by side", points=1, tolerance=0, axes={"merged": "batch position column"})
def test_merge_heads(ex: Exercise, rng: Random):
    batch, heads, length, width = rng.sizes(4)
    x = rng.tensor(batch, heads, length, width)
    return {"merged": ex.merge_heads(x), "x": x}


@test_merge_heads.explain
def _(got, want):
    merged, x = got["merged"], want["x"]
    batch, heads, length, width = x.shape
    if (merged == x.reshape(batch, length, heads * width)).all():
        yield "the shape is right, but row 0 holds several positions of head 0: which two axes change places first?"
    elif (merged == x.transpose(0, 2, 3, 1).reshape(batch, length, heads * width)).all():
        yield "the heads' columns are interleaved: column 1 should be column 1 of head 0, yours is column 0 of head 1."


@check("self-attention: the output", points=2, axes={"": "batch position column"})
def test_self_attention(ex: Exercise, rng: Random):
    batch, heads, length, width = rng.sizes(4)
    module = filled(ex.MultiHeadAttention(heads * width, heads), rng)
    return module(rng.tensor(batch, length, heads * width))


@check(
    "each head has weights of its own, a distribution over the keys", points=1, axes={"weights": "batch head query key"}
)
def test_weights(ex: Exercise, rng: Random):
    batch, heads, length, width = rng.sizes(4, 3)
    module = filled(ex.MultiHeadAttention(heads * width, heads), rng)
    _, weights = module(rng.tensor(batch, length, heads * width), return_weights=True)
    return {"weights": weights}


@test_weights.explain
def _(got, want):
    weights, sums = got["weights"], got["weights"].sum(-1)
    if not close(sums, 1.0):
        worst = sums.flat[abs(sums - 1).argmax()]
        yield f"a row of your weights sums to {worst:.3g} instead of 1: over which axis do you take the softmax?"
        return
    due = np.log(want["weights"][..., :1]) - np.log(want["weights"])  # by how much a key's score lies below key 0's
    mine = np.log(weights[..., :1]) - np.log(weights)
    factor = (due * mine).sum() / (due * due).sum()
    if close(mine, factor * due, 1e-2) and factor > 0 and abs(factor - 1) > 1e-2:
        yield (
            f"the scores behind your weights are {factor:.3g} times as far apart as they should be. How many products "
            "does one score sum up within a head?"
        )


@check("a d_model that n_heads does not divide is refused", points=1)
def test_indivisible(ex: Exercise, rng: Random):
    heads = rng.integers(3, 7)
    d_model = heads * rng.integers(2, 6) + rng.integers(1, heads)
    return raised(lambda: ex.MultiHeadAttention(d_model, heads), mentions=[d_model])


### BEGIN HIDDEN TESTS
@check("splitting and merging: one head, heads of width one, a single position, a batch of one", points=1)
def test_split_and_merge_extremes(ex: Exercise, rng: Random):
    batch, length, width = rng.sizes(3)
    x, single = rng.tensor(batch, length, width), rng.tensor(1, 1, width)
    return {"split": [ex.split_heads(x, 1), ex.split_heads(x, width), ex.split_heads(single, width)]} | {
        "merged": ex.merge_heads(rng.tensor(1, width, 1, 1))
    }


@check("one head, heads of width one, a single position, a batch of one", points=1, after=test_self_attention)
def test_extremes(ex: Exercise, rng: Random):
    batch, length, width = rng.sizes(3)
    x, single = rng.tensor(batch, length, width), rng.tensor(1, 1, width)
    one = filled(ex.MultiHeadAttention(width, 1), rng)
    narrow = filled(ex.MultiHeadAttention(width, width), rng)
    return {
        "one head": one(x, return_weights=True),
        "heads of width one": narrow(x, return_weights=True),
        "one position": narrow(single, return_weights=True),
    }


@check(
    "cross-attention: keys and values from elsewhere; without a value, the key is the value",
    points=1,
    after=test_self_attention,
)
def test_cross_attention(ex: Exercise, rng: Random):
    batch, heads, width, queries, keys = rng.sizes(5)
    module = filled(ex.MultiHeadAttention(heads * width, heads), rng)
    query, key = rng.tensor(batch, queries, heads * width), rng.tensor(batch, keys, heads * width)
    value = rng.tensor(batch, keys, heads * width)
    return {
        "all three": module(query, key, value, return_weights=True),
        "no value": module(query, key),
        "by name": module(query, value=value, key=key),
        "no key": module(key, value=value),
    }


@test_cross_attention.explain
def _(got, want):
    if close(got["all three"][0], got["no value"]):
        yield "the output does not change when another `value` is given."
    elif close(got["all three"][0], want["all three"][0]) and not close(got["no key"], want["no key"]):
        yield "with a `value` and no `key` the output is another one: the keys are made from the query then."


@check("masks: one for all, one for each sequence, one for each head", points=1, after=test_self_attention)
def test_masks(ex: Exercise, rng: Random):
    batch, heads, width, queries, keys = rng.sizes(5, 3)
    module = filled(ex.MultiHeadAttention(heads * width, heads), rng)
    query, key = rng.tensor(batch, queries, heads * width), rng.tensor(batch, keys, heads * width)
    causal = torch.ones(queries, queries, dtype=torch.bool).tril()
    return {
        "causal": module(query, mask=causal, return_weights=True),
        "for each sequence": module(query, key, key, rng.mask(batch, 1, queries, keys), True),
        "for each key": module(query, key, mask=rng.mask(batch, 1, 1, keys)),
        "for each head": module(query, key, mask=rng.mask(batch, heads, queries, keys), return_weights=True),
    }


@check(
    "a query that may attend to nothing: zero weights, finite outputs and gradients",
    points=2,
    after=test_self_attention,
)
def test_nothing_to_attend_to(ex: Exercise, rng: Random):
    batch, heads, width, length = rng.sizes(4, 3)
    module = filled(ex.MultiHeadAttention(heads * width, heads), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, heads * width, dtype=torch.float64, grad=True)
    mask = rng.mask(batch, 1, length, length)
    mask[0, 0, 1] = False
    mask[1] = False
    out, weights = module(x, mask=mask, return_weights=True)
    wanted = {"x": x, "q": module.q_proj.weight, "k": module.k_proj.weight, "v": module.v_proj.weight}
    return {"out": out, "weights": weights, "gradients": gradients(out, wanted, rng)}


@check("gradients reach every input and every parameter", points=1, tolerance=1e-4, after=test_cross_attention)
def test_gradients(ex: Exercise, rng: Random):
    batch, heads, width, queries, keys = rng.sizes(5)
    module = filled(ex.MultiHeadAttention(heads * width, heads), rng, dtype=torch.float64)
    inputs = {
        name: rng.tensor(batch, length, heads * width, dtype=torch.float64, grad=True)
        for name, length in {"query": queries, "key": keys, "value": keys}.items()
    }
    out = module(**inputs)
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        projection = getattr(module, name)
        inputs |= {f"{name}.weight": projection.weight, f"{name}.bias": projection.bias}
    found = gradients(out, inputs, rng)
    key_bias = found["k_proj.bias"]
    if key_bias is not None:  # it adds the same to all scores of a query, so its gradient is 0, up to rounding
        found["k_proj.bias"] = key_bias.masked_fill(key_bias.abs() < 1e-5, 0.0)
    return found


@check("bias=False leaves the bias out of all four projections", points=1)
def test_without_bias(ex: Exercise, rng: Random):
    heads, width = rng.sizes(2)
    module = ex.MultiHeadAttention(heads * width, heads, bias=False)
    return {f"{name}.bias": getattr(module, name).bias for name in ("q_proj", "k_proj", "v_proj", "out_proj")}


@check("without biases it computes the same but for these", points=1, after=test_self_attention)
def test_values_without_bias(ex: Exercise, rng: Random):
    batch, heads, length, width = rng.sizes(4)
    module = filled(ex.MultiHeadAttention(heads * width, heads, bias=False), rng)
    return module(rng.tensor(batch, length, heads * width))


@check(
    "in training, dropout acts on the weights; those returned are the ones before it",
    points=2,
    compare="structure",
    after=test_cross_attention,
)
def test_dropout_acts_on_the_weights(ex: Exercise, rng: Random):
    batch, heads, queries, keys, dropout = 8, 2, 40, 10, 0.25
    width = heads * 2 * keys
    module = filled(ex.MultiHeadAttention(width, heads, dropout=dropout), rng)
    # Value and output projection do nothing here, and the values of a head are two unit matrices side by side: so the
    # output holds each weight as it was after dropout, twice.
    with torch.no_grad():
        for projection in (module.v_proj, module.out_proj):
            projection.weight.copy_(torch.eye(width))
            projection.bias.zero_()
    module.train()
    value = torch.eye(keys).repeat(1, 2 * heads).expand(batch, keys, width)
    query, key = rng.tensor(batch, queries, width), rng.tensor(batch, keys, width)
    out, weights = module(query, key, value, return_weights=True)
    return {"out": out, "weights": weights, "dropout": dropout}


@test_dropout_acts_on_the_weights.explain
def _(got, want):
    weights, expected, dropout = got["weights"], want["weights"], want["dropout"]
    batch, heads, queries, keys = expected.shape
    first, second = got["out"].reshape(batch, queries, heads, 2, keys).transpose(3, 0, 2, 1, 4)
    kept, grown = first != 0, 1 / (1 - dropout)
    if (weights == 0).any() and close(weights[weights != 0], expected[weights != 0] * grown, 1e-4):
        yield "the weights that are returned are those after dropout; those before it are asked for."
    elif not close(weights, expected):
        yield "the weights that are returned are not those of the same layer without dropout."
    elif close(first, expected) and close(second, expected):
        yield "nothing is dropped in training."
    elif (kept != (second != 0)).any():
        yield (
            "a weight that is dropped should be missing from all columns of the value, yours is missing from some of "
            "them: what does your dropout act on?"
        )
    elif not close(first, second) or np.ptp(first[kept] / expected[kept]) > 1e-3:
        yield "in training the output is not what the kept weights, all scaled up alike, make of the values."
    elif not close(first[kept], expected[kept] * grown, 1e-4):
        ratio = np.median(first[kept] / expected[kept])
        yield f"the weights that are kept should grow by 1/(1 - p) = {grown:.3f}, yours by {ratio:.3f}."
    elif abs(kept.mean() - (1 - dropout)) > 0.05:
        yield f"with dropout={dropout}, {kept.mean():.0%} of the weights are kept."
    else:
        for axis, what in enumerate(("sequences", "heads", "queries", "keys")):
            if (kept == kept.take([0], axis)).all():
                yield f"dropout does the same to all {what}: each weight should be drawn independently."


@check("in evaluation mode nothing is dropped", points=1, after=test_self_attention)
def test_evaluation_mode(ex: Exercise, rng: Random):
    batch, heads, length, width = rng.sizes(4)
    x = rng.tensor(batch, length, heads * width)
    modules = {str(p): filled(ex.MultiHeadAttention(heads * width, heads, dropout=p), rng) for p in (0.5, 0.0)}
    return {name: module.eval()(x, return_weights=True) for name, module in modules.items()}


@test_evaluation_mode.explain
def _(got, want):
    if not close(got["0.5"][0], got["0.0"][0]):
        yield "in evaluation mode a layer with dropout=0.5 gives a different output from the same layer with dropout=0."


@check("a dropout outside 0..1 is refused, 0 and 1 are not", points=1)
def test_dropout_out_of_range(ex: Exercise, rng: Random):
    high, low = 1.5, -0.25
    return {
        "high": raised(lambda: ex.MultiHeadAttention(8, 2, dropout=high), mentions=[high]),
        "low": raised(lambda: ex.MultiHeadAttention(8, 2, dropout=low), mentions=[low]),
        "ends": [raised(lambda p=p: ex.MultiHeadAttention(8, 2, dropout=p)) for p in (0.0, 1.0)],
    }


@check("very large inputs: still finite, still distributions", points=1, tolerance=1e-6, after=test_self_attention)
def test_large_inputs(ex: Exercise, rng: Random):
    batch, heads, length, width = rng.sizes(4)
    module = filled(ex.MultiHeadAttention(heads * width, heads), rng, dtype=torch.float64)
    x = rng.tensor(batch, length, heads * width, dtype=torch.float64, scale=300.0)
    return module(x, return_weights=True)


@check("bfloat16 in, bfloat16 out; float64 in, float64 out", points=1, compare="structure", after=test_masks)
def test_bfloat16(ex: Exercise, rng: Random):
    batch, heads, length, width = rng.sizes(4)
    module = filled(ex.MultiHeadAttention(heads * width, heads), rng, dtype=torch.bfloat16)
    x, mask = rng.tensor(batch, length, heads * width, dtype=torch.bfloat16), rng.mask(length, length)
    rough = module(x, mask=mask, return_weights=True)
    return {"rough": rough, "exact": module.double()(x.double(), mask=mask, return_weights=True)}


@test_bfloat16.explain
def _(got, want):
    # Each of the steps (projections, scores, shares, mixture) is off by a 256th of its size, a few times over.
    for index, what in enumerate(("output", "weights")):
        due = want["exact"][index]
        gap = abs(got["rough"][index] - due).max()
        if gap > 0.25 * abs(due).max():
            yield f"in bfloat16 the {what} {'is' if index == 0 else 'are'} off by {gap:.2g}, more than rounding can do."


@check("no argument is changed in place", points=1, tolerance=0, after=test_cross_attention)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    batch, heads, width, queries, keys = rng.sizes(5)
    module = filled(ex.MultiHeadAttention(heads * width, heads, dropout=0.1), rng)
    query, key = rng.tensor(batch, queries, heads * width), rng.tensor(batch, keys, heads * width)
    value, mask = rng.tensor(batch, keys, heads * width), rng.mask(queries, keys)
    mask[0] = False
    module(query, key, value, mask)
    return {"query": query, "key": key, "value": value, "mask": mask}


@check("the results are on the device of the inputs", points=1, after=test_masks)
def test_device(ex: Exercise, rng: Random):
    batch, heads, length, width = rng.sizes(4)
    plain, masked = (filled(ex.MultiHeadAttention(heads * width, heads), rng) for _ in range(2))
    x, mask = rng.tensor(batch, length, heads * width), rng.mask(length, length)
    return {
        "no mask": on_meta(lambda on: plain.to(on)(x.to(on), return_weights=True)),
        "masked": on_meta(lambda on: masked.to(on)(x.to(on), mask=mask.to(on), return_weights=True)),
    }


@test_device.explain
def _(got, want):
    if any(got[case]["strays"] for case in want):
        yield "a tensor of yours is not on the device of the inputs: which one is made without `device=`?"


### END HIDDEN TESTS
