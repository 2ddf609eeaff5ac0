"""What solves the stretch goals of exercise 2."""

import codecs
from collections.abc import Iterable, Iterator, Sequence

from ex02_tokenizers import BPETokenizer


def fewest_tokens(vocab: Sequence[bytes], text: str) -> list[int]:
    """Write a text with as few tokens as a vocabulary allows."""
    data, ids = text.encode(), {token: token_id for token_id, token in enumerate(vocab)}
    longest = max(map(len, vocab))
    best = [(0, 0, 0)]  # of the first n bytes: how many tokens they take, the last one, where it begins
    for end in range(1, len(data) + 1):
        ways = [(begin, ids.get(data[begin:end])) for begin in range(max(0, end - longest), end)]
        best.append(min((best[begin][0] + 1, last, begin) for begin, last in ways if last is not None))
    found, end = [], len(data)
    while end > 0:
        _, last, end = best[end]
        found.append(last)
    return found[::-1]


def decode_stream(tokenizer: BPETokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Turn ids into text while they come, and never show half a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token_id in ids:
        yield decoder.decode(tokenizer.vocab[token_id])
    yield decoder.decode(b"", final=True)
