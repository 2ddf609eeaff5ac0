"""What exercise 2 says of wrong code is true."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable
from typing import Any


def tokens(merges: list[str]) -> list[bytes]:
    return [left + right for left, right in map(literal_eval, merges)]


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_merges": {
        r"^(\d+) ids were asked for, and you made (\d+) merges": lambda got, want, asked, made: (
            (int(asked), int(made)) == (260, len(got["merges"])) and int(made) > int(asked) - 256
        ),
    },
    "test_pairs_encode": {
        r"without merges, your ids are code points: the euro sign is one": lambda got, want: (
            got["bytes"] == list(map(ord, want["text"])) and ord("€") in got["bytes"]
        ),
    },
    "test_pairs_decode": {
        r"decoding shows U\+FFFD where a letter of two or three bytes should stand": lambda got, want: any(
            "\ufffd" in mine and "\ufffd" not in right
            for mine, right in zip(got["decoded"], want["decoded"], strict=True)
        ),
    },
    "test_overlapping_pairs": {
        r"three equal letters give a merge": lambda got, want: "b'o', b'o'" in got["merges"][0],
    },
    "test_stops_early": {
        r"vocab_size is what was asked for; expected 256 and the merges that were made": lambda got, want: (
            got["vocab_size"][:4] == [300] * 4 and got["merges"] == want["merges"]
        ),
        r"a text in which no pair occurs twice gives merges": lambda got, want: got["merges"][2] > 0,
    },
    "test_order_of_merges": {
        r"the merges are right, but a new text is cut otherwise": lambda got, want: (
            got["merges"] == want["merges"] and got["ids"] != want["ids"]
        ),
    },
    "test_no_words": {
        r"no token of yours reaches across the space, although that pair is frequent": lambda got, want: (
            b"o x" in tokens(want["across"]) and not any(b" " in token[1:-1] for token in tokens(got["across"]))
        ),
    },
}

TURNS = {
    "vocab_size as asked": [
        (
            "        return cls(merges)",
            "        made = cls(merges)\n        made.vocab_size = vocab_size\n        return made",
        )
    ],
}


def test_what_is_said_is_true(hold):
    hold("ex02_tokenizers", CLAIMS, TURNS)
