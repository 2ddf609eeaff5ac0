"""What a model has to beat: the best that counting characters can do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DISCOUNT = 0.75  # what each count gives up for the characters that were not seen; Chen and Goodman's usual value

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Baselines:
    """Nats per character on the held-out text, of models that look at none, one, two and four characters before.

    Attributes:
        uniform: of one that gives every character the same chance.
        fivegram: None where there are too many different characters to count runs of five.
    """

    uniform: float
    unigram: float
    bigram: float
    trigram: float
    fivegram: float | None

    def as_dict(self) -> dict[str, float]:
        """By name, the simplest first."""
        found = {"uniform": self.uniform, "unigram": self.unigram, "bigram": self.bigram, "trigram": self.trigram}
        return found if self.fivegram is None else {**found, "five-gram": self.fivegram}


def measure(train_text: str, val_text: str) -> Baselines:
    """Count characters and runs of them in the training text, and score the held-out text with each."""
    size = len(set(train_text) | set(val_text))
    uniform, unigram, bigram, trigram = (loss(train_text, val_text, order) for order in (0, 1, 2, 3))
    countable = size**5 < 2**63  # a run is kept as one number
    return Baselines(uniform, unigram, bigram, trigram, loss(train_text, val_text, 5) if countable else None)


def loss(train_text: str, val_text: str, order: int) -> float:
    """Nats per character on the held-out text, from counts of `order` characters in a row in the training text.

    An `order` of 0 counts nothing: every character of both texts has the same chance.

    The counts are smoothed by interpolated Kneser-Ney: each count of a context gives up 0.75, and what that frees goes
    to the next shorter context, in which a character counts once for every different character it was seen to follow.
    Below the single characters lies the uniform distribution over all characters of both texts, so nothing is
    impossible.

    Source: Kneser and Ney 1995; Chen and Goodman 1999, section 2.7, in its interpolated form.
    """
    if not val_text:
        raise ValueError("val_text is empty: there is nothing to score")
    alphabet, codes = np.unique(_codes(train_text + val_text), return_inverse=True)
    train, val = codes[: len(train_text)], codes[len(train_text) :]
    if order == 0:
        return math.log(len(alphabet))
    grams, times = np.unique(_grams(train, order, len(alphabet)), return_counts=True)
    return float(np.log(1 / _probabilities(val, order, len(alphabet), grams, times)).mean())


def bits(nats: float) -> float:
    """Nats in bits."""
    return nats / math.log(2)


def _probabilities(val: Codes, order: int, size: int, grams: Codes, times: Codes) -> NDArray[np.float64]:
    """The probability of each held-out character after the `order` - 1 before it, from the runs that were counted."""
    if order == 0:
        return np.full(len(val), 1.0 / size)
    endings, kinds = np.unique(grams % size ** (order - 1), return_counts=True)  # a different run counts once
    shorter = _probabilities(val, order - 1, size, endings, kinds)
    if len(grams) == 0:
        return shorter
    contexts, first, followers = np.unique(grams // size, return_index=True, return_counts=True)
    totals = np.add.reduceat(times, first)

    here = slice(order - 1, None)  # the first characters of the held-out text have no context of this length
    wanted = _grams(val, order, size)
    at, seen = _find(grams, wanted)
    kept = np.where(seen, times[at] - DISCOUNT, 0.0)
    at, known = _find(contexts, wanted // size)
    mixed = (kept + DISCOUNT * followers[at] * shorter[here]) / totals[at]
    result = shorter.copy()
    result[here] = np.where(known, mixed, shorter[here])  # a context that was never seen has nothing to say
    return result


def _grams(codes: Codes, order: int, size: int) -> Codes:
    """Each run of `order` characters as one number, its last character in the lowest place."""
    grams = np.zeros(max(len(codes) - order + 1, 0), dtype=np.int64)
    for place in range(order):
        grams = grams * size + codes[place : place + len(grams)]
    return grams


def _find(table: Codes, wanted: Codes) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return where each wanted number stands in the sorted table, and whether it does."""
    at = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
    return at, table[at] == wanted


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def write(text: str, order: int, length: int, seed: int = 0) -> str:
    """Text drawn one character at a time from the same smoothed counts, of `order` characters in a row.

    It shows what a loss looks like. An `order` of 0 draws any character; the first ones have a shorter context.
    """
    alphabet, codes = np.unique(_codes(text), return_inverse=True)
    size, rng = len(alphabet), np.random.default_rng(seed)
    tables: list[tuple[int, Codes, Codes]] = []
    for width in range(order, 0, -1):
        runs = _grams(codes, order, size) if width == order else tables[-1][1] % size**width
        tables.append((width, *np.unique(runs, return_counts=True)))
    written: list[int] = []
    while len(written) < length:
        written.append(next(_drawn(tables, written, size, rng), int(rng.integers(size))))
    return "".join(chr(alphabet[code]) for code in written)


def _drawn(
    tables: list[tuple[int, Codes, Codes]], written: list[int], size: int, rng: np.random.Generator
) -> Iterator[int]:
    """The next character, by the longest context that was seen and wins its draw against the shorter ones."""
    for width, runs, times in tables:
        if len(written) < width - 1:
            continue
        context = 0
        for code in written[len(written) - width + 1 :]:
            context = context * size + code
        first, last = np.searchsorted(runs, [context * size, (context + 1) * size])
        kept = np.cumsum(times[first:last] - DISCOUNT)
        if len(kept) and (dart := rng.uniform(0, times[first:last].sum())) < kept[-1]:
            yield int(runs[first + np.searchsorted(kept, dart, side="right")] % size)
