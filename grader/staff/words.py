"""Words of other people, made fit to be shown: on a terminal, as the name of a file, in a table."""

from __future__ import annotations

import hashlib
import re
from typing import Any

LONGEST = 300  # characters of a message that is shown in passing
NAME_BYTES = 180  # of a file's name, which has an ending and a prefix besides
STARTS = "=+\\-@\uff1d\uff0b\uff0d\uff20"  # what begins a formula; some spreadsheets take the wide ones, too
FORMULA = re.compile(rf"[\s\"]*[{STARTS}]")
LATER_FORMULA = re.compile(rf"([;|\t\r\n])(?=[ \"]*[{STARTS}])")  # if the separator is another one than ours


def printable(text: str, limit: int = LONGEST) -> str:
    """A text on one line, with nothing in it that acts on a terminal; what can't be printed is written as in Python.

    Bytes in a file's name that are no text are shown so, too: `jos\\xe9`.
    """
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which no file's name holds
        raw = text.encode("utf-8", "backslashreplace")
    shown = "".join(char if char.isprintable() else _escape(char) for char in raw.decode("utf-8", "backslashreplace"))
    return shown if len(shown) <= limit else f"{shown[: limit - 4]} ..."


def file_name(name: str) -> str:
    """A name for a file: the name itself if one can have it, else its beginning and a digest."""
    if len(name.encode()) <= NAME_BYTES and not name.startswith("."):
        return name
    short = name.encode()[: NAME_BYTES // 2].decode("utf-8", "ignore").lstrip(".")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def harmless_cell(cell: Any) -> Any:
    """A cell of a table that no spreadsheet executes, whichever separator it is told to read the table with.

    An apostrophe stands before each beginning of a formula. Numbers stay numbers.
    """
    if not isinstance(cell, str):
        return cell
    cell = LATER_FORMULA.sub(r"\1'", cell.replace("\0", ""))
    return f"'{cell}" if FORMULA.match(cell) else cell


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
