"""What masks must do: the checks of exercise 6."""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, gradients, on_meta


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
        yield "query 0 sees key 1, which it has to guess: position i guesses token i + 1."


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
    if close(got[seen], 0.0) and (got[~seen] > 0).all():
        yield "your weights are zero exactly where the mask is True: here True means that a query MAY attend."
    elif close(got / sums, want) and not close(sums, 1.0):
        yield (
            f"the hidden keys get no weight, but a row sums to {sums.flat[abs(sums - 1).argmax()]:.3g}. Which keys had "
            "a part in the sum that you divided by?"
        )
    elif np.abs(got[~seen]).max(initial=0.0) > 0:
        yield (
            f"a hidden key gets a weight of {np.abs(got[~seen]).max():.2g}: what must its score be, so that its "
            "exponential is exactly 0?"
        )


@check(
    "a row with nothing to attend to gives zeros",
    points=2,
    axes={"weights": "batch query key"},
    after=test_masked_softmax,
)
def test_nothing_to_attend_to(ex: Exercise, rng: Random):
    batch, queries, keys = rng.sizes(3, 3)
    mask = rng.mask(batch, queries, keys)
    mask[0, 1] = False
    mask[1] = False
    return {"weights": ex.masked_softmax(rng.tensor(batch, queries, keys), mask)}


@test_nothing_to_attend_to.explain
def _(got, want):
    row = got["weights"][0, 1]
    if close(row.sum(), 1.0) and (row >= 0).all():
        yield f"a query that may see nothing still has weights that sum to 1; its first key gets {row[0]:.2f}."


### BEGIN HIDDEN TESTS
@check("causal masks of any length, one included, are boolean", points=1, after=test_causal_mask)
def test_causal_mask_lengths(ex: Exercise, rng: Random):
    return {"one": ex.causal_mask(1), "two": ex.causal_mask(2), "long": ex.causal_mask(65)}


@check("the causal mask is made on the device that is asked for", points=1, after=test_causal_mask)
def test_causal_mask_device(ex: Exercise, rng: Random):
    (length,) = rng.sizes(1)
    return {
        "by name": on_meta(lambda on: ex.causal_mask(length, device=on)),
        "as a device": on_meta(lambda on: ex.causal_mask(length, torch.device(on))),
    }


@test_causal_mask_device.explain
def _(got, want):
    if any(got[way]["strays"] for way in want):
        yield "a tensor of yours is not on the `device` that is asked for: which one is made without it?"


@check("lengths of any integer type, from none to all; a batch of one", points=1, after=test_padding_mask)
def test_padding_mask_extremes(ex: Exercise, rng: Random):
    length = rng.integers(4, 10)
    lengths = torch.tensor([0, length, 0, 2], dtype=torch.int32)
    return {
        "extremes": ex.padding_mask(lengths, length),
        "single": ex.padding_mask(torch.tensor([2]), length),
        "square": ex.padding_mask(torch.arange(1, length + 1), length),
    }


@check(
    "any pattern is combined with any padding, even when both have the same sizes", points=1, after=test_combine_masks
)
def test_combine_any_patterns(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 3)
    left_padded = torch.arange(length) >= torch.from_numpy(rng.integers(0, length, batch))[:, None]
    return {
        "window": ex.combine_masks(rng.mask(length, length), left_padded),
        "square": ex.combine_masks(rng.mask(length, length), rng.mask(length, length, share=0.4)),
        "single": ex.combine_masks(rng.mask(length, length), rng.mask(1, length)),
        "one": ex.combine_masks(rng.mask(1, 1), torch.tensor([[True], [False]])),
    }


@check("gradients: none at a hidden score, those of the softmax at the others", points=1, after=test_masked_softmax)
def test_gradients(ex: Exercise, rng: Random):
    batch, heads, queries, keys = rng.sizes(4, 3)
    scores = rng.tensor(batch, heads, queries, keys, dtype=torch.float64, grad=True)
    weights = ex.masked_softmax(scores, rng.mask(batch, 1, queries, keys))
    return {"weights": weights, "gradients": gradients(weights, {"scores": scores}, rng)}


@check(
    "a row with nothing to attend to sends zeros back, and leaves the other rows' gradients alone",
    points=2,
    after=test_nothing_to_attend_to,
)
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


@check(
    "scores of any size, hidden or not: the hidden ones make no difference at all", points=2, after=test_masked_softmax
)
def test_huge_scores(ex: Exercise, rng: Random):
    queries, keys = rng.sizes(2, 4)
    mask = rng.mask(queries, keys)
    mask[:, :3], mask[:, -1] = True, False
    mask[2] = False
    low = torch.full((queries, keys), -1e12)
    low[:, 1] = -2e12
    ordinary = rng.tensor(queries, keys)
    towering = ordinary.clone()
    towering[:, -1] = 1e30
    lowest = torch.where(mask, torch.finfo(torch.float32).min, 0.0)
    return {
        "large": ex.masked_softmax(rng.tensor(queries, keys, scale=1e4), mask),
        "low": ex.masked_softmax(low, mask),
        "lower than what is hidden": ex.masked_softmax(torch.where(mask, low, 0.0), mask),
        "lowest of all": ex.masked_softmax(lowest, mask),
        "beside a hidden one": ex.masked_softmax(ordinary, mask),
        "below a hidden one": ex.masked_softmax(towering, mask),
        "mask": mask,
    }


@test_huge_scores.explain
def _(got, want):
    mask, rows = want["mask"], want["mask"].any(-1)
    low, lower, lowest = (got[key] for key in ("low", "lower than what is hidden", "lowest of all"))
    due = want["low"]
    sums = {key: got[key][rows].sum(-1) for key in ("beside a hidden one", "below a hidden one")}
    if close(sums["beside a hidden one"], 1.0) and (sums["below a hidden one"] < 0.999).any():
        yield "a huge score at a hidden place takes the weight away from the others: when does the mask act?"
    elif close(low[due > 0], 1.0):
        yield (
            f"equal scores of -1e12 get a weight of 1 each, so a row sums to {low.sum(-1).max():.3g}: next to a number "
            "of that size the logarithm of a sum is rounded away. What can be subtracted from all scores beforehand?"
        )
    elif ((lower * ~mask).sum(-1) > (lower * mask).sum(-1))[rows].any():
        yield "a key with a very low score loses against a hidden one: is the number that hides it low enough?"
    elif close(lowest[mask], 1 / mask.shape[-1]):
        yield (
            f"keys with the lowest score that float32 has get 1/{mask.shape[-1]} each, as if the hidden ones had that "
            "score as well: which number lies below all others?"
        )


@check(
    "bfloat16 and float16 in and out, finite with their gradients when a row may see nothing",
    points=1,
    compare="structure",
    after=test_nothing_to_attend_to,
)
def test_low_precision(ex: Exercise, rng: Random):
    batch, queries, keys = rng.sizes(3, 3)
    mask = rng.mask(batch, queries, keys)
    mask[1] = False
    seen = {}
    for dtype in (torch.bfloat16, torch.float16):
        scores = rng.tensor(batch, queries, keys, dtype=dtype, scale=2.0, grad=True)
        weights = ex.masked_softmax(scores, mask)
        exact = ex.masked_softmax(scores.detach().double(), mask)
        far_apart = ex.masked_softmax(scores.detach() * 1000, mask)
        seen[str(dtype)] = {
            "weights": weights,
            "exact": exact,
            "far apart": far_apart,
            **gradients(weights, {"scores": scores}, rng),
        }
    return seen | {"mask": mask}


@test_low_precision.explain
def _(got, want):
    for dtype in ("torch.bfloat16", "torch.float16"):
        weights, hidden = got[dtype]["weights"], ~want["mask"]
        # Scores go up to 8 or so, of which bfloat16 rounds off a 32nd at most: a weight moves by a few hundredths.
        gap = abs(weights - want[dtype]["exact"]).max()
        if any(got[dtype][key][hidden].any() for key in ("weights", "far apart")):
            yield f"in {dtype} a hidden entry has a weight that is not exactly zero."
        elif got[dtype]["scores"][1].any():
            yield f"in {dtype} the gradient of a row that may see nothing is not zero."
        elif got[dtype]["far apart"][want["mask"].any(-1)].sum(-1).min() < 0.5:
            yield f"in {dtype} the weights of a row sum to less than one half where its scores are thousands apart."
        elif gap > 0.1:
            yield f"in {dtype} a weight is off by {gap:.2g}: rounding alone moves it by a few hundredths."


@check(
    "the weights sum to one along the axis that is asked for, however few axes the mask has",
    points=1,
    after=test_masked_softmax,
)
def test_other_axes(ex: Exercise, rng: Random):
    first, second, third = rng.sizes(3, 3)
    scores = rng.tensor(first, second, third)
    full = rng.mask(first, second, third)
    full[:, 1], full[0] = True, True
    full[:, :, 2] = False
    full[1, 2] = False  # nothing along the last axis, and something along the others
    rows = torch.tensor([[True], [False]] + [[True]] * (second - 2))
    return {
        "middle": ex.masked_softmax(scores.clone(), full.clone(), dim=1),
        "first": ex.masked_softmax(scores.clone(), full.clone(), 0),
        "middle of four": ex.masked_softmax(scores[None].clone(), full[None].clone(), dim=2),
        "one for all": ex.masked_softmax(scores.clone(), full[0], dim=2),
        "one row for all": ex.masked_softmax(scores.clone(), rng.mask(third), dim=1),
        "a whole row at once": ex.masked_softmax(scores.clone(), rows),
    }


@test_other_axes.explain
def _(got, want):
    for key, axis in (("middle", 1), ("first", 0)):
        sums = got[key].sum(axis)[want[key].any(axis)]
        if not close(sums, 1.0):
            yield f"with dim={axis} your weights do not sum to one along that axis: where do you use `dim`?"


@check("no argument is changed in place", points=1, after=test_masked_softmax)
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
    for name in want:
        if (got[name] != want[name]).any():
            yield f"the caller's `{name}` is changed: which method of yours ends in an underscore, or writes into it?"


@check("the results are on the device of the inputs", points=1, after=test_combine_masks)
def test_device(ex: Exercise, rng: Random):
    batch, heads, length = rng.sizes(3)
    causal, padding = torch.ones(length, length, dtype=torch.bool).tril(), rng.mask(batch, length)
    mask, scores = rng.mask(batch, 1, length, length), rng.tensor(batch, heads, length, length)
    lengths = torch.from_numpy(rng.integers(1, length, batch))
    return {
        "padding_mask": on_meta(lambda on: ex.padding_mask(lengths.to(on), length)),
        "combine_masks": on_meta(lambda on: ex.combine_masks(causal.to(on), padding.to(on))),
        "masked_softmax": on_meta(lambda on: ex.masked_softmax(scores.to(on), mask.to(on))),
    }


@test_device.explain
def _(got, want):
    for name in want:
        if got[name]["strays"]:
            yield f"in `{name}` a tensor is not on the device of the inputs: which one is made without `device=`?"


### END HIDDEN TESTS
