"""What the stretch goals of exercise 1 must do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from grader.checks import Exercise, Random, check


def undecided(scores: np.ndarray, temperature: float) -> float:
    """Among how many equally likely tokens a softmax at some temperature might as well choose."""
    exps = np.exp((scores - scores.max()) / temperature)
    p = exps / exps.sum()
    return float(np.exp(-np.sum(p[p > 0] * np.log(p[p > 0]))))


def in_chunks(logits: np.ndarray, widths: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The columns of a table, some at a time, always in the same memory."""
    buffer, begin = np.empty((len(logits), max(widths))), 0
    for width in widths:
        buffer[:, :width] = logits[:, begin : begin + width]
        yield buffer[:, :width]
        begin += width


@check("at this temperature, the softmax is as undecided as `choices` equally likely tokens", tolerance=1e-4)
def test_temperature(ex: Exercise, rng: Random):
    scores = rng.array(rng.integers(5, 10))
    choices = [1.2, 2.0, len(scores) - 0.5]
    found = [float(ex.temperature_for(scores.copy(), each)) for each in choices]
    return {"temperature": found, "scores": scores, "choices": choices}


@test_temperature.explain
def _(got, want):
    for temperature, choices, due in zip(got["temperature"], want["choices"], want["temperature"], strict=True):
        if not temperature > 0:
            yield f"a temperature of {temperature:.3g} came back; it must be positive."
        elif abs(temperature / due - 1) > 1e-4:
            found = undecided(want["scores"], temperature)
            yield f"for {choices:.3g} choices you return {temperature:.4g}, where exp(entropy) is {found:.4g}."


@check("the temperature is found for scores close together or far apart", tolerance=1e-4, after=test_temperature)
def test_temperature_of_any_scores(ex: Exercise, rng: Random):
    scores = rng.array(6)
    return {
        "close": float(ex.temperature_for(1e-4 * scores, 3.0)),
        "apart": float(ex.temperature_for(1e4 * scores, 3.0)),
        "high": float(ex.temperature_for(scores + 1e3, 3.0)),
    }


@check("the loss is that of the whole table, from one pass over its columns")
def test_chunks(ex: Exercise, rng: Random):
    widths = rng.sizes(3)
    logits = rng.array(4, sum(widths), scale=2.0)
    targets = np.array([0, widths[0], sum(widths) - 1, rng.integers(0, sum(widths))])  # in each chunk
    return float(ex.chunked_cross_entropy(in_chunks(logits, widths), targets))


@check("the loss stays right for huge scores, wherever the largest stands", after=test_chunks)
def test_chunks_of_huge_scores(ex: Exercise, rng: Random):
    widths = rng.sizes(3)
    rising = rng.array(3, sum(widths)) + 1e3 * np.arange(sum(widths))
    targets = np.array([0, 1, sum(widths) - 1])
    return {
        "rising": float(ex.chunked_cross_entropy(in_chunks(rising, widths), targets)),
        "falling": float(ex.chunked_cross_entropy(in_chunks(-rising, widths), targets)),
    }
