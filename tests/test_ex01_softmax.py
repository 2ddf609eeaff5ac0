"""What the softmax, cross-entropy and perplexity must do: the checks of exercise 1."""

from __future__ import annotations

import numpy as np

from grader.checks import Exercise, Random, check, close, raised


@check("softmax: probabilities along the last axis", points=1, axes={"": "row score"})
def test_softmax_values(ex: Exercise, rng: Random):
    rows, scores = rng.sizes(2)
    return ex.softmax(rng.array(rows, scores, scale=2.0))


@test_softmax_values.explain
def _(got, want):
    sums = got.sum(-1)
    row = int(abs(sums - 1.0).argmax())
    if not close(sums, 1.0):
        others = {"each column": got.sum(0), "the whole array": got.sum()}
        instead = "".join(f"; {what} sums to 1" for what, total in others.items() if close(total, 1.0))
        yield f"row {row} of your probabilities sums to {sums[row]:.3g} instead of 1{instead}"
    elif (got.argmin(-1) == want.argmax(-1)).all():
        yield "the highest score of each row gets its smallest probability: which way round is your difference?"


@check("softmax: along whichever axis is asked for", points=1)
def test_softmax_axis(ex: Exercise, rng: Random):
    x = rng.array(*rng.sizes(3))
    return {
        "axis 0": ex.softmax(x.copy(), axis=0),
        "axis 1": ex.softmax(x.copy(), axis=1),
        "axis -2": ex.softmax(x.copy(), -2),
    }


@test_softmax_axis.explain
def _(got, want):
    for key, axis in (("axis 0", 0), ("axis 1", 1), ("axis -2", -2)):
        if not close(got[key].sum(axis), 1.0):
            other = next((a for a in range(3) if close(got[key].sum(a), 1.0)), None)
            instead = "" if other is None else f"; along axis {other} they do"
            yield f"with {key.replace(' ', '=')} the probabilities do not sum to 1 along that axis{instead}"


@check("softmax: scores of a thousand work as well as small ones", points=1, axes={"": "row score"})
def test_softmax_large(ex: Exercise, rng: Random):
    rows, scores = rng.sizes(2)
    return ex.softmax(rng.array(rows, scores) + 1000.0)


@check("log_softmax: the logarithm of the probabilities, along whichever axis is asked for", points=1)
def test_log_softmax_values(ex: Exercise, rng: Random):
    x = rng.array(*rng.sizes(3), scale=2.0)
    return {
        "last axis": ex.log_softmax(x.copy()),
        "axis 0": ex.log_softmax(x.copy(), axis=0),
        "axis -2": ex.log_softmax(x.copy(), -2),
    }


@test_log_softmax_values.explain
def _(got, want):
    more = np.exp(got["last axis"]) - np.exp(want["last axis"])
    if more.min() > 1e-13 and close(more / more.mean(), 1.0, 0.1):
        yield (
            f"your logarithms are those of probabilities that are {more.mean():.1g} too large, all of them: "
            "which constant is added before the logarithm is taken?"
        )


@check("cross_entropy: the mean surprise at the targets", points=1)
def test_cross_entropy_values(ex: Exercise, rng: Random):
    rows, vocab = rng.sizes(2, low=4)
    return ex.cross_entropy(rng.array(rows, vocab, scale=2.0), rng.integers(0, vocab, rows))


@test_cross_entropy_values.explain
def _(got, want):
    if close(got, -want):
        yield f"your loss is {got:.4g}, the right size with the wrong sign: is a surprise ever negative?"
    elif close(got, want / np.log(2)):
        yield f"your loss is {got:.4g} bits; expected {want:.4g} nats: which logarithm do you take?"
    elif np.isfinite(got) and round(got / want) > 1 and close(got / want, round(got / want)):
        yield f"your loss is {got / want:.0f} times what it should be: how many rows came, and is it a sum or a mean?"


@check("cross_entropy: rows whose target is ignore_index do not count", points=1)
def test_ignore_index(ex: Exercise, rng: Random):
    logits, targets = rng.array(7, 5), rng.integers(0, 5, 7)
    targets[[1, 4]] = -100
    return ex.cross_entropy(logits, targets, ignore_index=-100)


@test_ignore_index.explain
def _(got, want):
    if close(got, want * 5 / 7):
        yield f"your loss is {got:.4g}, 5/7 of what it should be: 7 rows came, 5 count. By what do you divide?"


@check("perplexity: exp of the cross-entropy; V for a model that knows nothing", points=1)
def test_perplexity_values(ex: Exercise, rng: Random):
    rows, vocab = rng.sizes(2)
    targets = rng.integers(0, vocab, rows)
    return {
        "some scores": ex.perplexity(rng.array(rows, vocab), targets),
        "equal scores": ex.perplexity(np.zeros((rows, vocab)), targets),
    }


@test_perplexity_values.explain
def _(got, want):
    if not close(got["equal scores"], want["equal scores"]):
        vocab = round(want["equal scores"])
        yield (
            f"with equal scores for {vocab} tokens your perplexity is {got['equal scores']:.4g}: as unsure as "
            f"among how many tokens is a model that gives each of {vocab} the same probability?"
        )


### BEGIN HIDDEN TESTS
@check("any finite scores: rows far apart from each other, and the largest numbers there are", points=1)
def test_softmax_far_apart(ex: Exercise, rng: Random):
    x = rng.array(4, 5) + np.array([[0.0], [-2000.0], [50000.0], [1.0]])
    signs = np.array([[1.0, -1.0, 0.0], [-1.0, -1.0, -1.0], [1.0, 1.0, -1.0]])
    return {
        "rows": ex.softmax(x.copy()),
        "columns": ex.softmax(x.T.copy(), axis=0),
        "float64": ex.softmax(1.5e308 * signs),
        "float32": ex.softmax((3e38 * signs).astype(np.float32)),
    }


@test_softmax_far_apart.explain
def _(got, want):
    for key in ("float64", "float32"):
        row = got[key][1]
        if close(row, 1.0):
            yield (
                f"with {len(row)} equal scores of enormous size each gets a probability of 1: next to a number like "
                "that, the logarithm of a small sum is lost. Can the two be kept apart?"
            )
        elif not close(row.sum(), 1.0):
            yield f"with {len(row)} equal scores of enormous size the probabilities sum to {row.sum():.3g}; expected 1"


@check("a score of -inf gets a probability of exactly 0, and the others still sum to 1", points=1)
def test_minus_infinity(ex: Exercise, rng: Random):
    x = rng.array(3, 6)
    x[0, 2] = x[1, 0] = x[1, 5] = -np.inf
    x[2, :5] = -np.inf
    probabilities = ex.softmax(x.copy())
    return {"softmax": probabilities, "possible": probabilities != 0, "log_softmax": ex.log_softmax(x.copy())}


@test_minus_infinity.explain
def _(got, want):
    ruled_out = got["softmax"][want["softmax"] == 0]
    if ruled_out.any():
        yield f"a score of -inf gets a probability of {ruled_out.max():.3g}; expected exactly 0"
    elif not close(got["softmax"].sum(-1), 1.0):
        yield "with a score of -inf in a row, the other probabilities no longer sum to 1"


@check("log_softmax: exact where the softmax itself vanishes", points=2)
def test_log_softmax_far_apart(ex: Exercise, rng: Random):
    x = rng.array(3, 4)
    x[0, 1] -= 800.0
    x[1, 2] += 5000.0
    x[2, 0] -= 40.0
    return ex.log_softmax(x)


@check("float32 and float16 stay what they are, integers become float64, a loss is a Python float", points=1)
def test_types(ex: Exercise, rng: Random):
    single, half, whole = (
        rng.array(3, 5, dtype=np.float32),
        rng.array(3, 5, dtype=np.float16),
        rng.integers(-9, 9, 3, 5),
    )
    targets = np.array([2, 0, 4])
    losses = [ex.cross_entropy(single, targets), ex.cross_entropy(whole, targets), ex.perplexity(single, targets)]
    return {
        "softmax": [ex.softmax(single), ex.softmax(half), ex.softmax(whole)],
        "log_softmax": [ex.log_softmax(single), ex.log_softmax(half), ex.log_softmax(whole)],
        "is a Python float": [isinstance(loss, float) for loss in losses],
    }


@test_types.explain
def _(got, want):
    if not all(got["is a Python float"]):
        yield "a loss comes back as a number of NumPy's or an array; `float(...)` makes a Python float of it"


@check("a single score, and a single row", points=1)
def test_length_one(ex: Exercise, rng: Random):
    x = rng.array(3, 1)
    return {
        "softmax": ex.softmax(x),
        "log_softmax": ex.log_softmax(x),
        "no choice": ex.cross_entropy(x, np.zeros(3, dtype=np.int64)),
        "one row": ex.cross_entropy(rng.array(1, 6), np.array([5])),
        "one score in all": ex.softmax(np.array([-3.0])),
    }


@check("a model that is sure has an exact loss: large and finite if it is wrong, next to none if it is right", points=1)
def test_sure_and_wrong(ex: Exercise, rng: Random):
    wrong, right = rng.array(4, 5), rng.array(4, 5)
    wrong[0, 3] += 900.0
    wrong[2, 1] += 45.0
    right[0, 0] += 900.0
    right[2, 2] += 45.0
    targets = np.array([0, 1, 2, 3])
    return {"wrong": ex.cross_entropy(wrong, targets), "right": ex.cross_entropy(right, targets)}


@test_sure_and_wrong.explain
def _(got, want):
    mine, theirs = got["wrong"], want["wrong"]
    if np.isfinite(mine) and mine < 0.9 * theirs:
        yield (
            f"your loss is {mine:.4g}; expected {theirs:.4g}. The model was sure of the wrong token: "
            "what in your code keeps its loss from showing how wrong it was?"
        )


@check("ignore_index may be an id of the vocabulary, 0 included", points=2)
def test_ignore_padding_id(ex: Exercise, rng: Random):
    logits, targets = rng.array(8, 5), np.array([0, 3, 0, 1, 4, 2, 0, 3])
    return {
        "cross_entropy": [ex.cross_entropy(logits, targets, ignore_index=pad) for pad in (0, 3, 9)],
        "perplexity": [ex.perplexity(logits, targets, ignore_index=pad) for pad in (0, 3, 9)],
        "none": ex.cross_entropy(logits, targets),
    }


@test_ignore_padding_id.explain
def _(got, want):
    if close(got["cross_entropy"][0], got["none"]) and close(got["cross_entropy"][1:], want["cross_entropy"][1:]):
        yield "with an ignore_index of 0 all rows count, with another it works: is 0 taken for none at all?"
    elif close(got["cross_entropy"], want["cross_entropy"]) and close(got["perplexity"], np.exp(got["none"])):
        yield "your loss leaves the ignored rows out, but your perplexity counts them."


@check("what an ignored row holds does not matter, even -inf at the ignored id", points=1)
def test_ignored_rows_hold_anything(ex: Exercise, rng: Random):
    logits, targets = rng.array(6, 4), np.array([1, 0, 3, 0, 2, 0])
    few = logits.copy()
    few[1, 0] = few[3, 0] = few[5, 0] = -np.inf
    kept = targets != 0
    without = ex.cross_entropy(few[kept], targets[kept])
    logits[:, 0] = -np.inf
    logits[1, 2] = 1e9
    return {
        "without those rows": without,
        "in those rows alone": ex.cross_entropy(few, targets, ignore_index=0),
        "in all rows": ex.cross_entropy(logits, targets, ignore_index=0),
    }


@test_ignored_rows_hold_anything.explain
def _(got, want):
    if np.isnan(got["in those rows alone"]) and close(got["without those rows"], want["without those rows"]):
        yield "rows that are ignored make the loss NaN; without them it is right. Do you need to look at them at all?"


@check("with no row that counts the loss is 0.0", points=1)
def test_nothing_kept(ex: Exercise, rng: Random):
    return ex.cross_entropy(rng.array(3, 4), np.full(3, 2), ignore_index=2)


@test_nothing_kept.explain
def _(got, want):
    if np.isnan(got):
        yield "with every row ignored your loss is NaN, the mean of nothing; it should be 0.0."


@check("cross_entropy: a target outside 0..V-1 is a ValueError that names it, a negative one too", points=1)
def test_targets_out_of_range(ex: Exercise, rng: Random):
    logits = rng.array(3, 5)

    def attempt(targets: list[int], wrong: int, ignore_index: int | None = None):
        return raised(lambda: ex.cross_entropy(logits, np.array(targets), ignore_index), mentions=[wrong])

    return {
        "-100 with nothing said of what to ignore": raised(
            lambda: ex.cross_entropy(logits, np.array([2, -100, 1])), mentions=[-100]
        ),
        "too high": attempt([0, 5, 1], 5),
        "negative": attempt([2, 3, -1], -1),
        "-100 with nothing to ignore": attempt([2, -100, 1], -100),
        "not the ignored one": attempt([1, -2, 2], -2, ignore_index=-100),
    }


@test_targets_out_of_range.explain
def _(got, want):
    if got["negative"].type is None:
        yield "a target of -1 goes through: which column does `row[-1]` read in Python?"
    elif None in (got["-100 with nothing to ignore"].type, got["-100 with nothing said of what to ignore"].type):
        yield "a target of -100 goes through although no ignore_index is given: with None every row counts"


@check("the perplexity is 1.0 with no row that counts, and refuses a target outside 0..V-1", points=1)
def test_perplexity_edges(ex: Exercise, rng: Random):
    logits = rng.array(3, 5)
    return {
        "no row": ex.perplexity(logits, np.full(3, 2), ignore_index=2),
        "a target of 77": raised(lambda: ex.perplexity(logits, np.array([0, 77, 2])), mentions=[77]),
        "a target of -100": raised(lambda: ex.perplexity(logits, np.array([0, -100, 2])), mentions=[-100]),
    }


@check("softmax leaves its argument as it is", points=1, after=test_softmax_values)
def test_softmax_changes_nothing(ex: Exercise, rng: Random):
    x = rng.array(3, 4)
    ex.softmax(x)
    return {"x": x}


@test_softmax_changes_nothing.explain
def _(got, want):
    if not close(got["x"], want["x"]):
        yield "after softmax the caller's `x` is changed: which line writes into it (`-=`, `x[...] =`)?"


@check("the others leave their arguments as they are", points=1, after=test_cross_entropy_values)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    x, logits, targets = rng.array(3, 4), rng.array(5, 4), np.array([1, 0, 3, 2, 0])
    ex.log_softmax(x, axis=0)
    ex.cross_entropy(logits, targets, ignore_index=0)
    ex.perplexity(logits, targets, ignore_index=0)
    return {"x": x, "logits": logits, "targets": targets}


@test_arguments_unchanged.explain
def _(got, want):
    for name, call in (("x", "log_softmax"), ("logits", "cross_entropy"), ("targets", "cross_entropy")):
        if not close(got[name], want[name]):
            yield f"after {call} the caller's `{name}` is changed: which line writes into it (`-=`, `x[...] =`)?"


### END HIDDEN TESTS
