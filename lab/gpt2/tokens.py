"""GPT-2's tokens: the published merges, made by the learner's own `BPETokenizer` inside pieces of the text."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.pieces import Pieces

END = "<|endoftext|>"  # one token, the last: it stands between two texts

# The first is for the text, the second for the kinds of its characters: see `_kind`.
_CONTRACTION = re.compile(r"'(?:s|t|re|ve|m|ll|d)")
_RUN = re.compile(r"_?L+|_?N+|_?P+|[_W]+(?![LNP])|[_W]+")


def split(text: str) -> Iterator[str]:
    """Cut a text into the pieces that no merge may cross; joined, they are the text.

    A piece is one of the seven English contractions ('s, 't, 're, 've, 'm, 'll, 'd), a run of letters, of numbers or of
    other signs, each with the space before it if there is one, or a run of white space, without its last character if
    something else follows.

    Source: the code that was published with Radford et al. 2019.
    """
    kinds, at = _kinds(text), 0
    while at < len(text):
        match = _CONTRACTION.match(text, at) or _RUN.match(kinds, at)
        assert match is not None  # each character is of some kind
        yield text[at : match.end()]
        at = match.end()


def _kinds(text: str) -> str:
    return "".join(map(_kind, text))


@functools.cache
def _kind(character: str) -> str:
    """L for a letter, N for a number, _ for a space, W for other white space, P for the rest."""
    if character == " ":
        return "_"
    if character.isspace() and character not in "\x1c\x1d\x1e\x1f":  # Unicode's property; Python's has these as well
        return "W"
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "P"


def byte_order() -> list[int]:
    """The bytes in the order of their ids: first those that Latin-1 shows as a visible sign, then the rest."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return visible + [byte for byte in range(256) if byte not in visible]


def read_merges(path: Path) -> list[tuple[bytes, bytes]]:
    """The merges of the published file, in which a sign stands for each byte, since some bytes are not visible.

    Raises:
        LabError: it is no such file.
    """
    order = byte_order()
    signs = {chr(byte) if place < 188 else chr(256 + place - 188): byte for place, byte in enumerate(order)}
    lines = path.read_bytes().decode("utf-8", errors="replace").split("\n")
    merges = []
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#version"):
            continue
        pair = line.split(" ")
        if len(pair) != 2 or not set(line) - {" "} <= signs.keys() or not all(pair):
            raise LabError(f"{path}: line {number} is {line[:40]!r}, which is not one of GPT-2's merges")
        merges.append((bytes(signs[sign] for sign in pair[0]), bytes(signs[sign] for sign in pair[1])))
    return merges


class PublishedTokenizer:
    """GPT-2's ids: a byte by its place in `byte_order`, then what each merge makes, then the end of a text.

    The merging is the learner's. Each piece of text gets a `BPETokenizer` of the few merges whose token occurs in it,
    in their order: what the other 50,000 would find there is nothing, so the ids are those of all of them.

    Args:
        pieces: whose `BPETokenizer` it is.
        merges: in the order they were learned.
    """

    def __init__(self, pieces: Pieces, merges: Sequence[tuple[bytes, bytes]]) -> None:
        self.merges = list(merges)
        self.places = {left + right: place for place, (left, right) in enumerate(merges)}
        self.longest = max(map(len, self.places), default=1)
        self.order = byte_order()
        self.end = 256 + len(merges)
        self.vocab_size = self.end + 1
        self.whole = pieces.tokenizers.BPETokenizer(self.merges)
        self._of = pieces.tokenizers.BPETokenizer
        self._ids = {bytes([byte]): place for place, byte in enumerate(self.order)}
        self._ids |= {token: 256 + place for token, place in self.places.items()}
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self.stream(text))

    def stream(self, text: str) -> Iterator[int]:
        """The ids of a text, as they are found."""
        for piece in split(text):
            if piece not in self._known:
                self._known[piece] = self._merged(piece)
            yield from self._known[piece]

    def _merged(self, piece: str) -> list[int]:
        data = piece.encode()
        ends = range(2, len(data) + 1)
        found = {data[start:end] for end in ends for start in range(max(0, end - self.longest), end - 1)}
        places = sorted(self.places[token] for token in found & self.places.keys())
        tokenizer: Any = self._of([self.merges[place] for place in places])
        return [self._ids[tokenizer.vocab[token]] for token in tokenizer.encode(piece)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; bytes that are no UTF-8 are shown as the learner's tokenizer shows them."""
        text = ""
        for ended, run in itertools.groupby(ids, key=lambda token: token == self.end):
            theirs = [token if token >= 256 else self.order[token] for token in run]
            text += END * len(theirs) if ended else self.whole.decode(theirs)
        return text
