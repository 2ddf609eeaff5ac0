"""Counting and replacing with regular expressions over private characters; dataclasses; subclasses of dict and list.

Good for short code: one call of `re.sub` does a merge. Each merge still reads the whole text.
"""

from __future__ import annotations

import re
from collections import UserDict
from collections.abc import Sequence
from dataclasses import dataclass, field


class Vocabulary(UserDict):
    def __missing__(self, key):
        raise ValueError(f"{key!r} is not in the vocabulary")


@dataclass
class CharTokenizer:
    text: str
    vocab_size: int = field(init=False)

    def __post_init__(self) -> None:
        letters = sorted(dict.fromkeys(self.text))
        self.to_id = Vocabulary(zip(letters, range(len(letters)), strict=True))
        self.to_letter = Vocabulary(enumerate(letters))
        self.vocab_size = len(letters)
        self.text = ""

    def encode(self, text: str) -> list[int]:
        return [self.to_id[letter] for letter in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.to_letter[number] for number in ids)


@dataclass
class BPETokenizer:
    merges: Sequence[tuple[bytes, bytes]]

    def __post_init__(self) -> None:
        self.merges = list(self.merges)
        self.vocab = [bytes([value]) for value in range(256)] + [b"".join(pair) for pair in self.merges]

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    @classmethod
    def train(cls, text: str, vocab_size: int) -> BPETokenizer:
        if vocab_size < 256:
            raise ValueError(f"vocab_size = {vocab_size}; at least 256 please")
        made = cls([])
        line = made._line(text)
        while made.vocab_size < vocab_size:
            pairs = {line[i : i + 2] for i in range(len(line) - 1)}
            counts = {pair: len(re.findall(re.escape(pair), line)) for pair in pairs}
            frequent = {pair: count for pair, count in counts.items() if count > 1}
            if not frequent:
                return made
            most = max(frequent.values())
            chosen = min(made._spelled(pair) for pair, count in frequent.items() if count == most)
            made.merges.append(chosen)
            made.vocab.append(chosen[0] + chosen[1])
            line = made._replaced(line, len(made.vocab) - 1, chosen)
        return made

    @staticmethod
    def _line(text: str) -> str:
        return "".join(chr(0xE000 + byte) for byte in text.encode())

    def _spelled(self, pair: str) -> tuple[bytes, bytes]:
        left, right = (self.vocab[ord(char) - 0xE000] for char in pair)
        return left, right

    def _replaced(self, line: str, number: int, pair: tuple[bytes, bytes]) -> str:
        left, right = (re.escape(chr(0xE000 + self.vocab.index(piece))) for piece in pair)
        return re.sub(left + right, chr(0xE000 + number), line)

    def encode(self, text: str) -> list[int]:
        line = self._line(text)
        for number, pair in enumerate(self.merges, start=256):
            line = self._replaced(line, number, pair)
        return [ord(char) - 0xE000 for char in line]

    def decode(self, ids: Sequence[int]) -> str:
        strange = [number for number in ids if not 0 <= number < self.vocab_size]
        if strange:
            raise ValueError(f"these are no ids: {strange}")
        return str(b"".join([self.vocab[number] for number in ids]), "utf-8", errors="replace")
