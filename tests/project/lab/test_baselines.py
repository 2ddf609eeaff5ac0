"""The baselines against a plain implementation of their definition."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
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


@settings(deadline=None)
@given(texts, texts.filter(bool))
def test_the_losses_are_those_of_interpolated_kneser_ney(train: str, val: str) -> None:
    alphabet = set(train + val)
    found = measure(train, val).as_dict()
    assert found["uniform"] == pytest.approx(math.log(len(alphabet)))
    for order, name in {1: "unigram", 2: "bigram", 3: "trigram", 5: "five-gram"}.items():
        total = 0.0
        for at, char in enumerate(val):
            width = min(order, at + 1)  # the first characters have a shorter context
            counts = Counter(train[i : i + order] for i in range(len(train) - order + 1))
            for _ in range(order - width):
                counts = Counter(run[1:] for run in counts)
            total -= math.log(probability(counts, val[at - width + 1 : at], char, alphabet))
        assert found[name] == pytest.approx(total / len(val), abs=1e-9)


@settings(deadline=None)
@given(texts)
def test_all_continuations_together_have_probability_one(train: str) -> None:
    # With one character more in the held-out text, the sum of the losses grows by that character's.
    alphabet = sorted({*train, "a", "b", "c"})
    everything = "".join(alphabet)
    context = "ab"
    for name in ("uniform", "unigram", "bigram", "trigram", "five-gram"):
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
    assert losses.fivegram is not None
    assert losses.uniform > losses.unigram + 0.5 > losses.bigram + 1.0 > losses.trigram + 1.3 > losses.fivegram + 1.6
    assert losses.trigram == pytest.approx(2.10, abs=0.01)


def test_where_there_are_too_many_characters_for_runs_of_five_these_are_left_out() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 7000)))  # 7000 to the power of 5 is more than an int64 holds
    found = measure(text, text[:100])
    assert found.fivegram is None
    assert "five-gram" not in found.as_dict()
    assert math.isfinite(found.trigram)


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="val_text"):
        measure("abc", "")
