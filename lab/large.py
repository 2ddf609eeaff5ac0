"""Texts that are too large for memory: read in pieces, tokenized once into a file, and trained on from there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import warnings
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from lab.console import Gauge, Screen
from lab.corpora import DATA, Corpus, not_utf8
from lab.errors import LabError
from lab.files import write_json

LARGE = 16_000_000  # bytes: from here on, a text is not held in memory
BLOCK = 1 << 20  # bytes of text that are tokenized at a time
BEGINNING = 1_000_000  # characters that the tokenizer is made from, besides all that occur later
WHERE = DATA / "tokens"
EACH_SAVED = 16  # blocks, from one note of how far the tokens are to the next
SHORTEST = 1000  # characters on each side of the split: enough tokens for `split_corpus` whatever the tokenizer

NOTE = (
    "This text is too large to be held in memory. It is tokenized once into a file in data/tokens, 8 bytes for each "
    "token; n-grams are counted in a part of it, and the loss at the end is that on a part of what is held out."
)


@dataclass(frozen=True)
class LargeCorpus(Corpus):
    """A text in files. What is held of it as `text` is its beginning, and every character that only comes later.

    Attributes:
        files: where it is, in order.
        size: of all files, in bytes.
        count: how many characters it has.
        content: the SHA-256 of the files.
        screen: where progress is shown.
    """

    files: tuple[Path, ...] = ()
    size: int = 0
    count: int = 0
    content: str = ""
    screen: Screen = field(default_factory=Screen, compare=False, repr=False)

    @property
    def characters(self) -> int:
        """Return how many there are in the whole text."""
        return self.count

    def origin(self) -> dict[str, Any]:
        """Return what it takes to find the whole text again."""
        files = [str(path.resolve()) for path in self.files]
        return {"files": files, "size": self.size, "content": self.content}

    @classmethod
    def reopened(cls, beginning: Corpus, about: dict[str, Any]) -> LargeCorpus:
        """The corpus of a run, from what its config.json says."""
        files = tuple(Path(file) for file in about["files"])
        known = beginning.name, beginning.source, beginning.text, NOTE
        return cls(*known, files, about["size"], about["characters"], about["content"])


class Block(NamedTuple):
    """A piece of a text that ends at the end of a line, if it holds one.

    Attributes:
        text: its characters; each line ends with a line feed.
        raw: its bytes in the file.
        file: the number of the file.
        after: the first byte of the file that comes after it.
    """

    text: str
    raw: bytes
    file: int
    after: int


def blocks(files: Sequence[Path], file: int = 0, start: int = 0) -> Iterator[Block]:
    """A text in pieces of about a million bytes, from a place on. Files are joined at the end of a line.

    Raises:
        LabError: a byte is zero, or is not UTF-8.
    """
    for number in range(file, len(files)):
        path, at = files[number], start if number == file else 0
        with path.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            while at < size:
                opened.seek(at)
                raw = opened.read(BLOCK)
                if at + len(raw) < size:
                    raw = raw[: _cut(raw)]
                if (zero := raw.find(0)) >= 0:
                    raise LabError(
                        f"--text {path}: byte {at + zero:,} is zero, so this is not UTF-8 text; name a plain text file"
                    )
                try:
                    text = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise not_utf8(path, at + error.start, raw[error.start]) from error
                if at == 0:
                    text = text.removeprefix("\ufeff")
                at += len(raw)
                text = text.replace("\r\n", "\n").replace("\r", "\n")
                if at == size and number + 1 < len(files) and not text.endswith("\n"):
                    text += "\n"
                yield Block(text, raw, number, at)


def _cut(raw: bytes) -> int:
    """Return where to end a block that goes on: after a line, or else before a character."""
    if end := raw.rfind(b"\n") + 1:
        return end
    end = len(raw) - 1
    while end > 1 and (raw[end] & 0xC0 == 0x80 or raw[end - 1] == 0x0D):  # inside a character, or a line's end
        end -= 1
    return end


def scan(name: str, source: str, files: Sequence[Path], screen: Screen) -> LargeCorpus:
    """Read a text once: which characters it has, how many, and its SHA-256.

    Raises:
        LabError: it is no UTF-8 text, or empty.
    """
    occurs = np.zeros(sys.maxunicode + 1, dtype=bool)  # by code point
    digest, count, beginning, done = hashlib.sha256(), 0, "", 0
    size = sum(path.stat().st_size for path in files)
    last = 0
    with Gauge(screen, "Reading", size) as gauge:
        for block in blocks(files):
            digest.update(b"\0" * (block.file - last) + block.raw)
            last = block.file
            if len(beginning) < BEGINNING:
                beginning += block.text
            occurs[np.frombuffer(block.text.encode("utf-32-le"), dtype="<u4")] = True
            count += len(block.text)
            done += len(block.raw)
            gauge.show(done)
    alphabet = {chr(point) for point in np.flatnonzero(occurs)}
    if not alphabet - set(" \n\t"):
        raise LabError(f"--text {source}: there is nothing in it; a text to train on needs a few thousand characters")
    beginning = beginning[:BEGINNING]
    text = beginning + "".join(sorted(alphabet - set(beginning)))
    return LargeCorpus(name, source, text, NOTE, tuple(files), size, count, digest.hexdigest(), screen)


def content(files: Sequence[Path]) -> str:
    """The SHA-256 of a text, as `scan` finds it."""
    digest = hashlib.sha256()
    for number, path in enumerate(files):
        digest.update(b"\0" * (number > 0))
        with path.open("rb") as file:
            while raw := file.read(BLOCK):
                digest.update(raw)
    return digest.hexdigest()


class Tokens(NamedTuple):
    """The tokens of a text in a file, and where the part that is held out begins."""

    file: Path
    total: int
    border: int

    def open(self) -> Any:
        """(N,) all tokens as a tensor, int64: read from the file where they are looked at, and never written."""
        import torch

        mapped = np.memmap(self.file, dtype=np.int64, mode="r", shape=(self.total,))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable.*")
            return torch.from_numpy(mapped)


def tokens(corpus: LargeCorpus, tokenizer: Any, split: Any, fraction: float) -> Tokens:
    """The tokens of a large text, from their file, or made and kept there; what was interrupted goes on.

    Each block is encoded by itself, so a token that merges never reaches over the end of a line into the next block.
    The block in which the part that is held out begins is given to `split_corpus`.

    Args:
        corpus: the text.
        tokenizer: the learner's.
        split: exercise 16's `split_corpus`.
        fraction: how much is held out.

    Raises:
        LabError: the text has changed since it was read, is gone, or its tokens find no room on the disk.
    """
    WHERE.mkdir(parents=True, exist_ok=True)
    made = WHERE / key(corpus, tokenizer, fraction)
    note, file = made.with_suffix(".json"), made.with_suffix(".tokens")
    with FileLock(made.with_suffix(".lock")):
        known = _read(note)
        if not (known.get("whole") and file.is_file() and file.stat().st_size == 8 * known["tokens"]):
            known = _make(corpus, tokenizer, split, fraction, note, file)
    return Tokens(file, known["tokens"], known["border"])


def key(corpus: LargeCorpus, tokenizer: Any, fraction: float) -> str:
    """A name for the tokens of a text: another one for another text, and for a tokenizer that is not the same."""
    merges = [[left.hex(), right.hex()] for left, right in getattr(tokenizer, "merges", [])]
    some = tokenizer.encode(corpus.text[:50_000] + corpus.alphabet)
    told = [corpus.content, fraction, int(tokenizer.vocab_size), merges, [int(token) for token in some]]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]


def _read(note: Path) -> dict[str, Any]:
    try:
        known = json.loads(note.read_bytes())
        return known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        return {}


def _make(corpus: LargeCorpus, tokenizer: Any, split: Any, fraction: float, note: Path, file: Path) -> dict[str, Any]:
    for path in corpus.files:
        if not path.is_file():
            raise LabError(f"{path} is gone, and so are its tokens: put the text back, or train a new run")
    if content(corpus.files) != corpus.content:
        raise LabError(f"{corpus.source} has changed since it was read: train a new run")
    start = {"file": 0, "after": 0, "characters": 0, "tokens": 0, "border": 0, "through": 0}
    known = {**start, **_read(note)}
    if not file.is_file() or file.stat().st_size < 8 * known["tokens"]:
        known = start
    room, needed = shutil.disk_usage(file.parent).free, 8 * (corpus.characters - known["characters"])
    if room < needed:
        raise LabError(
            f"the tokens of {corpus.source} take up to {needed / 1e9:,.1f} GB in {file.parent}, which has room for "
            f"{room / 1e9:,.1f} GB: make some, or name a shorter text"
        )
    held_out = corpus.characters - int(fraction * corpus.characters)  # the first character of that part
    with (
        file.open("r+b" if file.is_file() else "w+b") as opened,
        Gauge(corpus.screen, "Tokenizing", corpus.size) as gauge,
    ):
        opened.truncate(8 * known["tokens"])
        opened.seek(0, os.SEEK_END)
        for number, block in enumerate(blocks(corpus.files, known["file"], known["after"]), start=1):
            before = held_out - known["characters"]  # how many characters of the block come before the border
            if SHORTEST < before < len(block.text) - SHORTEST:
                parts = split(block.text, tokenizer, (len(block.text) - before) / len(block.text))
                found = np.concatenate([part.numpy() for part in parts])
                known["border"] = known["tokens"] + len(parts[0])
            else:
                found = np.frombuffer(array("q", tokenizer.encode(block.text)), dtype=np.int64)
                if before > SHORTEST:  # if it is in this block, it is at its end
                    known["border"] = known["tokens"] + len(found)
            opened.write(found.data)
            known |= {"file": block.file, "after": block.after, "through": known["through"] + len(block.raw)}
            known["characters"] += len(block.text)
            known["tokens"] += len(found)
            gauge.show(known["through"])
            if number % EACH_SAVED == 0:
                opened.flush()
                os.fsync(opened.fileno())
                write_json(note, known)
        opened.flush()
        os.fsync(opened.fileno())
    known["whole"] = True
    write_json(note, known)
    return known
