"""What scaled dot-product attention must do: the checks of exercise 5."""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, gradients


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
    if got["answer"].shape == want["answer"].shape and not close(got["answer"], want["values"].mean(0)):
        yield "All keys are the same here, so every value should count the same: do the shares add up to one?"


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
        yield "the weights of each key sum to 1 over the queries: it is each query that shares out its attention."
        return
    scores, mine = np.log(want["weights"]), np.log(got["weights"])
    spread, own = np.ptp(scores, axis=-1), np.ptp(mine, axis=-1)
    if close(got["weights"].sum(-1), 1.0) and np.ptp(own / spread) < 1e-3 and not close(own, spread, 1e-3):
        sharp = "sharper" if own.flat[0] > spread.flat[0] else "flatter"
        yield (
            f"your weights are too {'sharp' if sharp == 'sharper' else 'flat'}: the scores behind them are "
            f"{own.flat[0] / spread.flat[0]:.3g} times as far apart as they should be. By what do you divide them?"
        )


@check("each query's weights are a distribution over the keys", points=1, axes={"weights": "batch query key"})
def test_weights_are_distributions(ex: Exercise, rng: Random):
    batch, queries, keys, width = rng.sizes(4)
    q, k = rng.tensor(batch, queries, width), rng.tensor(batch, keys, width)
    _, weights = ex.scaled_dot_product_attention(q, k, k)
    return {"weights": weights}


@test_weights_are_distributions.explain
def _(got, want):
    sums = got["weights"].sum(-1)
    if not close(sums, 1.0):
        yield f"row 0 of your weights sums to {sums[0, 0]:.2f} instead of 1: over which axis do you take the softmax?"


@check(
    "a key that is masked out gets no weight, and the others share the whole of it",
    points=2,
    axes={"out": "batch query value", "weights": "batch query key"},
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
    if close(weights[mask], 0.0) and not mask.all():
        yield "your weights are zero exactly where the mask is True: here True means that a query MAY attend."
    elif not close(weights.sum(-1), 1.0) and close(weights[~mask], 0.0):
        yield (
            f"the hidden keys get no weight, but row 0 now sums to {weights[0, 0].sum():.2f}: does the mask act before "
            "the softmax or after it?"
        )
    elif weights[~mask].max(initial=0.0) > 0:
        yield (
            f"a hidden key still gets a weight of {weights[~mask].max():.2g}: which score makes a softmax give exactly "
            "zero?"
        )


### BEGIN HIDDEN TESTS
@check("a single query keeps the dtype of its arrays", points=1)
def test_attend_float32(ex: Exercise, rng: Random):
    length, width, value_width = rng.sizes(3)
    query, keys, values = rng.array(width), rng.array(length, width), rng.array(length, value_width)
    return ex.attend(query.astype(np.float32), keys.astype(np.float32), values.astype(np.float32))


@check("a single query with huge scores gives finite numbers", points=1)
def test_attend_huge_scores(ex: Exercise, rng: Random):
    length, width, value_width = rng.sizes(3)
    return ex.attend(rng.array(width, scale=1e4), rng.array(length, width, scale=1e4), rng.array(length, value_width))


@check("any number of leading dimensions, none included", points=1, axes={"deep": "a b query value"})
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


@check("the scale follows the width of the keys, also when it is large", points=1)
def test_scale_of_wide_keys(ex: Exercise, rng: Random):
    queries, keys, value_width = rng.sizes(3)
    q, k = rng.tensor(queries, 256, dtype=torch.float64), rng.tensor(keys, 256, dtype=torch.float64)
    out, weights = ex.scaled_dot_product_attention(q, k, rng.tensor(keys, value_width, dtype=torch.float64))
    return {"out": out, "weights": weights}


@check("one mask serves a whole batch when it has fewer dimensions", points=1)
def test_mask_broadcasts(ex: Exercise, rng: Random):
    batch, heads, queries, keys, width = rng.sizes(5, 3, 9)
    q, k = rng.tensor(batch, heads, queries, width), rng.tensor(batch, heads, keys, width)
    for_all, for_keys = rng.mask(queries, keys), rng.mask(batch, 1, 1, keys)
    for_all[:, -1], for_keys[..., -1] = False, False
    return {
        "for_all": ex.scaled_dot_product_attention(q.clone(), k.clone(), k.clone(), for_all)[0],
        "for_keys": ex.scaled_dot_product_attention(q, k, k, for_keys)[0],
    }


@check("what stands at a hidden key makes no difference at all", points=1)
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


@check("huge scores: still finite, still distributions", points=1)
def test_huge_scores(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3)
    q, k = rng.tensor(queries, width, scale=1e4), rng.tensor(keys, width, scale=1e4)
    out, weights = ex.scaled_dot_product_attention(q, k, rng.tensor(keys, width))
    return {"out": out, "weights": weights}


@check("a hidden key gets no weight, however low the score of the one that may be seen", points=1)
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
    if close(got["weights"].sum(-1), 1.0) and got["weights"][:, 1:].any():
        yield (
            "the key that may be seen has a very low score here, and hidden ones take its weight: which number lies "
            "below all others?"
        )


@check("the output is linear in the values", points=1)
def test_linear_in_values(ex: Exercise, rng: Random):
    queries, keys, width, value_width = rng.sizes(4)
    q, k = rng.tensor(queries, width, dtype=torch.float64), rng.tensor(keys, width, dtype=torch.float64)
    one, two = (rng.tensor(keys, value_width, dtype=torch.float64) for _ in range(2))
    outs = [ex.scaled_dot_product_attention(q.clone(), k.clone(), v)[0] for v in (one, two, 2 * one - 3 * two)]
    return {"one": outs[0], "two": outs[1], "both": outs[2]}


@test_linear_in_values.explain
def _(got, want):
    if not close(got["both"], 2 * got["one"] - 3 * got["two"], 1e-9):
        yield "mixing 2 V1 - 3 V2 is not the same as 2 times the mixture of V1 minus 3 times that of V2."


@check("the order of the keys does not matter, the order of the queries only reorders the answers", points=1)
def test_permutations(ex: Exercise, rng: Random):
    queries, keys, width, value_width = rng.sizes(4, 3, 9)
    q = rng.tensor(queries, width, dtype=torch.float64)
    k, v = rng.tensor(keys, width, dtype=torch.float64), rng.tensor(keys, value_width, dtype=torch.float64)
    order = torch.arange(keys - 1, -1, -1)
    plain, _ = ex.scaled_dot_product_attention(q.clone(), k.clone(), v.clone())
    shuffled, weights = ex.scaled_dot_product_attention(q.flip(0), k[order], v[order])
    return {"plain": plain, "shuffled": shuffled, "weights": weights}


@check("no argument is changed in place", points=1)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3)
    q, k, v = rng.tensor(queries, width), rng.tensor(keys, width), rng.tensor(keys, width)
    mask = torch.ones(queries, keys, dtype=torch.bool)
    mask[0, 1] = False
    ex.scaled_dot_product_attention(q, k, v, mask)
    return {"q": q, "k": k, "v": v, "mask": mask}


@test_arguments_unchanged.explain
def _(got, want):
    for name in got:
        if (got[name] != want[name]).any():
            yield f"the caller's `{name}` is changed: which line writes into it (`/=`, a method with an underscore)?"


@check("gradients reach the queries, the keys and the values", points=1)
def test_gradients(ex: Exercise, rng: Random):
    batch, queries, keys, width, value_width = rng.sizes(5, 3, 9)
    q = rng.tensor(batch, queries, width, dtype=torch.float64, grad=True)
    k = rng.tensor(batch, keys, width, dtype=torch.float64, grad=True)
    v = rng.tensor(batch, keys, value_width, dtype=torch.float64, grad=True)
    out, _ = ex.scaled_dot_product_attention(q, k, v, rng.mask(queries, keys))
    return gradients(out, {"q": q, "k": k, "v": v}, rng)


@check("bfloat16 in, bfloat16 out", points=1)
def test_bfloat16(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3)
    q, k = rng.tensor(queries, width, dtype=torch.bfloat16), rng.tensor(keys, width, dtype=torch.bfloat16)
    out, weights = ex.scaled_dot_product_attention(q, k, k, rng.mask(queries, keys))
    return {"out": out, "weights": weights}


@check("one query, one key: all of the weight goes to it", points=1)
def test_length_one(ex: Exercise, rng: Random):
    (width, value_width) = rng.sizes(2)
    q, k, v = rng.tensor(1, 1, width), rng.tensor(1, 1, width), rng.tensor(1, 1, value_width)
    out, weights = ex.scaled_dot_product_attention(q, k, v)
    return {"out": out, "weights": weights, "alone": ex.attend(rng.array(width), rng.array(1, width), rng.array(1, 2))}


@check("it runs on the device of its inputs", points=1)
def test_device(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3)
    q, k = torch.empty(queries, width, device="meta"), torch.empty(keys, width, device="meta")
    mask = torch.ones(queries, keys, dtype=torch.bool, device="meta")
    out, weights = ex.scaled_dot_product_attention(q, k, k, mask)
    return {"out": out, "weights": weights}


### END HIDDEN TESTS
