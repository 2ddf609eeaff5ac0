"""What the character tokenizer and byte pair encoding must do: the checks of exercise 2."""

from __future__ import annotations

from ast import literal_eval
from typing import Any

from grader.checks import Exercise, Random, check, raised


def merges(tokenizer: Any) -> list[str]:
    """A tokenizer's merges in writing, one line each."""
    return [repr(tuple(pair)) for pair in tokenizer.merges]


def untied(rng: Random, letters: str) -> str:
    """A text whose merges follow from counts alone: ab (7 times), de (6), fg (5), abc (4), fgh (3), then nothing."""
    a, b, c, d, e, f, g, h = letters
    pieces = [a + b + c] * 4 + [a + b] * 3 + [d + e] * 6 + [f + g + h] * 3 + [f + g] * 2
    text = ""
    for separator in "0123456789!?.,;:-+":  # each of them once, so that no pair across it occurs twice
        text += pieces.pop(rng.integers(0, len(pieces))) + separator
    return text


@check("characters: one id for each, in sorted order", points=1)
def test_characters_encode(ex: Exercise, rng: Random):
    text = rng.text(60, "the quick brown fox.")
    tokenizer = ex.CharTokenizer(text)
    return {"vocab_size": tokenizer.vocab_size, "ids": tokenizer.encode(text[:20])}


@check("characters: decode gives the text back", points=1)
def test_characters_decode(ex: Exercise, rng: Random):
    text = rng.text(80, "To be, or not.\n")
    tokenizer = ex.CharTokenizer(text)
    return {"decoded": tokenizer.decode(tokenizer.encode(text[:40])), "the first two": tokenizer.decode([1, 0])}


@check("characters: one that the vocabulary lacks is a ValueError that names it", points=1)
def test_unknown_character(ex: Exercise, rng: Random):
    tokenizer = ex.CharTokenizer(rng.text(30, "abcd "))
    return raised(lambda: tokenizer.encode("ab ß cd"), mentions=["ß"])


@check("byte pairs: the most frequent pair of neighbours is merged first, then the next", points=1)
def test_merges(ex: Exercise, rng: Random):
    tokenizer = ex.BPETokenizer.train(untied(rng, rng.pick(["lowedink", "newstoph", "wideform"])), 260)
    return {"merges": merges(tokenizer), "vocab_size": tokenizer.vocab_size}


@test_merges.explain
def _(got, want):
    asked, made = len(want["merges"]), len(got["merges"])
    if made > asked and got["merges"][:asked] == want["merges"]:
        yield (
            f"{256 + asked} ids were asked for, and you made {made} merges: how many of those ids are taken by the "
            "bytes already?"
        )


@check("byte pairs: encode gives bytes where nothing is merged", points=1)
def test_pairs_encode(ex: Exercise, rng: Random):
    plain, merged = ex.BPETokenizer.train("", 256), ex.BPETokenizer.train("shoshosh", 257)  # one merge: sh
    text = rng.text(12, "she al") + " né €"
    return {"bytes": plain.encode(text), "ids": merged.encode(text), "text": text}


@test_pairs_encode.explain
def _(got, want):
    if got["bytes"] == [ord(character) for character in want["text"]]:
        yield "without merges, your ids are code points: the euro sign is one of those, and how many bytes in UTF-8?"


@check("byte pairs: decode gives the text back", points=1)
def test_pairs_decode(ex: Exercise, rng: Random):
    plain, merged = ex.BPETokenizer.train("", 256), ex.BPETokenizer.train("shoshosh", 257)
    text = rng.text(12, "she al") + " né €"
    return {"decoded": [plain.decode(list(text.encode())), merged.decode([256, 101, 256, *text.encode()])]}


@test_pairs_decode.explain
def _(got, want):
    if "\ufffd" in got["decoded"][0] or "\ufffd" in got["decoded"][1]:
        yield "decoding shows U+FFFD where a letter of two or three bytes should stand: when do bytes become text?"


@check("byte pairs: a vocab_size below 256 is a ValueError", points=1)
def test_vocab_size_too_small(ex: Exercise, rng: Random):
    return [raised(lambda: ex.BPETokenizer.train("abab", 255), mentions=[255])]


### BEGIN HIDDEN TESTS
@check("characters are code points: accents, other scripts, line ends and an emoji are one id each", points=1)
def test_characters_of_all_kinds(ex: Exercise, rng: Random):
    text = "\x0cTab\tline\n\r, Größe, grösse, e\u0301, \u6771\u4eac, \U0001f642 " + rng.text(9, "xyzXYZ") + "\u00a0"
    tokenizer, empty = ex.CharTokenizer(text), ex.CharTokenizer("")
    return {
        "vocab_size": tokenizer.vocab_size,
        "ids": tokenizer.encode(text),
        "decoded": tokenizer.decode(tokenizer.encode(text)),
        "of no text": [empty.vocab_size, empty.encode(""), empty.decode([])],
    }


@check("characters: an id outside the vocabulary is a ValueError when decoding, a negative one too", points=1)
def test_character_ids_out_of_range(ex: Exercise, rng: Random):
    tokenizer = ex.CharTokenizer("abcdef")
    return {
        "too high": raised(lambda: tokenizer.decode([0, 6]), mentions=[6]),
        "negative": raised(lambda: tokenizer.decode([2, -1]), mentions=[-1]),
    }


@check("byte pairs: an id outside the vocabulary is a ValueError when decoding, a negative one too", points=1)
def test_pair_ids_out_of_range(ex: Exercise, rng: Random):
    tokenizer = ex.BPETokenizer.train("abab", 257)
    return {
        "too high": raised(lambda: tokenizer.decode([256, 257]), mentions=[257]),
        "negative": raised(lambda: tokenizer.decode([-2, 98]), mentions=[-2]),
    }


@check("pairs that overlap are counted, and merged, from left to right without overlap", points=2)
def test_overlapping_pairs(ex: Exercise, rng: Random):
    texts = ["ooo", "ooopqpqr", "oooo", "ooooo,pq;pq:pq", "pqpqpq", "pqpqpqpq"]
    doubled = ex.BPETokenizer.train("oooo", 300)
    return {
        "merges": [" ".join(merges(ex.BPETokenizer.train(text, 300))) for text in texts],
        "runs": [doubled.encode("o" * length) for length in (1, 2, 3, 5, 8)],
    }


@test_overlapping_pairs.explain
def _(got, want):
    if got["merges"][0]:
        yield "three equal letters give a merge: how often can a pair be replaced there if each letter is used once?"


@check("of equally frequent pairs, the one whose byte strings sort first is merged", points=1)
def test_ties(ex: Exercise, rng: Random):
    texts = ["xy1xy2mn3mn4", "abc1abc2ab3bd4bd5", "aba1aba2ab3az4az5", "zaz9zaz8q", "né1né2ox3ox4", rng.text(30, "kst")]
    texts.append("yzq1yzq2yz3yz4abq5abq6ab7")  # two tokens of one length, the later one sorts first
    return [merges(ex.BPETokenizer.train(text, 300)) for text in texts]


@check("training stops when no pair occurs twice, and vocab_size counts the merges that were made", points=1)
def test_stops_early(ex: Exercise, rng: Random):
    text = untied(rng, "abcdefgh")
    cases = [("", 300), ("x", 300), ("abcdefgh", 300), ("xyxy", 300), (text, 256), (text, 257), (text, 100_000)]
    trained = [ex.BPETokenizer.train(text, size) for text, size in cases]
    return {
        "merges": [len(tokenizer.merges) for tokenizer in trained],
        "vocab_size": [tokenizer.vocab_size for tokenizer in trained],
    }


@test_stops_early.explain
def _(got, want):
    if got["merges"] == want["merges"] and got["vocab_size"][2] == 300:
        yield "vocab_size is what was asked for; expected 256 and the merges that were made"
    elif got["merges"][2] > 0:
        yield "a text in which no pair occurs twice gives merges: what does a token gain that is used once?"


@check("encode applies the merges in the order they were learned", points=2, after=test_pairs_encode)
def test_order_of_merges(ex: Exercise, rng: Random):
    first = ex.BPETokenizer.train("yz,yz;yz:xy?xy!", 300)
    second = ex.BPETokenizer.train("klm1klm2klm3kl4mno5mno6no7no8no9", 300)
    return {
        "merges": [merges(first), merges(second)],
        "ids": [first.encode("xyz"), first.encode("xyxyzz"), second.encode("klmno"), second.encode("klmnoklno")],
    }


@test_order_of_merges.explain
def _(got, want):
    if got["merges"] == want["merges"] and got["ids"] != want["ids"]:
        yield (
            "the merges are right, but a new text is cut otherwise than they say when they are made in the order in "
            "which they were learned. Do you make them in that order, and each wherever it fits?"
        )


@check("a long text: all merges, and how they cut another text", points=1, after=test_ties)
def test_many_merges(ex: Exercise, rng: Random):
    tokenizer = ex.BPETokenizer.train(rng.text(500, "abcd"), 300)
    return {"merges": merges(tokenizer), "ids": tokenizer.encode(rng.text(200, "abcde"))}


@check("the text is taken as it is, and not cut into words: tokens may reach across spaces and line ends", points=1)
def test_no_words(ex: Exercise, rng: Random):
    texts = {
        "line ends": "a\r\nb\r\n",
        "both ends": "\t\tx\t\t",
        "runs of spaces": "a  b   c",
        "two cases": "ABab",
        "two ways to write an accent": "\xe9,e\u0301",
    }
    return {"across": merges(ex.BPETokenizer.train(untied(rng, "o xtn\nyz"), 280))} | {
        what: merges(ex.BPETokenizer.train(text, 300)) for what, text in texts.items()
    }


@test_no_words.explain
def _(got, want):
    tokens = [b"".join(literal_eval(pair)) for pair in got["across"]]
    if b"o x" not in tokens and b"o x" in [b"".join(literal_eval(pair)) for pair in want["across"]]:
        yield "no token of yours reaches across the space, although that pair is frequent: is the text cut there first?"


@check("every text has ids, and comes back: other scripts, emoji, control characters, what was never seen", points=1)
def test_any_text(ex: Exercise, rng: Random):
    tokenizer = ex.BPETokenizer.train("größer, größte, Größe; \u6771\u4eac \u6771\u4eac \U0001f642\U0001f642", 290)
    drawn = "".join(chr(code) for code in rng.integers(0x80, 0xD800, 20).tolist())
    texts = ["ß", "\u6771\u4eac\u90fd", "e\u0301\u200d\U0001f9d1", "\x00\r\n\t\x7f", "\ufeffa\ufffd", "  a b \n", drawn]
    return [tokenizer.decode(tokenizer.encode(text)) for text in texts]


@check("bytes that are not UTF-8 decode to U+FFFD, and the rest survives", points=1)
def test_invalid_bytes(ex: Exercise, rng: Random):
    tokenizer = ex.BPETokenizer.train("", 256)
    return [tokenizer.decode(ids) for ids in ([255], [104, 195, 105], [169, 97], [97, 195], [195, 169, 128, 33])]


@check(
    "nothing is shared or changed: two tokenizers, the merges, the caller's list of ids",
    points=1,
    after=test_pairs_decode,
)
def test_nothing_changed(ex: Exercise, rng: Random):
    first = ex.BPETokenizer.train("ab,ab;ab", 257)  # one pair that occurs twice, and no tie
    letters = ex.CharTokenizer("abc")
    before = merges(first)
    second = ex.BPETokenizer.train("ba,ba;ba", 300)
    others = ex.CharTokenizer("xyza")
    text, ids, numbers = "abcbabc", [256, 99, 256], [2, 0, 1]
    return {
        "ids": [
            first.encode(text),
            second.encode(text),
            first.encode(text),
            letters.encode("cab"),
            others.encode("ax"),
        ],
        "decoded": [first.decode(ids), letters.decode(numbers), first.decode(ids)],
        "list": [ids, numbers],
        "merges": [before, merges(first)],
    }


@check("long texts take time in proportion to their length", points=1, limit=10.0)
def test_long_texts(ex: Exercise, rng: Random):
    text = rng.text(3000, "abcdefghij klmnop\n") * 100
    letters, pairs = ex.CharTokenizer(text), ex.BPETokenizer.train(text[:20_000], 266)
    characters, merged = letters.decode(letters.encode(text)), pairs.decode(pairs.encode(text[:20_000]))
    return {
        "lengths": [len(characters), len(merged)],
        "every 997th character": [characters[::997], merged[::997]],
    }


### END HIDDEN TESTS
