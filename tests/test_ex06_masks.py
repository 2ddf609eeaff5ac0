"""What masks must do: the checks of exercise 6."""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, gradients


@check("a query sees its own position and what came before it", points=1, axes={"": "query key"})
def test_causal_mask(ex: Exercise, rng: Random):
    (length,) = rng.sizes(1, 4)
    return ex.causal_mask(length)


@test_causal_mask.explain
def _(got, want):
    if (got == ~want).all():
        yield "your mask is True exactly where it should be False. Here True means that a query MAY attend."
    elif (got == want.T).all():
        yield "query 0 sees every key and the last query only its own: are the rows the queries, or the columns?"
    elif not got.diagonal().any():
        yield "no query sees its own position. What is query 0 to look at then?"
    elif got.diagonal(1).all():
        yield "query 0 sees key 1, which is what it is to guess: position i guesses token i + 1."


@check("the real tokens are True, what fills up a sequence is False", points=1, axes={"": "batch position"})
def test_padding_mask(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 3)
    lengths = torch.from_numpy(rng.integers(1, length + 1, batch))
    lengths[:3] = torch.tensor([length, 1, length - 1])
    return ex.padding_mask(lengths, length)


@test_padding_mask.explain
def _(got, want):
    counts = got.sum(-1)
    if (got == ~want).all():
        yield "your mask is True at the padding and False at the tokens. Here True means that a query MAY attend."
    elif (got == want[:, ::-1]).all():
        yield "the real tokens stand at the beginning of a sequence, and what it was filled up with at its end."
    elif (counts != want.sum(-1)).any():
        row = int(np.flatnonzero(counts != want.sum(-1))[0])
        yield f"a sequence of length {want[row].sum()} has {counts[row]} True entries: is position 0 its first token?"


@check(
    "a key is seen where the causal mask and the padding mask both allow it",
    points=1,
    axes={"": "batch head query key"},
)
def test_combine_masks(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 4)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    padding = torch.arange(length) < torch.from_numpy(rng.integers(1, length, batch))[:, None]
    return ex.combine_masks(causal, padding)


@test_combine_masks.explain
def _(got, want):
    if (got & ~want).any() and not (want & ~got).any():
        _, _, query, key = (int(i) for i in np.argwhere(got & ~want)[0])
        why = "it lies in the future" if key > query else "it is padding"
        yield f"query {query} may attend to key {key} in your mask, although {why}."
    elif (want & ~got).any() and not (got & ~want).any():
        _, _, query, key = (int(i) for i in np.argwhere(want & ~got)[0])
        yield (
            f"query {query} may not attend to key {key} in your mask, although both masks allow that key. Does the "
            "padding mask hide keys only, or queries as well?"
        )


@check(
    "the keys that may be seen share the whole weight, the others get exactly none",
    points=2,
    axes={"": "batch head query key"},
)
def test_masked_softmax(ex: Exercise, rng: Random):
    batch, heads, queries, keys = rng.sizes(4, 3)
    scores = rng.tensor(batch, heads, queries, keys, scale=2.0)
    return ex.masked_softmax(scores, rng.mask(batch, 1, queries, keys))


@test_masked_softmax.explain
def _(got, want):
    seen, sums = want > 0, got.sum(-1, keepdims=True)
    if close(got[seen], 0.0):
        yield "your weights are zero exactly where the mask is True: here True means that a query MAY attend."
    elif close(got / sums, want) and not close(sums, 1.0):
        yield (
            f"the hidden keys get no weight, but row 0 sums to {sums[0, 0, 0, 0]:.2f}. Which keys had a part in the "
            "sum that you divided by?"
        )
    elif np.abs(got[~seen]).max(initial=0.0) > 0:
        yield (
            f"a hidden key gets a weight of {np.abs(got[~seen]).max():.2g}: what must its score be, so that its "
            "exponential is exactly 0?"
        )


@check("a row with nothing to attend to gives zeros", points=2, axes={"weights": "batch query key"})
def test_nothing_to_attend_to(ex: Exercise, rng: Random):
    batch, queries, keys = rng.sizes(3, 3)
    mask = rng.mask(batch, queries, keys)
    mask[0, 1] = False
    mask[1] = False
    return {"weights": ex.masked_softmax(rng.tensor(batch, queries, keys), mask)}


@test_nothing_to_attend_to.explain
def _(got, want):
    row = got["weights"][0, 1]
    if close(row.sum(), 1.0):
        yield f"a query that may see nothing still shares out a whole 1, its first key gets {row[0]:.2f}."


### BEGIN HIDDEN TESTS
@check("causal masks of any length, one included, are boolean", points=1)
def test_causal_mask_lengths(ex: Exercise, rng: Random):
    return {"one": ex.causal_mask(1), "two": ex.causal_mask(2), "long": ex.causal_mask(65)}


@check("the causal mask is made on the device that is asked for", points=1)
def test_causal_mask_device(ex: Exercise, rng: Random):
    (length,) = rng.sizes(1)
    return [ex.causal_mask(length, device="meta"), ex.causal_mask(length, device=torch.device("cpu"))]


@check("lengths of any integer type, from none to all; a batch of one", points=1)
def test_padding_mask_extremes(ex: Exercise, rng: Random):
    length = rng.integers(4, 10)
    lengths = torch.tensor([0, length, 0, 2], dtype=torch.int32)
    return {
        "extremes": ex.padding_mask(lengths, length),
        "single": ex.padding_mask(torch.tensor([2]), length),
        "square": ex.padding_mask(torch.arange(1, length + 1), length),
    }


@check("any pattern is combined with any padding, also when both have the same sizes", points=1)
def test_combine_any_patterns(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 3)
    left_padded = torch.arange(length) >= torch.from_numpy(rng.integers(0, length, batch))[:, None]
    return {
        "window": ex.combine_masks(rng.mask(length, length), left_padded),
        "square": ex.combine_masks(rng.mask(length, length), rng.mask(length, length, share=0.4)),
        "single": ex.combine_masks(rng.mask(length, length), rng.mask(1, length)),
        "one": ex.combine_masks(rng.mask(1, 1), torch.tensor([[True], [False]])),
    }


@check("gradients: none at a hidden score, those of the softmax at the others", points=1)
def test_gradients(ex: Exercise, rng: Random):
    batch, heads, queries, keys = rng.sizes(4, 3)
    scores = rng.tensor(batch, heads, queries, keys, dtype=torch.float64, grad=True)
    weights = ex.masked_softmax(scores, rng.mask(batch, 1, queries, keys))
    return {"weights": weights, "gradients": gradients(weights, {"scores": scores}, rng)}


@check("a row with nothing to attend to sends zeros back, and leaves the other rows' gradients alone", points=2)
def test_gradients_of_nothing(ex: Exercise, rng: Random):
    batch, queries, keys = rng.sizes(3, 3)
    scores = rng.tensor(batch, queries, keys, dtype=torch.float64, grad=True)
    mask = rng.mask(batch, queries, keys)
    mask[0, 1] = False
    mask[1] = False
    # The scores come from a product, as in attention: a NaN on the way back would spoil what made them.
    made = rng.tensor(keys, keys, dtype=torch.float64, grad=True)
    weights = ex.masked_softmax(scores @ made, mask)
    return gradients(weights, {"scores": scores, "made": made}, rng)


@check("scores of any size, hidden or not: the hidden ones make no difference at all", points=2)
def test_huge_scores(ex: Exercise, rng: Random):
    queries, keys = rng.sizes(2, 4)
    mask = rng.mask(queries, keys)
    mask[:, 1], mask[:, -1] = True, False
    mask[2] = False
    low = torch.full((queries, keys), -1e12)
    low[:, 1] = -2e12
    towering = rng.tensor(queries, keys)
    towering[:, -1] = 1e30
    return {
        "large": ex.masked_softmax(rng.tensor(queries, keys, scale=1e4), mask),
        "low": ex.masked_softmax(low, mask),
        "lower than what is hidden": ex.masked_softmax(torch.where(mask, low, 0.0), mask),
        "below a hidden one": ex.masked_softmax(towering, mask),
    }


@test_huge_scores.explain
def _(got, want):
    rows = want["low"].any(-1)
    if not close(got["below a hidden one"][rows].sum(-1), 1.0):
        yield "a huge score at a hidden place takes the weight away from the others: when does the mask act?"
    elif not close(got["lower than what is hidden"][rows], want["lower than what is hidden"][rows]):
        yield "a key with a very low score loses against a hidden one: is the number that hides it low enough?"


@check("bfloat16 and float16 in and out, finite with their gradients when a row may see nothing", points=1)
def test_low_precision(ex: Exercise, rng: Random):
    batch, queries, keys = rng.sizes(3, 3)
    mask = rng.mask(batch, queries, keys)
    mask[1] = False
    seen = {}
    for dtype in (torch.bfloat16, torch.float16):
        scores = rng.tensor(batch, queries, keys, dtype=dtype, scale=30.0, grad=True)
        weights = ex.masked_softmax(scores, mask)
        seen[str(dtype)] = {"weights": weights, **gradients(weights, {"scores": scores}, rng)}
    return seen


@check("the weights sum to one along the axis that is asked for, however few axes the mask has", points=1)
def test_other_axes(ex: Exercise, rng: Random):
    first, second, third = rng.sizes(3, 3)
    scores = rng.tensor(first, second, third)
    full = rng.mask(first, second, third)
    full[:, 1], full[0] = True, True
    full[:, :, 2] = False
    rows = torch.tensor([[True], [False]] + [[True]] * (second - 2))
    return {
        "middle": ex.masked_softmax(scores.clone(), full.clone(), dim=1),
        "first": ex.masked_softmax(scores.clone(), full.clone(), 0),
        "one for all": ex.masked_softmax(scores.clone(), full[0], dim=2),
        "one row for all": ex.masked_softmax(scores.clone(), rng.mask(third), dim=1),
        "a whole row at once": ex.masked_softmax(scores.clone(), rows),
    }


@test_other_axes.explain
def _(got, want):
    for key, axis in (("middle", 1), ("first", 0)):
        sums = got[key].sum(axis)
        if not close(sums, want[key].sum(axis)):
            yield f"with dim={axis} your weights do not sum to one along that axis: where do you use `dim`?"


@check("no argument is changed in place", points=1)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 3)
    causal, padding = torch.ones(length, length, dtype=torch.bool).tril(), rng.mask(batch, length)
    lengths = torch.from_numpy(rng.integers(1, length, batch))
    ex.padding_mask(lengths, length)
    ex.combine_masks(causal, padding)
    scores, mask = rng.tensor(batch, length, length), rng.mask(batch, length, length)
    mask[0, 1] = False
    ex.masked_softmax(scores, mask)
    return {"causal": causal, "padding": padding, "lengths": lengths, "scores": scores, "mask": mask}


@test_arguments_unchanged.explain
def _(got, want):
    for name in got:
        if (got[name] != want[name]).any():
            yield f"the caller's `{name}` is changed: which method of yours ends in an underscore, or writes into it?"


@check("it runs on the device of its inputs", points=1)
def test_device(ex: Exercise, rng: Random):
    batch, heads, length = rng.sizes(3)
    causal = torch.ones(length, length, dtype=torch.bool, device="meta")
    padding = torch.ones(batch, length, dtype=torch.bool, device="meta")
    mask = torch.ones(batch, 1, length, length, dtype=torch.bool, device="meta")
    scores = torch.empty(batch, heads, length, length, device="meta")
    lengths = torch.empty(batch, dtype=torch.int64, device="meta")
    return {
        "padding": ex.padding_mask(lengths, length),
        "combined": ex.combine_masks(causal, padding),
        "weights": ex.masked_softmax(scores, mask),
    }


### END HIDDEN TESTS
