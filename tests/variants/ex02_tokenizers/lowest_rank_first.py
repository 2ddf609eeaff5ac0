"""Tokens as byte strings; encode looks for the pair of the lowest rank again and again, as GPT-2's own code does.

Good for published vocabularies: all that it needs is the order of the merges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise


class CharTokenizer:
    vocab: tuple[str, ...]

    def __init__(self, text: str) -> None:
        self.vocab = tuple(sorted(frozenset(text)))
        self.vocab_size = len(self.vocab)
        self._table = str.maketrans({character: chr(place) for place, character in enumerate(self.vocab)})
        self._known = frozenset(self.vocab)

    def encode(self, text: str) -> list[int]:
        strange = sorted(set(text) - self._known)
        if strange:
            raise ValueError(f"these characters of the text are not known: {', '.join(strange)}")
        return list(map(ord, text.translate(self._table)))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.vocab[checked(token, self.vocab_size)] for token in ids)


def checked(token: int, vocab_size: int) -> int:
    if token < 0 or token >= vocab_size:
        raise ValueError(f"one of the ids is {token}, and the vocabulary has {vocab_size}")
    return token


def pairs_with_counts(tokens: list[bytes]) -> dict[tuple[bytes, bytes], int]:
    counts: dict[tuple[bytes, bytes], int] = defaultdict(int)
    runs = [(token, len(list(group))) for token, group in groupby(tokens)]
    for token, length in runs:
        if length > 1:
            counts[token, token] += length // 2
    for (left, _), (right, _) in pairwise(runs):
        counts[left, right] += 1
    return counts


def joined(tokens: Iterable[bytes], left: bytes, right: bytes) -> list[bytes]:
    out: list[bytes] = []
    open_left = False  # whether the last token of `out` is a left half that is still free
    for token in tokens:
        if open_left and token == right:
            out[-1] = left + right
            open_left = False
        else:
            out.append(token)
            open_left = token == left
    return out


class BPETokenizer:
    def __init__(self, merges: Sequence[tuple[bytes, bytes]]) -> None:
        self.merges = [(left, right) for left, right in merges]
        self.vocab = [*(bytes((value,)) for value in range(256)), *(left + right for left, right in merges)]
        self.vocab_size = 256 + len(self.merges)
        self.rank = {pair: place for place, pair in enumerate(self.merges)}
        self.id_of = {token: place for place, token in enumerate(self.vocab)}

    @classmethod
    def train(cls, text: str, vocab_size: int) -> BPETokenizer:
        room = vocab_size - 256
        if room < 0:
            raise ValueError(f"vocab_size is {vocab_size}: the 256 bytes alone need more")
        tokens = [bytes((value,)) for value in text.encode()]
        merges: list[tuple[bytes, bytes]] = []
        while len(merges) < room:
            counts = pairs_with_counts(tokens)
            best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
            if best is None or counts[best] == 1:
                break
            merges.append(best)
            tokens = joined(tokens, *best)
        return cls(merges)

    def encode(self, text: str) -> list[int]:
        tokens = [bytes((value,)) for value in text.encode()]
        while True:
            here = {pair for pair in pairwise(tokens) if pair in self.rank}
            if not here:
                return [self.id_of[token] for token in tokens]
            tokens = joined(tokens, *min(here, key=self.rank.__getitem__))

    def decode(self, ids: Sequence[int]) -> str:
        return str(b"".join([self.vocab[checked(token, self.vocab_size)] for token in ids]), "utf-8", "replace")
