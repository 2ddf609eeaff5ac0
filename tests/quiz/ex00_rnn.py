"""Questions on exercise 0: what a recurrent network carries along, and what it loses on the way."""

from __future__ import annotations

import numpy as np

from grader.learning.quiz import Ask, Exercise, Random, question


@question("the shape of all hidden states")
def states_shape(ex: Exercise, rng: Random) -> Ask:
    batch, length, inputs, hidden = rng.sizes(4)
    xs, h0 = rng.array(batch, length, inputs), rng.array(batch, hidden)
    states = ex.rnn_forward(xs, h0, rng.array(inputs, hidden), rng.array(hidden, hidden), rng.array(hidden))
    return Ask(
        f"xs is {xs.shape}, and h0 is {h0.shape}. What is the shape of rnn_forward's result?",
        tuple(states.shape),
        f"One hidden state of {hidden} numbers for each of {length} steps, in each of {batch} sequences.",
    )


@question("what survives at most")
def survives(ex: Exercise, rng: Random) -> Ask:
    strength, steps = rng.pick([0.5, 0.8, 0.9]), rng.pick([2, 3, 4, 5])
    weights = np.diag([strength, strength / 2, 0.1])
    return Ask(
        f"The spectral norm of W_hh is {strength}. How much of the first input can survive {steps} steps, at most? "
        "(The linearized bound; 1 would be all of it.)",
        ex.bottleneck(weights, steps),
        f"Each step multiplies by W_hh once more: {strength}^{steps}. With a norm below 1 what is left must fade; "
        "above 1 it may grow, but need not. Attention avoids the product by looking back directly.",
        tolerance=0.02,
    )


@question("how many steps one after the other")
def steps_in_a_row(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(4, 12)
    changed_at = rng.integers(0, length)
    xs, w_xh, w_hh = rng.array(1, length, 2), rng.array(2, 3, scale=0.5), rng.array(3, 3, scale=0.5)
    other = xs.copy()
    other[0, changed_at] += 1.0
    one, two = (ex.rnn_forward(x, np.zeros((1, 3)), w_xh, w_hh, np.zeros(3)) for x in (xs, other))
    return Ask(
        f"A recurrent network reads {length} inputs, 0 to {length - 1}. Input {changed_at} is changed. Which hidden "
        "states change?",
        frozenset(int(t) for t in np.flatnonzero(np.abs(one - two).max(axis=(0, 2)) > 0)),
        "Its own, and through it every later one: each state is made from the one before. So the steps can't be "
        "computed side by side, as those of attention can.",
    )


@question("the parameters of the cell")
def parameters(ex: Exercise, rng: Random) -> Ask:
    inputs, hidden = rng.sizes(2, 3, 20)
    pieces = np.zeros((inputs, hidden)), np.zeros((hidden, hidden)), np.zeros(hidden)
    ex.rnn_step(np.zeros((1, inputs)), np.zeros((1, hidden)), *pieces)
    return Ask(
        f"D_in = {inputs}, D_h = {hidden}. How many parameters does the recurrent network have for a text of 1000 "
        "tokens?",
        sum(piece.size for piece in pieces),
        f"W_xh, W_hh and b: {inputs} * {hidden} + {hidden}**2 + {hidden}. The same weights serve at every step, so "
        "the length does not matter.",
    )
