"""Questions on exercise 1: softmax, cross-entropy, perplexity."""

from __future__ import annotations

import numpy as np

from grader.learning.quiz import Ask, Exercise, Random, changed, question


@question("softmax by hand")
def by_hand(ex: Exercise, rng: Random) -> Ask:
    parts = rng.sizes(3, 1, 9)
    which = rng.integers(0, 3)
    probability = float(ex.softmax(np.log(np.array(parts, dtype=float)))[which])
    return Ask(
        f"Three scores are ln {parts[0]}, ln {parts[1]} and ln {parts[2]}. "
        f"What is the softmax's probability of the {('first', 'second', 'third')[which]}?",
        probability,
        f"exp undoes ln, so the exponentials are {parts[0]}, {parts[1]}, {parts[2]}; their sum is {sum(parts)}, and "
        f"the probability is {parts[which]}/{sum(parts)}.",
    )


@question("what adding to all scores does")
def shifted(ex: Exercise, rng: Random) -> Ask:
    scores = np.array(rng.sizes(3, 1, 6), dtype=float)
    by = 100 * rng.integers(1, 10)
    before, after = ex.softmax(scores), ex.softmax(scores + by)
    return Ask(
        f"softmax({scores.astype(int).tolist()}) is {np.round(before, 3).tolist()}. "
        f"Now {by} is added to every score. What is the first probability?",
        float(after[0]),
        f"exp(x + {by}) is exp(x) times exp({by}), and that factor stands above and below the line: it cancels. Only "
        "differences of scores count.",
    )


@question("the ratio of two probabilities")
def ratio(ex: Exercise, rng: Random) -> Ask:
    gap = rng.integers(1, 5)
    low = rng.integers(-3, 4)
    probabilities = ex.softmax(np.array([low + gap, low, low - 1.0]))
    return Ask(
        f"One score is {low + gap}, another is {low}. How many times as large is the first one's probability? (e is "
        "about 2.718.)",
        float(probabilities[0] / probabilities[1]),
        f"The sum below the line is the same for both, so the ratio is exp({low + gap}) / exp({low}) = exp({gap}), "
        "whatever other scores there are.",
        tolerance=0.02,
    )


@question("cross-entropy from the probabilities")
def loss(ex: Exercise, rng: Random) -> Ask:
    halvings = [rng.integers(1, 5) for _ in range(3)]
    probabilities = np.array([[2.0**-n, 1 - 2.0**-n] for n in halvings])
    value = ex.cross_entropy(np.log(probabilities), np.zeros(3, dtype=int))
    return Ask(
        f"A model gave the three tokens that came the probabilities {', '.join(f'1/{2**n}' for n in halvings)}. "
        "What is its cross-entropy, in nats? (ln 2 is about 0.693.)",
        value,
        f"Each surprise is -ln of the probability: {', '.join(f'{n} ln 2' for n in halvings)}. Their mean is "
        f"{sum(halvings)}/3 times ln 2. What it gave to all other tokens does not matter.",
    )


@question("the perplexity of a guess in the dark")
def uniform(ex: Exercise, rng: Random) -> Ask:
    vocab_size = rng.pick([27, 50, 65, 100, 256, 1000])
    value = ex.perplexity(np.zeros((4, vocab_size)), np.arange(4))
    return Ask(
        f"A model that knows nothing gives all {vocab_size} tokens the same logit. What is its perplexity?",
        value,
        f"Every probability is 1/{vocab_size}, the cross-entropy ln {vocab_size}, and exp of that is {vocab_size}: it "
        "might as well have picked among all of them blindly. A fresh model should start there.",
    )


@question("without subtracting the maximum")
def without_maximum(ex: Exercise, rng: Random) -> Ask:
    scores = np.array([800.0, 800.0 + rng.integers(1, 9), 0.0])
    find = 'x * 1.0 - np.max(x, axis=axis, keepdims=True)  # "* 1.0": integers become floats\n    exps'
    with changed(ex, (find, "x * 1.0\n    exps")) as careless, np.errstate(all="ignore"):
        first = careless.softmax(scores)[0]
    return Ask(
        f"The maximum is not subtracted any more. What comes out for the first score of {scores.astype(int).tolist()}?",
        "nan" if np.isnan(first) else "something else",
        "exp(800) is more than float64 can hold and becomes inf; inf / inf is nan. With the maximum subtracted the "
        "largest exponent is 0, and nothing can overflow.",
        choices=("nan", "0", "1", "an OverflowError", *(() if np.isnan(first) else ("something else",))),
    )
