"""What scaled dot-product attention must do: the checks of exercise 5."""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, gradients, on_meta


@check("one query's answer is the weighted mixture of the values", points=1)
def test_attend_one_query(ex: Exercise, rng: Random):
    length, width, value_width = rng.sizes(3)
    return ex.attend(rng.array(width), rng.array(length, width), rng.array(length, value_width))


@check("equal keys: one query gets the plain average of the values", points=1)
def test_attend_equal_keys(ex: Exercise, rng: Random):
    length, width, value_width = rng.sizes(3)
    keys = np.tile(rng.array(width), (length, 1))
    values = rng.array(length, value_width)
    return {"answer": ex.attend(rng.array(width), keys, values), "values": values}


@test_attend_equal_keys.explain
def _(got, want):
    mine, plain = got["answer"], want["values"].mean(0)
    total = mine @ plain / (plain @ plain)
    if not close(mine, plain) and close(mine, total * plain):
        yield f"all keys are the same here, and so are your weights, but they add up to {total:.3g} instead of 1."
    elif not close(mine, plain):
        yield "all keys are the same here, and yet the values do not count the same in your answer."


@check(
    "many queries at once: the output and the weights",
    points=2,
    axes={"out": "batch query value", "weights": "batch query key"},
)
def test_attention_values(ex: Exercise, rng: Random):
    batch, queries, keys, width, value_width = rng.sizes(5)
    q, k, v = rng.tensor(batch, queries, width), rng.tensor(batch, keys, width), rng.tensor(batch, keys, value_width)
    out, weights = ex.scaled_dot_product_attention(q, k, v)
    return {"out": out, "weights": weights}


@test_attention_values.explain
def _(got, want):
    sums, columns = got["weights"].sum(-1), got["weights"].sum(-2)
    if close(columns, 1.0) and not close(sums, 1.0):
        yield "the weights of each key sum to 1 over the queries: it is each query that divides its attention."
        return
    due = np.log(want["weights"][..., :1]) - np.log(want["weights"])  # by how much a key's score lies below key 0's
    mine = np.log(got["weights"][..., :1]) - np.log(got["weights"])
    factor = (due * mine).sum() / (due * due).sum()
    if close(sums, 1.0) and close(mine, factor * due, 1e-3) and factor > 0 and abs(factor - 1) > 1e-3:
        yield (
            f"your weights are too {'sharp' if factor > 1 else 'flat'}: the scores behind them are {factor:.3g} times "
            "as far apart as they should be. By what do you divide them?"
        )


@check(
    "each query's weights are a distribution over the keys",
    points=1,
    axes={"weights": "batch query key"},
    after=test_attention_values,
)
def test_weights_are_distributions(ex: Exercise, rng: Random):
    batch, queries, keys, width = rng.sizes(4)
    q, k = rng.tensor(batch, queries, width), rng.tensor(batch, keys, width)
    _, weights = ex.scaled_dot_product_attention(q, k, k)
    return {"weights": weights}


@test_weights_are_distributions.explain
def _(got, want):
    sums = got["weights"].sum(-1)
    if not close(sums, 1.0):
        worst = sums.flat[abs(sums - 1).argmax()]
        yield f"a row of your weights sums to {worst:.3g} instead of 1: over which axis do you take the softmax?"


@check(
    "a key that is masked out gets no weight, and the others share the whole of it",
    points=2,
    axes={"out": "batch query value", "weights": "batch query key"},
    after=test_attention_values,
)
def test_mask(ex: Exercise, rng: Random):
    batch, queries, keys, width, value_width = rng.sizes(5, 3, 9)
    q, k, v = rng.tensor(batch, queries, width), rng.tensor(batch, keys, width), rng.tensor(batch, keys, value_width)
    mask = rng.mask(batch, queries, keys)
    mask[..., -1] = False  # some key is hidden from every query, and some other one is not
    out, weights = ex.scaled_dot_product_attention(q, k, v, mask)
    return {"out": out, "weights": weights, "mask": mask}


@test_mask.explain
def _(got, want):
    weights, mask = got["weights"], want["mask"]
    sums = weights.sum(-1)
    if close(weights[mask], 0.0) and (weights[~mask] > 0).all():
        yield "your weights are zero exactly where the mask is True: here True means that a query MAY attend."
    elif not close(sums, 1.0) and not weights[~mask].any():
        yield (
            f"the hidden keys get no weight, but a row now sums to {sums.flat[abs(sums - 1).argmax()]:.3g}: does the "
            "mask act before the softmax or after it?"
        )
    elif weights[~mask].max(initial=0.0) > 0:
        yield (
            f"a hidden key still gets a weight of {weights[~mask].max():.2g}: which score makes a softmax give exactly "
            "zero?"
        )


### BEGIN HIDDEN TESTS
@check("answering one query changes none of its arrays", points=1, after=test_attend_one_query)
def test_attend_arguments_unchanged(ex: Exercise, rng: Random):
    length, width, value_width = rng.sizes(3)
    query, keys, values = rng.array(width), rng.array(length, width), rng.array(length, value_width)
    ex.attend(query, keys, values)
    return {"query": query, "keys": keys, "values": values}


@test_attend_arguments_unchanged.explain
def _(got, want):
    for name in want:
        if (got[name] != want[name]).any():
            yield f"the caller's `{name}` was written into: by which line (`/=`, `out=`)?"


@check("a single query with huge scores gets the right answer", points=1, after=test_attend_one_query)
def test_attend_huge_scores(ex: Exercise, rng: Random):
    length, width, value_width = rng.sizes(3)
    return ex.attend(rng.array(width, scale=1e4), rng.array(length, width, scale=1e4), rng.array(length, value_width))


@check(
    "any number of leading dimensions, none included",
    points=1,
    axes={"deep": "a b query value"},
    after=test_attention_values,
)
def test_leading_dimensions(ex: Exercise, rng: Random):
    first, second, queries, keys, width, value_width = rng.sizes(6)
    q, k, v = (
        rng.tensor(first, second, queries, width),
        rng.tensor(first, second, keys, width),
        rng.tensor(first, second, keys, value_width),
    )
    flat, _ = ex.scaled_dot_product_attention(q[0, 0].clone(), k[0, 0].clone(), v[0, 0].clone())
    deep, _ = ex.scaled_dot_product_attention(q, k, v)
    return {"deep": deep, "flat": flat}


@check(
    "the scale follows the width of the keys, even when it is large",
    points=1,
    tolerance=1e-4,
    after=test_attention_values,
)
def test_scale_of_wide_keys(ex: Exercise, rng: Random):
    queries, keys, value_width = rng.sizes(3)
    q, k, v = rng.tensor(queries, 256), rng.tensor(keys, 256), rng.tensor(keys, value_width)
    out, weights = ex.scaled_dot_product_attention(q, k, v)
    return {"out": out, "weights": weights}


@check("one mask serves a whole batch when it has fewer dimensions", points=1, after=test_mask)
def test_mask_broadcasts(ex: Exercise, rng: Random):
    batch, heads, queries, keys, width = rng.sizes(5, 3, 9)
    q, k = rng.tensor(batch, heads, queries, width), rng.tensor(batch, heads, keys, width)
    for_all, for_keys = rng.mask(queries, keys), rng.mask(batch, 1, 1, keys)
    for_all[:, -1], for_keys[..., -1] = False, False
    return {
        "for_all": ex.scaled_dot_product_attention(q.clone(), k.clone(), k.clone(), for_all)[0],
        "for_keys": ex.scaled_dot_product_attention(q, k, k, for_keys)[0],
    }


@check("what stands at a hidden key makes no difference at all", points=1, after=test_mask)
def test_hidden_keys_do_not_leak(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3, 3, 9)
    q, k, v = rng.tensor(queries, width), rng.tensor(keys, width), rng.tensor(keys, width)
    mask = torch.ones(queries, keys, dtype=torch.bool)
    mask[:, -1] = False
    before, weights = ex.scaled_dot_product_attention(q.clone(), k.clone(), v.clone(), mask.clone())
    k[-1], v[-1] = rng.tensor(width, scale=1e3), rng.tensor(width, scale=1e3)
    after, _ = ex.scaled_dot_product_attention(q, k, v, mask)
    return {"before": before, "after": after, "hidden": weights[:, -1]}


@test_hidden_keys_do_not_leak.explain
def _(got, want):
    if got["hidden"].any():
        yield "a key that the mask hides has a weight that is not exactly zero."
    if (got["before"] != got["after"]).any():
        yield "changing the key and the value at a hidden place changes the output."


@check("huge scores: still finite, still distributions", points=1, after=test_attention_values)
def test_huge_scores(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3)
    q, k = rng.tensor(queries, width, scale=1e4), rng.tensor(keys, width, scale=1e4)
    out, weights = ex.scaled_dot_product_attention(q, k, rng.tensor(keys, width))
    return {"out": out, "weights": weights}


@check("a hidden key gets no weight, however low the score of the one that may be seen", points=1, after=test_mask)
def test_mask_and_huge_scores(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3, 3, 9)
    q, k = torch.full((queries, width), -1e7), torch.zeros(keys, width)
    k[0] = 1e7
    mask = torch.zeros(queries, keys, dtype=torch.bool)
    mask[:, 0] = True
    out, weights = ex.scaled_dot_product_attention(q, k, rng.tensor(keys, width), mask)
    return {"out": out, "weights": weights}


@test_mask_and_huge_scores.explain
def _(got, want):
    if (got["weights"][:, 0] < 1).any() and (got["weights"][:, 1:] > 0).any():
        yield (
            "the key that may be seen has a very low score here, and hidden ones take its weight: which number lies "
            "below all others?"
        )


@check("the output is linear in the values", points=1, after=test_attention_values)
def test_linear_in_values(ex: Exercise, rng: Random):
    queries, keys, width, value_width = rng.sizes(4)
    q, k = rng.tensor(queries, width), rng.tensor(keys, width)
    one, two = rng.tensor(keys, value_width), rng.tensor(keys, value_width)
    outs = [ex.scaled_dot_product_attention(q.clone(), k.clone(), v)[0] for v in (one, two, 2 * one - 3 * two)]
    return {"one": outs[0], "two": outs[1], "both": outs[2]}


@test_linear_in_values.explain
def _(got, want):
    if not close(got["both"], 2 * got["one"] - 3 * got["two"]):
        yield "mixing 2 V1 - 3 V2 is not the same as 2 times the mixture of V1 minus 3 times that of V2."


@check(
    "the order of the keys does not matter, the order of the queries only reorders the answers",
    points=1,
    after=test_attention_values,
)
def test_permutations(ex: Exercise, rng: Random):
    queries, keys, width, value_width = rng.sizes(4, 3, 9)
    q, k, v = rng.tensor(queries, width), rng.tensor(keys, width), rng.tensor(keys, value_width)
    order = torch.arange(keys - 1, -1, -1)
    plain, _ = ex.scaled_dot_product_attention(q.clone(), k.clone(), v.clone())
    shuffled, weights = ex.scaled_dot_product_attention(q.flip(0), k[order], v[order])
    return {"plain": plain, "shuffled": shuffled, "weights": weights}


@check("no argument is changed in place", points=1, after=test_mask)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3)
    q, k, v = rng.tensor(queries, width), rng.tensor(keys, width), rng.tensor(keys, width)
    mask = torch.ones(queries, keys, dtype=torch.bool)
    mask[0, 1] = False
    ex.scaled_dot_product_attention(q, k, v, mask)
    return {"q": q, "k": k, "v": v, "mask": mask}


@test_arguments_unchanged.explain
def _(got, want):
    for name in want:
        if (got[name] != want[name]).any():
            yield f"the caller's `{name}` is changed: which line writes into it (`/=`, a method with an underscore)?"


@check("gradients reach the queries, the keys and the values", points=1, tolerance=1e-5, after=test_mask)
def test_gradients(ex: Exercise, rng: Random):
    batch, queries, keys, width, value_width = rng.sizes(5, 3, 9)
    q = rng.tensor(batch, queries, width, dtype=torch.float64, grad=True)
    k = rng.tensor(batch, keys, width, dtype=torch.float64, grad=True)
    v = rng.tensor(batch, keys, value_width, dtype=torch.float64, grad=True)
    out, _ = ex.scaled_dot_product_attention(q, k, v, rng.mask(queries, keys))
    return gradients(out, {"q": q, "k": k, "v": v}, rng)


@check("bfloat16 in, bfloat16 out; float64 in, float64 out", points=1, compare="structure", after=test_mask)
def test_bfloat16(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3)
    q, k = rng.tensor(queries, width, dtype=torch.bfloat16), rng.tensor(keys, width, dtype=torch.bfloat16)
    mask = rng.mask(queries, keys)
    return {
        "rough": ex.scaled_dot_product_attention(q, k, k, mask),
        "exact": ex.scaled_dot_product_attention(q.double(), k.double(), k.double(), mask),
        "keys": k,
    }


@test_bfloat16.explain
def _(got, want):
    # A score is a sum of at most 9 products, each off by a 256th at most: a weight moves by a few hundredths.
    (out, weights), (due, exact) = got["rough"], want["exact"]
    if abs(weights - exact).max() > 0.1:
        yield (
            f"in bfloat16 a weight is off by {abs(weights - exact).max():.2g} from what it is in float64: rounding "
            "alone moves it by a few hundredths."
        )
    elif abs(out - due).max() > 0.2 * abs(want["keys"]).max():
        yield "in bfloat16 the output is further away from that in float64 than rounding alone can move it."


@check("one query, one key: all of the weight goes to it", points=1, after=test_attention_values)
def test_length_one(ex: Exercise, rng: Random):
    (width, value_width) = rng.sizes(2)
    q, k, v = rng.tensor(1, 1, width), rng.tensor(1, 1, width), rng.tensor(1, 1, value_width)
    out, weights = ex.scaled_dot_product_attention(q, k, v)
    return {"out": out, "weights": weights, "alone": ex.attend(rng.array(width), rng.array(1, width), rng.array(1, 2))}


@check("the results are on the device of the inputs", points=1, after=test_mask)
def test_device(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3)
    q, k, mask = rng.tensor(queries, width), rng.tensor(keys, width), rng.mask(queries, keys)
    return on_meta(lambda on: ex.scaled_dot_product_attention(q.to(on), k.to(on), k.to(on), mask.to(on)))


@test_device.explain
def _(got, want):
    if got["strays"]:
        yield "a tensor of yours is not on the device of the inputs: which one is made without `device=`?"


### END HIDDEN TESTS
