"""The baselines against a plain implementation of their definition."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.baselines import measure

texts = st.text(alphabet="abc\n\u00e9\U0001f600", max_size=60)


def probability(counts: Counter[str], context: str, char: str, alphabet: set[str]) -> float:
    """Interpolated Kneser-Ney, word for word; `counts` are of runs one longer than the context."""
    followers = {run: times for run, times in counts.items() if run[:-1] == context}
    if len(context) == 0:
        shorter = 1 / len(alphabet)
    else:
        kinds = Counter(run[1:] for run in counts)  # a run counts once for every character that it was seen to follow
        shorter = probability(kinds, context[1:], char, alphabet)
    if not followers:
        return shorter
    kept = max(followers.get(context + char, 0) - 0.75, 0)
    return (kept + 0.75 * len(followers) * shorter) / sum(followers.values())


@given(texts, texts.filter(bool))
def test_the_losses_are_those_of_interpolated_kneser_ney(train: str, val: str) -> None:
    alphabet = set(train + val)
    found = measure(train, val).as_dict()
    for order, name in enumerate(["unigram", "bigram", "trigram"], start=1):
        total = 0.0
        for at, char in enumerate(val):
            width = min(order, at + 1)  # the first characters have a shorter context
            counts = Counter(train[i : i + order] for i in range(len(train) - order + 1))
            for _ in range(order - width):
                counts = Counter(run[1:] for run in counts)
            total -= math.log(probability(counts, val[at - width + 1 : at], char, alphabet))
        assert found[name] == pytest.approx(total / len(val), abs=1e-9)


@given(texts)
def test_all_continuations_together_have_probability_one(train: str) -> None:
    # With one character more in the held-out text, the sum of the losses grows by that character's.
    alphabet = sorted({*train, "a", "b", "c"})
    everything = "".join(alphabet)
    context = "ab"
    for name in ("unigram", "bigram", "trigram"):
        shares = []
        for char in alphabet:
            # Both texts name all characters, so that the alphabet is the same in all cases.
            with_it = measure(train, everything + context + char).as_dict()[name] * (len(everything) + 3)
            without = measure(train, everything + context).as_dict()[name] * (len(everything) + 2)
            shares.append(math.exp(without - with_it))
        assert sum(shares) == pytest.approx(1.0)


def test_each_character_more_of_context_helps_on_the_plays() -> None:
    from lab.corpora import plays

    text = plays().text
    cut = len(text) * 9 // 10
    losses = measure(text[:cut], text[cut:])
    assert losses.unigram > losses.bigram + 0.5 > losses.trigram + 0.8
    assert losses.trigram == pytest.approx(2.10, abs=0.01)


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="val_text"):
        measure("abc", "")
