"""Exercise 2's reference against an implementation by the book, and against what must hold for every text."""

from __future__ import annotations

import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
repetitive = st.text("abc ", max_size=60)


@pytest.fixture(scope="module")
def ex02(reference):
    exercise = reference("ex02_tokenizers")
    return SimpleNamespace(CharTokenizer=exercise.CharTokenizer, BPETokenizer=exercise.BPETokenizer)


def replaced(tokens: list[bytes], pair: tuple[bytes, bytes]) -> tuple[list[bytes], int]:
    """The tokens with the pair merged, from left to right, and how often that was done."""
    out: list[bytes] = []
    place = 0
    while place < len(tokens):
        if tuple(tokens[place : place + 2]) == pair:
            out.append(pair[0] + pair[1])
            place += 2
        else:
            out.append(tokens[place])
            place += 1
    return out, len(tokens) - len(out)


def by_the_book(text: str, vocab_size: int) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """The definition word for word: try every pair, count how often it can be replaced, take the best."""
    tokens = [bytes([value]) for value in text.encode()]
    merges: list[tuple[bytes, bytes]] = []
    while 256 + len(merges) < vocab_size:
        gains = {pair: replaced(tokens, pair)[1] for pair in pairwise(tokens)}
        best = min(gains, key=lambda pair: (-gains[pair], pair), default=None)
        if best is None or gains[best] < 2:
            break
        merges.append(best)
        tokens = replaced(tokens, best)[0]
    return merges, tokens


@settings(deadline=None)
@given(text=st.one_of(repetitive, st.text("aé", max_size=30)), size=st.integers(256, 280))
def test_training_follows_the_definition(ex02, text, size):
    merges, tokens = by_the_book(text, size)
    tokenizer = ex02.BPETokenizer.train(text, size)
    assert tokenizer.merges == merges
    assert tokenizer.vocab_size == 256 + len(merges)
    assert [tokenizer.vocab[token_id] for token_id in tokenizer.encode(text)] == tokens


@settings(deadline=None)
@given(text=repetitive, other=repetitive)
def test_no_two_tokens_are_spelt_alike_and_a_smaller_vocabulary_is_a_prefix(ex02, text, other):
    tokenizer = ex02.BPETokenizer.train(text, 300)
    assert len(set(tokenizer.vocab)) == tokenizer.vocab_size
    fewer = ex02.BPETokenizer.train(text, 260)
    assert fewer.merges == tokenizer.merges[:4]
    assert len(tokenizer.encode(other)) <= len(fewer.encode(other)) <= len(other.encode())


@settings(deadline=None)
@given(trained_on=anything, text=anything)
def test_any_text_round_trips(ex02, trained_on, text):
    tokenizer = ex02.BPETokenizer.train(trained_on, 270)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    characters = ex02.CharTokenizer(text)
    ids = characters.encode(text)
    assert characters.decode(ids) == text
    assert sorted(set(ids)) == list(range(characters.vocab_size))


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 258)))
def test_any_ids_decode_as_python_decodes_their_bytes(ex02, ids):
    tokenizer = ex02.BPETokenizer.train("ééé hé hé", 259)
    assert tokenizer.vocab_size == 259
    data = b"".join(tokenizer.vocab[token_id] for token_id in ids)
    assert tokenizer.decode(ids) == data.decode("utf-8", errors="replace")


def test_the_example_of_wikipedia(ex02):
    tokenizer = ex02.BPETokenizer.train("aaabdaaabac", 300)
    assert tokenizer.merges == [(b"a", b"a"), (b"a", b"b"), (b"aa", b"ab")]
    assert [tokenizer.vocab[token_id] for token_id in tokenizer.encode("aaabdaaabac")] == [
        b"aaab",
        b"d",
        b"aaab",
        b"a",
        b"c",
    ]


def test_a_lone_surrogate_is_no_text_that_utf8_can_encode(ex02):
    with pytest.raises(ValueError):
        ex02.BPETokenizer.train("", 256).encode("\ud800")


def test_a_book_is_no_trouble(ex02):
    text = "".join(f"{number} times {number % 7} is {number * (number % 7)}.\n" for number in range(40_000))
    assert len(text) > 900_000
    started = time.process_time()
    characters = ex02.CharTokenizer(text)
    assert characters.decode(characters.encode(text)) == text
    pairs = ex02.BPETokenizer.train(text[:20_000], 400)
    assert pairs.decode(pairs.encode(text)) == text
    assert time.process_time() - started < 20
