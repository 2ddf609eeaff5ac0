"""Questions on exercise 2: characters, bytes, and pairs that are merged."""

from __future__ import annotations

from grader.learning.quiz import Ask, Exercise, Random, question

WORDS = ("banana", "bandana", "abracadabra", "ananas", "mississippi", "barbara", "papaya", "tartar")


@question("the ids of characters")
def character_ids(ex: Exercise, rng: Random) -> Ask:
    text = rng.pick(["hello world", "to be or not", "the quick fox", "attention"])
    tokenizer = ex.CharTokenizer(text)
    word = "".join(rng.pick(sorted(set(text) - {" "})) for _ in range(4))
    return Ask(
        f"A CharTokenizer is made from {text!r}. What are the ids of {word!r}?",
        tokenizer.encode(word),
        f"Its characters in sorted order (the space, if there is one, sorts first) are {sorted(set(text))}, and ids "
        "count from 0.",
    )


@question("the size of a character vocabulary")
def character_vocabulary(ex: Exercise, rng: Random) -> Ask:
    text = f"{rng.pick(WORDS)} {rng.pick(WORDS)}"
    return Ask(
        f"How many ids does a CharTokenizer made from {text!r} have?",
        ex.CharTokenizer(text).vocab_size,
        "One for each different character, the space included, however often it occurs.",
    )


@question("bytes and characters")
def bytes_of_a_text(ex: Exercise, rng: Random) -> Ask:
    text = "".join(rng.pick(["a", "e", "t", "é", "ü", "€"]) for _ in range(5))
    return Ask(
        f"A byte-level tokenizer without a single merge encodes {text!r}. How many ids come out?",
        len(ex.BPETokenizer.train("", 256).encode(text)),
        "One for each byte of UTF-8: letters of ASCII take one, é and ü two, the euro sign three. So nothing is ever "
        "unknown.",
    )


@question("the first merge")
def first_merge(ex: Exercise, rng: Random) -> Ask:
    word = rng.pick(WORDS)
    tokenizer = ex.BPETokenizer.train(word, 257)
    left, right = tokenizer.merges[0]
    return Ask(
        f"Byte pair encoding is trained on {word!r}. Which two letters does it merge first? (Ties go to the pair that "
        "sorts first.)",
        (left + right).decode(),
        "It counts each pair of neighbours (without overlap) and takes the most frequent one; of several, the one "
        "that comes first in the alphabet.",
    )


@question("the length after some merges")
def tokens_left(ex: Exercise, rng: Random) -> Ask:
    word = rng.pick(WORDS)
    made = ex.BPETokenizer.train(word, 256 + rng.integers(1, 3))
    merges = ", then ".join(f"{(left + right).decode()!r}" for left, right in made.merges)
    return Ask(
        f"A tokenizer has learned to merge {merges}, and nothing else. Into how many tokens does it cut {word!r}?",
        len(made.encode(word)),
        f"It is cut into {' '.join(made.vocab[i].decode() for i in made.encode(word))}: the merges are made in the "
        "order they were learned, each wherever it fits.",
    )


@question("the vocabulary after training")
def vocabulary(ex: Exercise, rng: Random) -> Ask:
    word = rng.pick(WORDS)
    asked = 256 + rng.integers(20, 60)
    made = ex.BPETokenizer.train(word, asked)
    return Ask(
        f"BPETokenizer.train({word!r}, {asked}): is the tokenizer's vocab_size {asked} afterwards?",
        made.vocab_size == asked,
        f"It is {made.vocab_size}: there are 256 bytes, and training stops early when no pair occurs twice any more. "
        "A short text runs out of pairs soon.",
    )
