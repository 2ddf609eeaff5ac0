"""What the stretch goals of exercise 2 must do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grader.checks import Exercise, Random, check

BYTES = [bytes([value]) for value in range(256)]
MERGES = [(b"\xc3", b"\xa9"), (b"n", b"\xc3"), (b"\xe4", b"\xbd")]  # of these, two end within a character


def written(ex: Exercise, pieces: list[str], text: str) -> dict[str, Any]:
    """How many tokens a text takes with the bytes and some pieces, and what they say."""
    vocab = [*BYTES, *(piece.encode() for piece in pieces)]
    ids = ex.fewest_tokens(vocab, text)
    return {"bytes": b"".join(vocab[token_id] for token_id in ids), "tokens": len(ids)}


@check("as few tokens as possible, and they say what the text says")
def test_fewest(ex: Exercise, rng: Random):
    pieces = sorted({rng.text(size, "abc") for size in (2, 2, 2, 3, 3, 3, 4, 4, 5)})
    return {
        "small": written(ex, ["ab", "abc", "cde", "de"], "abcde"),
        "drawn": written(ex, pieces, rng.text(60, "abc")),
    }


@test_fewest.explain
def _(got, want):
    for name, due in want.items():
        if got[name]["bytes"] == due["bytes"] and got[name]["tokens"] > due["tokens"]:
            yield f"you take {got[name]['tokens']} tokens where {due['tokens']} will do."


@check("any character, and no character at all", after=test_fewest)
def test_fewest_of_any_text(ex: Exercise, rng: Random):
    return {"accents": written(ex, ["é", "né", "éné"], "nénénéé"), "nothing": written(ex, ["ab"], "")}


@check("a text of some thousand bytes", after=test_fewest)
def test_fewest_of_a_long_text(ex: Exercise, rng: Random):
    return written(ex, ["aa", "aaa", "ab", "ba"], rng.text(4000, "aaab"))


@check("each id brings the characters that are complete by then")
def test_stream(ex: Exercise, rng: Random):
    tokenizer = ex.BPETokenizer(MERGES)
    ids = [257, 0xA9, 256, 0x61, 258, 0xA0, 0xF0, 0x9F, 0x99, 0x82, 0x21]
    return list(ex.decode_stream(tokenizer, ids))


@check("an incomplete character at the end is left over", after=test_stream)
def test_stream_that_is_cut_off(ex: Exercise, rng: Random):
    tokenizer = ex.BPETokenizer(MERGES)
    return {
        "cut": list(ex.decode_stream(tokenizer, [0x61, 258])),
        "empty": list(ex.decode_stream(tokenizer, [])),
    }


@check("nothing waits for the ids that are still to come", after=test_stream)
def test_stream_at_once(ex: Exercise, rng: Random):
    taken = []

    def coming() -> Iterator[int]:
        for token_id in (0x68, 0x69, 0x21):
            taken.append(token_id)
            yield token_id

    stream = iter(ex.decode_stream(ex.BPETokenizer(MERGES), coming()))
    return {"first": next(stream), "taken": len(taken)}
