"""Notebooks as they come: the cells of any format, whatever else is missing, odd or damaged in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


class NoNotebook(ValueError):
    """Something that is no notebook, or none with code in it; the message says which."""


PYTHON = {"python", "python2", "python3", "ipython", ""}


@dataclass(frozen=True)
class Cell:
    """A cell: its source, whether that is Python, and nbgrader's name for it, if it has one."""

    source: str
    is_code: bool
    name: str | None = None


def cells(text: str) -> list[Cell]:
    """The cells of a notebook.

    Raises:
        NoNotebook: it is none.
    """
    try:
        book = json.loads(text)
    except (ValueError, RecursionError):
        book = None
    if not isinstance(book, dict) or not ({"cells", "worksheets", "nbformat"} & book.keys()):
        raise NoNotebook("it is not a notebook that can be read. Save it in Jupyter and hand that in")
    return list(_cells(book))


def named(found: Iterable[Cell]) -> dict[str, str]:
    """The sources of the cells that nbgrader has a name for; of two with one name the first counts."""
    sources: dict[str, str] = {}
    for cell in found:
        if cell.name is not None:
            sources.setdefault(cell.name, cell.source)
    return sources


def _cells(book: dict[str, Any]) -> Iterator[Cell]:
    for sheet in (book, *_list(book.get("worksheets"))):
        for cell in _list(sheet.get("cells") if isinstance(sheet, dict) else None):
            source = _source(cell) if isinstance(cell, dict) else None
            if source is not None:
                yield Cell(source, _is_code(cell), _name(cell))


def _source(cell: dict[str, Any]) -> str | None:
    source = cell.get("source", cell.get("input"))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str):
        return None
    return source.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half a character can't be written


def _is_code(cell: dict[str, Any]) -> bool:
    kind = cell.get("cell_type", "code" if "outputs" in cell or "execution_count" in cell else "")
    language = _in(_in(cell.get("metadata"), "vscode"), "languageId") or cell.get("language") or ""
    return kind == "code" and str(language).lower() in PYTHON


def _name(cell: dict[str, Any]) -> str | None:
    name = _in(_in(cell.get("metadata"), "nbgrader"), "grade_id")
    return name if isinstance(name, str) else None


def _in(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
