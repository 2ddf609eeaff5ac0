"""Plain lists of ids and plain loops; the merges are kept as pairs of ids beside the pairs of byte strings.

Good for reading: lists and loops, and nothing to look up.
"""

from __future__ import annotations

from collections.abc import Sequence


def replaced(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    made: list[int] = []
    place = 0
    while place < len(ids):
        if tuple(ids[place : place + 2]) == pair:
            made.append(new)
            place += 2
        else:
            made.append(ids[place])
            place += 1
    return made


def counted(ids: list[int]) -> dict[tuple[int, int], int]:
    counts: dict[tuple[int, int], int] = {}
    taken: dict[tuple[int, int], int] = {}  # where the last one that was counted ends
    for place in range(len(ids) - 1):
        pair = ids[place], ids[place + 1]
        if taken.get(pair, -1) < place:
            counts[pair] = counts.get(pair, 0) + 1
            taken[pair] = place + 1
    return counts


class CharTokenizer:
    def __init__(self, text: str) -> None:
        self.id_of: dict[str, int] = {}
        for character in sorted(set(text)):
            self.id_of[character] = len(self.id_of)
        self.character_of = dict(enumerate(self.id_of))

    @property
    def vocab_size(self) -> int:
        return len(self.id_of)

    def encode(self, text: str) -> list[int]:
        try:
            return [self.id_of[character] for character in text]
        except KeyError as error:
            raise ValueError(f"unknown character in text: {error.args[0]}") from None

    def decode(self, ids: Sequence[int]) -> str:
        unknown = [number for number in ids if number not in self.character_of]
        if unknown:
            raise ValueError(f"ids: {unknown[0]} is unknown")
        return "".join(map(self.character_of.__getitem__, ids))


class BPETokenizer:
    def __init__(self, merges: Sequence[tuple[bytes, bytes]]) -> None:
        self.merges = list(merges)
        self.spelling = {number: bytes([number]) for number in range(256)}
        self.number = {spelling: number for number, spelling in self.spelling.items()}
        for left, right in self.merges:
            number = len(self.spelling)
            self.spelling[number] = left + right
            self.number[left + right] = number
        self.vocab_size = len(self.spelling)

    @classmethod
    def train(cls, text: str, vocab_size: int) -> BPETokenizer:
        if vocab_size - 256 < 0:
            raise ValueError(f"a vocab_size of {vocab_size} leaves no room for the bytes")
        ids = list(text.encode("utf-8"))
        spelling = [bytes([number]) for number in range(256)]
        merges: list[tuple[bytes, bytes]] = []
        while len(spelling) < vocab_size:
            ranking = sorted(
                (-count, spelling[left], spelling[right], left, right)
                for (left, right), count in counted(ids).items()
                if count > 1
            )
            if not ranking:
                break
            _, first, second, left, right = ranking[0]
            ids = replaced(ids, (left, right), len(spelling))
            spelling.append(first + second)
            merges.append((first, second))
        return cls(merges)

    def encode(self, text: str) -> list[int]:
        ids = list(text.encode("utf-8"))
        for new, (left, right) in enumerate(self.merges, 256):
            ids = replaced(ids, (self.number[left], self.number[right]), new)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        raw = bytearray()
        for number in ids:
            if number not in self.spelling:
                raise ValueError(f"ids must be below {self.vocab_size} and not negative; got {number}")
            raw += self.spelling[number]
        return raw.decode(errors="replace")
