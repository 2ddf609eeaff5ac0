"""Recounts with a dictionary of counts that skips overlaps by index; ids in tuples; asserts on what should hold.

Good for being sure while you write it: every merge counts anew, so no count can be out of date.
"""

from __future__ import annotations

import itertools


class CharTokenizer:
    def __init__(self, text):
        self.stoi, self.itos = {}, {}
        for number, char in enumerate(sorted({*text})):
            self.stoi[char], self.itos[number] = number, char
        self.vocab_size = len(self.itos)

    def encode(self, text):
        try:
            return [self.stoi[char] for char in text]
        except KeyError as error:
            raise ValueError("not in the vocabulary: " + error.args[0]) from None

    def decode(self, ids):
        for number in ids:
            if number not in self.itos:
                raise ValueError(f"unknown id {number}")
        return "".join(map(self.itos.__getitem__, ids))


def get_stats(ids):
    stats, skip = {}, None
    for place, pair in enumerate(itertools.pairwise(ids)):
        if pair[0] == pair[1] and skip == place:
            skip = None
            continue
        skip = place + 1 if pair[0] == pair[1] else None
        stats[pair] = stats.get(pair, 0) + 1
    return stats


def merge(ids, pair, new):
    out, place = (), 0
    made = []
    while place < len(ids):
        fits = place + 1 < len(ids) and (ids[place], ids[place + 1]) == pair
        made.append(new if fits else ids[place])
        place += 2 if fits else 1
    return out + tuple(made)


class BPETokenizer:
    def __init__(self, merges):
        self.merges = list(merges)
        self.vocab = [bytes([value]) for value in range(256)]
        self.vocab += [left + right for left, right in self.merges]
        self.vocab_size = len(self.vocab)
        assert len(set(self.vocab)) == self.vocab_size

    @classmethod
    def train(cls, text, vocab_size):
        if vocab_size < 256:
            raise ValueError(f"{vocab_size} is too few, there are 256 bytes")
        ids, vocab, merges = tuple(text.encode("utf-8")), {i: bytes([i]) for i in range(256)}, []
        while len(vocab) < vocab_size:
            stats = get_stats(ids)
            if not stats or max(stats.values()) == 1:
                break
            most = max(stats.values())
            ties = [pair for pair in stats if stats[pair] == most]
            ties.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
            best, new = ties[0], len(vocab)
            shorter = merge(ids, best, new)
            assert len(shorter) == len(ids) - most
            ids, vocab[new] = shorter, vocab[best[0]] + vocab[best[1]]
            merges.append((vocab[best[0]], vocab[best[1]]))
        return cls(merges)

    def encode(self, text):
        ids = tuple(text.encode("utf-8"))
        for number, (left, right) in enumerate(self.merges):
            ids = merge(ids, (self.vocab.index(left), self.vocab.index(right)), 256 + number)
        assert b"".join(self.vocab[i] for i in ids) == text.encode("utf-8")
        return list(ids)

    def decode(self, ids):
        raw = bytearray()
        for number in ids:
            if number not in range(self.vocab_size):
                raise ValueError(f"{number} is not an id: there are {self.vocab_size}")
            raw += self.vocab[number]
        return raw.decode("utf-8", "replace")
