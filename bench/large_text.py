"""large-text: a text that is too large for memory, read and tokenized into a file, beside the bare `encode`.

CPU time on one core. Ours reads the files twice (once to learn the alphabet and the digest, once to encode), checks the
digest, and writes eight bytes for each token; theirs is the reference's `encode` of exercise 2 on the same text, which
is in memory already.
"""

from __future__ import annotations

import io
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.measure import Row, in_turn
from lab import large
from lab.console import Screen
from lab.pieces import open_pieces

LINES = 300_000  # about 20 MB
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "and", "then", "Writes", "a", "poem."]


def rows(count: int) -> Iterator[Row]:
    """Medians over whole texts."""
    rng = random.Random(0)
    text = "".join(" ".join(rng.choices(WORDS, k=15)) + "\n" for _ in range(LINES))
    with open_pieces(None) as pieces, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.txt"
        file.write_text(text, encoding="utf-8")
        tokenizer = pieces.capstone.build_tokenizer(text)

        def ours() -> float:
            with tempfile.TemporaryDirectory() as fresh, patch.object(large, "WHERE", Path(fresh)):
                return spent(lambda: tokenized(file, pieces, tokenizer))

        mine, theirs = in_turn(ours, lambda: spent(lambda: tokenizer.encode(text)), count)
    note = f"{file_size(text):.0f} MB; theirs: encode alone; aim: a ratio of 0.5 or more"
    yield Row("large text: read, checked, tokenized", mine, theirs, "CPU s", count, note)


def tokenized(file: Path, pieces: Any, tokenizer: Any) -> None:
    """What `make train` does with such a text before the first step."""
    corpus = large.scan("large", str(file), [file], Screen(plain=True, file=io.StringIO()))
    large.tokens(corpus, tokenizer, pieces.capstone.split_corpus, 0.1)


def file_size(text: str) -> float:
    """Return the size in UTF-8, in megabytes."""
    return len(text.encode()) / 1e6


def spent(call: Any) -> float:
    """Return how many seconds of CPU time a call takes."""
    started = time.process_time()
    call()
    return time.process_time() - started
