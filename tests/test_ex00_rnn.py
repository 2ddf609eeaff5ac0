"""What a recurrent network and its bottleneck must do: the checks of exercise 0."""

from __future__ import annotations

import numpy as np

from grader.checks import Exercise, Random, check, close


def weights(rng: Random, inputs: int, width: int) -> list[np.ndarray]:
    """W_xh, W_hh and b, of a size at which a state is neither lost nor saturated."""
    return [
        rng.array(inputs, width, scale=inputs**-0.5),
        rng.array(width, width, scale=width**-0.5),
        rng.array(width, scale=0.5),
    ]


def states_of(ex: Exercise, xs: np.ndarray, h0: np.ndarray, shared: list[np.ndarray]):
    """What rnn_forward makes of copies: changing its arguments is found by the check that looks for it."""
    return ex.rnn_forward(*copies([xs, h0, *shared]))


def copies(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [array.copy() for array in arrays]


# One step.


@check("rnn_step: tanh of the input's part plus the state's part plus the bias", points=1, axes={"state": "batch unit"})
def test_step_values(ex: Exercise, rng: Random):
    batch, inputs, width = rng.sizes(3)
    given = [rng.array(batch, inputs), rng.array(batch, width, scale=0.5), *weights(rng, inputs, width)]
    return {"state": ex.rnn_step(*copies(given)), "given": given}


@test_step_values.explain
def _(got, want):
    x, h, W_xh, W_hh, b = want["given"]
    state, total = got["state"], x @ W_xh + h @ W_hh + b
    if close(state, total):
        yield "you return the sum itself: what keeps a state within -1..1?"
    elif close(state, 1 / (1 + np.exp(-total))):
        yield "your states lie within 0..1: that is the logistic sigmoid. A tanh runs from -1 to 1."
    elif close(state, np.maximum(total, 0)):
        yield "your states are never negative: that is a ReLU. A tanh runs from -1 to 1."
    elif close(state, np.tanh(total - b)):
        yield "that is the step without its bias."
    elif close(state, np.tanh(total - h @ W_hh)):
        yield "that is the step without the old state: it remembers nothing."
    elif close(state, np.tanh(total - x @ W_xh)):
        yield "that is the step without its input: it hears nothing."
    elif close(state, np.tanh(x @ W_xh + h @ W_hh.T + b)):
        yield (
            "that is the step with W_hh transposed. A state is a row here, so it stands on the left: "
            "row i of W_hh tells what unit i of the old state does to each new one."
        )
    elif close(state, np.tanh(x @ W_xh + b) + np.tanh(h @ W_hh)) or close(state, np.tanh(x @ W_xh + b) + h @ W_hh):
        yield "the parts are added after the tanh; expected one tanh around their sum."
    elif close(state, h + np.tanh(total)):
        yield "you add the new state to the old one; here it takes the old one's place."


# A whole sequence.


@check(
    "rnn_forward: one state for each input, in order, h0 not among them",
    points=2,
    axes={"states": "batch time unit"},
)
def test_forward_values(ex: Exercise, rng: Random):
    batch, length, inputs, width = rng.sizes(4, low=3)
    xs, h0 = rng.array(batch, length, inputs), rng.array(batch, width, scale=0.5)
    given = [xs, h0, *weights(rng, inputs, width)]
    return {"states": states_of(ex, xs, h0, given[2:]), "given": given}


@test_forward_values.explain
def _(got, want, reference):
    xs, h0, *shared = want["given"]
    states, right = got["states"], want["states"]
    length = xs.shape[1]
    if close(states, right[:, -1:]):
        yield "all your states are the last one: is it one array, written over at every step and kept T times?"
    elif close(states[:, 1:], right[:, :-1]) and close(states[:, 0], h0):
        yield "your states come one place late: at [:, 0] stands h0, expected the state after the first input."
    elif close(states, right[:, ::-1]):
        yield "your states are right but in reverse: expected the state after the first input at [:, 0]."
    elif close(states, reference.rnn_forward(xs[:, ::-1], h0, *shared)[:, ::-1]) or close(
        states, reference.rnn_forward(xs[:, ::-1], h0, *shared)
    ):
        yield "you read the sequences from right to left."
    elif all(close(states[:, t], reference.rnn_step(xs[:, t], h0, *shared)) for t in range(length)):
        yield "every one of your states is one step away from h0: from which state does step t start?"
    elif close(states, reference.rnn_forward(xs, np.zeros_like(h0), *shared)):
        yield "you start from zeros; expected to start from h0."


@check(
    "rnn_forward: does what rnn_step does, again and again",
    points=1,
    axes={"states": "batch time unit"},
    after=test_step_values,
)
def test_forward_is_repeated_steps(ex: Exercise, rng: Random):
    batch, length, inputs, width = rng.sizes(4)
    xs, h = rng.array(batch, length, inputs), rng.array(batch, width, scale=0.5)
    shared = weights(rng, inputs, width)
    states, steps = states_of(ex, xs, h, shared), []
    for t in range(length):
        h = ex.rnn_step(*copies([xs[:, t], h, *shared]))
        steps.append(h)
    return {"states": states, "steps": steps}


@test_forward_is_repeated_steps.explain
def _(got, want):
    for t, state in enumerate(got["steps"]):
        if not close(got["states"][:, t], state):
            row, unit = np.unravel_index(np.argmax(abs(got["states"][:, t] - state)), state.shape)
            yield (
                f"at time {t} your rnn_forward and your rnn_step, called in a loop, say different things of "
                f"unit {unit} in sequence {row}: {got['states'][row, t, unit]:.4g} and {state[row, unit]:.4g}. "
                "Does the one call the other?"
            )


# The bottleneck.


def misread(value: float, W: np.ndarray, steps: int):
    """A sentence on what else a bound of two and more steps has been made from, where that can be told."""

    def is_power(*bases: float, of: int = steps) -> bool:
        return any(np.isclose(value, base**of, rtol=1e-6, atol=0.0) for base in bases)

    spectral, frobenius = np.linalg.norm(W, 2), np.linalg.norm(W)
    power = np.linalg.matrix_power(W, steps)
    if is_power(spectral):
        return
    if is_power(spectral, of=1):
        yield "that is the spectral norm itself, the bound for a single step: each further step brings a factor."
    elif is_power(steps * spectral, of=1):
        yield "that is the norm times the number of steps; expected as many factors, not as many terms."
    elif is_power(spectral, of=steps - 1) or is_power(spectral, of=steps + 1):
        yield "there is one factor too many or too few: expected as many as there are steps."
    elif is_power(spectral, of=2 * steps):
        yield "that is the square of what is expected: an eigenvalue of W^T W is the square of a singular value."
    elif is_power(np.linalg.norm(power, 2), of=1):
        yield (
            "that is the norm of the power of W_hh; expected the power of its norm. Within the power, W_hh can cancel "
            "itself; with the slopes of the tanh in between, that can't be relied on."
        )
    elif is_power(frobenius) or is_power(np.linalg.norm(power), of=1):
        yield (
            "that is made from the root of the sum of all squares (Frobenius): expected the largest singular value. "
            "Which `ord` gives it?"
        )
    elif is_power(np.abs(np.linalg.eigvals(W)).max()):
        yield (
            "that is made from the largest eigenvalue. It tells how fast vectors grow in the long run; by how much a "
            "single step can lengthen one is told by the largest singular value."
        )
    elif is_power(np.linalg.norm(W, -2)):
        yield "that is made from the smallest singular value: how much can be left at most?"
    elif is_power(np.abs(W).max(), np.linalg.norm(W, 1), np.linalg.norm(W, np.inf), np.linalg.norm(W, "nuc")):
        yield (
            "that is made from single entries, from sums of rows or columns, or from all singular values: expected "
            "the largest one. Which `ord` gives it?"
        )


@check("bottleneck: the spectral norm of W_hh to the power of the steps", points=1, tolerance=1e-6)
def test_bottleneck_values(ex: Exercise, rng: Random):
    W_hh = weights(rng, 2, 5)[1]
    return {"one step": ex.bottleneck(W_hh.copy(), 1), "four steps": ex.bottleneck(W_hh.copy(), 4), "W_hh": W_hh}


@test_bottleneck_values.explain
def _(got, want):
    yield from misread(got["four steps"], want["W_hh"], 4)


### BEGIN HIDDEN TESTS
@check("rnn_forward: a sequence of one gives one state, a step away from h0", points=1, axes={"": "batch time unit"})
def test_length_one(ex: Exercise, rng: Random):
    batch, inputs, width = rng.sizes(3)
    return ex.rnn_forward(rng.array(batch, 1, inputs), rng.array(batch, width), *weights(rng, inputs, width))


@check("rnn_forward: an empty sequence gives no state, in shape (B, 0, D_h)", points=1, axes={"": "batch time unit"})
def test_length_zero(ex: Exercise, rng: Random):
    batch, inputs, width = rng.sizes(3)
    return ex.rnn_forward(rng.array(batch, 0, inputs), rng.array(batch, width), *weights(rng, inputs, width))


@check("each sequence of a batch is read as if it were alone", points=1, after=test_forward_values)
def test_sequences_do_not_mix(ex: Exercise, rng: Random):
    batch, length, inputs, width = rng.sizes(4, low=3)
    xs, h0, shared = rng.array(batch, length, inputs), rng.array(batch, width), weights(rng, inputs, width)
    return {
        "together": states_of(ex, xs, h0, shared),
        "alone": [states_of(ex, xs[i : i + 1], h0[i : i + 1], shared) for i in range(batch)],
    }


@test_sequences_do_not_mix.explain
def _(got, want):
    for i, alone in enumerate(got["alone"]):
        if not close(got["together"][i], alone[0]):
            yield f"sequence {i} gets other states in a batch than alone: what does it take from its neighbours?"


@check("the last state depends on every input before it", points=1, after=test_forward_values)
def test_last_state_depends_on_all(ex: Exercise, rng: Random):
    batch, length, inputs, width = rng.sizes(4, low=3, high=7)
    xs, h0, shared = rng.array(batch, length, inputs), rng.array(batch, width), weights(rng, inputs, width)
    seen = {"unchanged": states_of(ex, xs, h0, shared)}
    for t in range(length):
        other = xs.copy()
        other[:, t] += rng.array(batch, inputs)
        seen[f"input {t} changed"] = states_of(ex, other, h0, shared)
    return seen


@test_last_state_depends_on_all.explain
def _(got, want):
    length = got["unchanged"].shape[1]
    for t in range(length):
        if close(got[f"input {t} changed"][:, -1], got["unchanged"][:, -1], 1e-12):
            yield (
                f"another input at time {t} of {length} leaves the last state as it was. Each step has to start "
                "from the state that the step before it made."
            )


@check("no state knows what comes after it", points=1, after=test_forward_values)
def test_no_looking_ahead(ex: Exercise, rng: Random):
    batch, length, inputs, width = rng.sizes(4, low=3)
    xs, h0, shared = rng.array(batch, length, inputs), rng.array(batch, width), weights(rng, inputs, width)
    other = xs.copy()
    other[:, 2:] = rng.array(batch, length - 2, inputs)
    return {"one future": states_of(ex, xs, h0, shared), "another": states_of(ex, other, h0, shared)}


@test_no_looking_ahead.explain
def _(got, want):
    for t in (0, 1):
        if not close(got["one future"][:, t], got["another"][:, t]):
            yield f"the state at time {t} changes when only the inputs from time 2 on do: who told it?"


@check("no argument is changed in place", points=1, after=test_forward_values)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    batch, length, inputs, width = rng.sizes(4)
    names = "x", "xs", "h", "W_xh", "W_hh", "b"
    x, xs, h = rng.array(batch, inputs), rng.array(batch, length, inputs), rng.array(batch, width)
    shared = weights(rng, inputs, width)
    ex.rnn_step(x, h, *shared)
    ex.rnn_forward(xs, h, *shared)
    ex.bottleneck(shared[1], 3)
    return dict(zip(names, (x, xs, h, *shared), strict=True))


@test_arguments_unchanged.explain
def _(got, want):
    for name, array in want.items():
        if not close(got[name], array, 1e-12):
            yield f"`{name}` holds other numbers after the call: is there an `+=`, an `out=` or a `[:] =` on it?"


@check(
    "float32 stays float32; float64 beside float32 or integers gives float64",
    points=1,
    tolerance=2e-4,  # the dtype is the question, and float32 rounds at every step
    after=test_arguments_unchanged,
)
def test_dtypes(ex: Exercise, rng: Random):
    batch, length, inputs, width = rng.sizes(4)
    xs, h0, shared = rng.array(batch, length, inputs), rng.array(batch, width), weights(rng, inputs, width)
    words = np.eye(inputs, dtype=np.int64)[rng.integers(0, inputs, batch, length)]  # one-hot, (B, T, D_in)
    single = np.float32
    singles = [array.astype(single) for array in shared]
    zeros = {
        name: np.zeros(array.shape, dtype=single)
        for name, array in zip(("xs", "h0", "W_xh", "W_hh", "b"), (xs, h0, *shared), strict=True)
    }
    doubles = {name: zeros | {name: array.astype(np.float64)} for name, array in zeros.items()}
    return {
        "a step in float32": ex.rnn_step(xs[:, 0].astype(single), h0.astype(single), *singles),
        "no states in float32": states_of(ex, xs[:, :0].astype(single), h0.astype(single), singles),
        "no states of float32 inputs": states_of(ex, xs[:, :0].astype(single), h0, shared),
        "states in float32": states_of(ex, xs.astype(single), h0.astype(single), singles),
        "states of float32 inputs": states_of(ex, xs.astype(single), h0, shared),
        "states from a float32 h0": states_of(ex, xs, h0.astype(single), shared),
        "states of integer inputs": states_of(ex, words, h0, shared),
        "states from an integer h0": states_of(ex, xs, np.zeros((batch, width), dtype=np.int64), shared),
    } | {f"zeros, {name} alone in float64": ex.rnn_forward(*given.values()) for name, given in doubles.items()}


def saturating(rng: Random) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Inputs (B, T, I), a first state and weights for which every sum is far from 0: rounding plays no part."""
    batch, length, inputs, width = rng.sizes(4)
    signs = np.sign(rng.array(batch, length, 1))
    xs, h0 = 1e4 * signs * (1.0 + abs(rng.array(batch, length, inputs))), rng.array(batch, width)
    shared = [*weights(rng, inputs, width)]
    shared[0] = 1.0 + abs(shared[0])
    return xs, h0, shared


@check("where the sums are so large that an exponential overflows, a step is finite and within -1..1", points=1)
def test_saturation(ex: Exercise, rng: Random):
    xs, h0, shared = saturating(rng)
    single = [array.astype(np.float32) for array in (xs[:, 0], h0, *shared)]
    return {"a step": ex.rnn_step(*copies([xs[:, 0], h0, *shared])), "a step in float32": ex.rnn_step(*single)}


@check("where the sums are so large, all states of a sequence are finite and within -1..1", points=1)
def test_saturated_sequence(ex: Exercise, rng: Random):
    return states_of(ex, *saturating(rng))


@check("a sequence of 2000 steps is read to its end", points=1, axes={"": "batch time unit"})
def test_long_sequence(ex: Exercise, rng: Random):
    W_xh, W_hh, b = weights(rng, 2, 3)
    W_hh /= 2 * np.linalg.norm(W_hh)  # what is rounded differently fades
    return ex.rnn_forward(rng.array(2, 2000, 2), rng.array(2, 3), W_xh, W_hh, b)


@check("a batch of one, an input of one number and a state of one number keep their axes", points=1)
def test_sizes_of_one(ex: Exercise, rng: Random):
    def states(batch: int, inputs: int, width: int):
        shared = weights(rng, inputs, width)
        xs, h0 = rng.array(batch, 4, inputs), rng.array(batch, width)
        return [ex.rnn_step(*copies([xs[:, 0], h0, *shared])), states_of(ex, xs, h0, shared)]

    return {
        "a batch of one": states(1, 2, 3),
        "inputs of one number": states(2, 1, 3),
        "a state of one number": states(2, 3, 1),
        "all of them": states(1, 1, 1),
        "inputs as wide as the state": states(2, 3, 3),
    }


@check("bottleneck: with no step everything is left, 1.0, whatever W_hh is", points=1)
def test_no_step(ex: Exercise, rng: Random):
    return [ex.bottleneck(W_hh, 0) for W_hh in (rng.array(4, 4), 3.0 * np.eye(2), np.zeros((3, 3)))]


@check("bottleneck: a W_hh that cancels itself over two steps has no smaller bound for it", points=2, tolerance=1e-6)
def test_power_of_the_norm(ex: Exercise, rng: Random):
    cancels = np.array([[1.0, -1.0], [1.0, -1.0]])
    stairs = np.triu(rng.array(4, 4), 1)  # its fourth power is zero, and so are its eigenvalues
    lopsided = np.array([[0.5, rng.uniform(1.5, 2.5)], [0.0, 0.4]])
    return {
        "cancels at once": [ex.bottleneck(cancels.copy(), steps) for steps in (1, 2)],
        "cancels in the end": [ex.bottleneck(stairs.copy(), steps) for steps in (2, 3, 6)],
        "lopsided": [ex.bottleneck(lopsided.copy(), steps) for steps in (3, 9)],
        "W_hh": lopsided,
    }


@test_power_of_the_norm.explain
def _(got, want):
    for value, steps in zip(got["lopsided"], (3, 9), strict=True):
        yield from misread(value, want["W_hh"], steps)


@check("bottleneck: for a turn, a mirror, a single number, a singular matrix and zero", points=1, tolerance=1e-6)
def test_special_matrices(ex: Exercise, rng: Random):
    angle = rng.uniform(0.5, 1.0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return {
        "a turn": ex.bottleneck(0.9 * turn, 7),
        "a mirror": ex.bottleneck(np.diag([1.5, -2.0, 0.5]), 3),
        "a single number": ex.bottleneck(np.array([[-0.5]]), 3),
        "a singular matrix": ex.bottleneck(np.outer([1.0, 2.0, 3.0], [1.0, 0.0, -1.0]), 2),
        "zero": ex.bottleneck(np.zeros((3, 3)), 2),
        "a hundred steps": ex.bottleneck(0.5 * turn, 100),
    }


@check("bottleneck: a Python float, for a W_hh of float32 too", points=1, tolerance=1e-4)
def test_bottleneck_is_a_float(ex: Exercise, rng: Random):
    bounds = [ex.bottleneck(rng.array(4, 4, dtype=dtype), 3) for dtype in (np.float64, np.float32)]
    return {"bounds": bounds, "is a Python float": [isinstance(bound, float) for bound in bounds]}


@test_bottleneck_is_a_float.explain
def _(got, want):
    if not all(got["is a Python float"]):
        yield "the bound comes back as a number of NumPy's; `float(...)` makes a Python float of it."


### END HIDDEN TESTS
