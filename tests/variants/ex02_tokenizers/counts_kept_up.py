"""Training that changes counts only next to where a merge happens, with places linked to their neighbours.

Good for large texts: a merge touches the places where its pair stands, and not the whole text again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class CharTokenizer:
    def __init__(self, text: str) -> None:
        self.letters = "".join(sorted(set(text)))

    vocab_size = property(lambda self: len(self.letters))

    def _id(self, character: str) -> int:
        place = bisect_left(self.letters, character)
        if self.letters[place : place + 1] != character:
            raise ValueError(f"no id for the character '{character}'")
        return place

    def encode(self, text: str) -> list[int]:
        return [self._id(character) for character in text]

    def decode(self, ids: Sequence[int]) -> str:
        if len(ids) and (min(ids) < 0 or max(ids) >= len(self.letters)):
            raise ValueError(f"ids from {min(ids)} to {max(ids)} do not fit into {len(self.letters)} letters")
        return "".join([self.letters[token] for token in ids])


class Chain:
    """The tokens of a text, each linked to the next and the one before; places of each pair."""

    def __init__(self, raw: bytes) -> None:
        self.token: list[int] = list(raw)
        self.after = list(range(1, len(raw) + 1))
        self.before = list(range(-1, len(raw) - 1))
        self.places: dict[tuple[int, int], set[int]] = {}
        for place in range(len(raw) - 1):
            self._note(place)

    def _pair(self, place: int) -> tuple[int, int] | None:
        if place < 0 or self.after[place] >= len(self.token):
            return None
        return self.token[place], self.token[self.after[place]]

    def _note(self, place: int) -> None:
        pair = self._pair(place)
        if pair is not None:
            self.places.setdefault(pair, set()).add(place)

    def _forget(self, place: int) -> None:
        pair = self._pair(place)
        if pair is not None:
            self.places[pair].discard(place)

    def count(self, pair: tuple[int, int]) -> int:
        places = self.places[pair]
        if pair[0] != pair[1]:
            return len(places)
        count, free = 0, -1
        for place in sorted(places):
            if place >= free:
                count, free = count + 1, self.after[self.after[place]]
        return count

    def merge(self, pair: tuple[int, int], new: int) -> None:
        for place in sorted(self.places[pair]):
            if self.token[place] != pair[0] or self._pair(place) != pair:
                continue  # a part of the merge before
            right = self.after[place]
            for touched in (self.before[place], place, right):
                self._forget(touched)
            self.token[place], self.token[right] = new, -1
            self.after[place] = self.after[right]
            if self.after[place] < len(self.token):
                self.before[self.after[place]] = place
            for touched in (self.before[place], place):
                self._note(touched)

    def rest(self) -> list[int]:
        return [token for token in self.token if token >= 0]


class BPETokenizer:
    def __init__(self, merges: Sequence[tuple[bytes, bytes]]) -> None:
        self.merges = list(merges)
        self.vocab = [bytes([value]) for value in range(256)]
        self.vocab += [left + right for left, right in self.merges]
        self.vocab_size = len(self.vocab)

    @classmethod
    def train(cls, text: str, vocab_size: int) -> BPETokenizer:
        if vocab_size < 256:
            raise ValueError(f"vocab_size={vocab_size} is too small: there are 256 bytes")
        chain, vocab = Chain(text.encode("utf-8")), [bytes([value]) for value in range(256)]
        merges: list[tuple[bytes, bytes]] = []
        for new in range(256, vocab_size):
            often = {pair: chain.count(pair) for pair, places in chain.places.items() if len(places) > 1}
            most = max(often.values(), default=1)
            if most == 1:
                break
            equals = [pair for pair, count in often.items() if count == most]
            left, right = min(equals, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
            chain.merge((left, right), new)
            merges.append((vocab[left], vocab[right]))
            vocab.append(vocab[left] + vocab[right])
        return cls(merges)

    def encode(self, text: str) -> list[int]:
        chain, numbers = Chain(text.encode("utf-8")), {token: number for number, token in enumerate(self.vocab)}
        for new, (left, right) in enumerate(self.merges, start=256):
            pair = numbers[left], numbers[right]
            if pair in chain.places:
                chain.merge(pair, new)
        return chain.rest()

    def decode(self, ids: Sequence[int]) -> str:
        wrong = next((token for token in ids if token not in range(self.vocab_size)), None)
        if wrong is not None:
            raise ValueError(f"ids: there is no token {wrong}")
        pieces = [self.vocab[token] for token in ids]
        return bytes(value for piece in pieces for value in piece).decode("utf-8", "replace")
