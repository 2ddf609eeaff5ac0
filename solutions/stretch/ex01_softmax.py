"""What solves the stretch goals of exercise 1."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ex01_softmax import log_softmax


def temperature_for(scores: NDArray, choices: float) -> float:
    """The temperature at which a softmax is as undecided as that many equally likely tokens."""
    low, high = -60.0, 60.0  # the logarithm of the temperature lies between them
    for _ in range(100):
        middle = (low + high) / 2
        log_p = log_softmax(scores / np.exp(middle))  # (V,)
        entropy = -np.sum(np.exp(log_p) * log_p)
        if np.exp(entropy) < choices:
            low = middle
        else:
            high = middle
    return float(np.exp(middle))


def chunked_cross_entropy(chunks: Iterable[NDArray], targets: NDArray) -> float:
    """The cross-entropy of logits that come some columns at a time, and never stand in memory together."""
    n = len(targets)
    largest, total, wanted = np.full(n, -np.inf), np.zeros(n), np.zeros(n)  # of each row, so far
    begin = 0
    for chunk in chunks:  # (N, V_i)
        higher = np.maximum(largest, chunk.max(axis=1))  # (N,)
        total = total * np.exp(largest - higher) + np.exp(chunk - higher[:, np.newaxis]).sum(axis=1)  # (N,)
        largest = higher
        here = np.flatnonzero((targets >= begin) & (targets < begin + chunk.shape[1]))
        wanted[here] = chunk[here, targets[here] - begin]
        begin += chunk.shape[1]
    return float(np.mean(largest + np.log(total) - wanted))
