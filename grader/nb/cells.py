"""Notebooks that hold the learner's code: a stub cut into cells, and put together again with what was written in them.

A cell is known by nbgrader's `grade_id` alone; of two with the same one the first counts, and a piece that is missing
is the stub's, so that whatever is done to a notebook, a module comes out.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from grader.content.regions import SOLUTION, regions, without_markers
from grader.content.stubs import generated, skeleton
from grader.content.syllabus import Entry

PREFIX = "solution-"
Places = Mapping[str, tuple[int, int]]  # by the name of a cell: its first and its last line in the module


@dataclass(frozen=True)
class Piece:
    """A stretch of a stub: its lesson, what is given, or one function or class that is asked for, with its name."""

    kind: Literal["lesson", "given", "asked"]
    text: str
    name: str = ""

    @property
    def grade_id(self) -> str:
        """The name of its cell."""
        return PREFIX + self.name


@cache
def pieces(entry: Entry) -> tuple[Piece, ...]:
    """A stub in pieces, which give the stub when they are put together."""
    found = tuple(_cut(skeleton(entry)))
    assert "".join(piece.text for piece in found) == generated(entry)
    return found


def _cut(text: str) -> Iterator[Piece]:
    lines = text.splitlines(keepends=True)
    tree = ast.parse(text)
    marked = regions(text, SOLUTION)
    done = 0
    for place, node in enumerate(tree.body):
        lesson = place == 0 and ast.get_docstring(tree) is not None
        begin = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]) - 1
        end = node.end_lineno or node.lineno
        piece = "".join(lines[begin:end])
        if not lesson and not any(begin < region.begin <= end for region in marked):
            continue
        if begin > done:
            yield Piece("given", without_markers("".join(lines[done:begin]), SOLUTION))
        name = getattr(node, "name", "")
        yield Piece("lesson", piece) if lesson else Piece("asked", without_markers(piece, SOLUTION), name)
        done = end
    if done < len(lines):
        yield Piece("given", without_markers("".join(lines[done:]), SOLUTION))


def rebuilt(entry: Entry, answers: Mapping[str, str]) -> str:
    """The module with what was written in its cells.

    Args:
        entry: the exercise.
        answers: the text of cells by their grade_id.
    """
    parts = []
    for piece in pieces(entry):
        written = answers.get(piece.grade_id) if piece.kind == "asked" else None
        parts.append(piece.text if written is None else written.rstrip("\n") + "\n")
    return "".join(parts)


def code_of(entry: Entry, text: str) -> str | None:
    """The module that a notebook holds the code of; None if it is none of ours.

    Raises:
        ValueError: it is one of ours, but the code is asked for in a file beside it.
    """
    try:
        cells = dict(answers(text))
    except ValueError:
        return None
    if any(name.startswith(PREFIX) for name in cells):
        return rebuilt(entry, cells)
    if any(name.startswith("check-") for name in cells):
        raise ValueError(f"this notebook holds no code of the exercise: that stands in {entry.stub.name}")
    return None


def answers(text: str) -> Iterator[tuple[str, str]]:
    """The text of each cell that has a grade_id, the first one of each, whatever else the notebook looks like.

    Raises:
        ValueError: it is no notebook.
    """
    try:
        notebook = json.loads(text)
        sheets = [notebook, *_list(notebook.get("worksheets"))]
    except (ValueError, AttributeError, RecursionError):
        raise ValueError("it is no notebook that can be read") from None
    seen = set()
    for sheet in sheets:
        for cell in _list(sheet.get("cells") if isinstance(sheet, dict) else None):
            name, source = _named(cell)
            if name is not None and source is not None and name not in seen:
                seen.add(name)
                yield name, source


def _named(cell: Any) -> tuple[str | None, str | None]:
    """The grade_id and the source of a cell, if it has both."""
    if not isinstance(cell, dict):
        return None, None
    metadata = cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = about.get("grade_id") if isinstance(about, dict) else None
    source = cell.get("source", cell.get("input"))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if isinstance(source, str):
        source = source.encode("utf-8", "surrogatepass").decode("utf-8", "replace")  # half a character can't be written
    return (name if isinstance(name, str) else None), (source if isinstance(source, str) else None)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def cell_lines(entry: Entry, written: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """The first and the last line that each cell has in the module that is rebuilt from them."""
    places, line = {}, 1
    for piece in pieces(entry):
        own = written.get(piece.grade_id) if piece.kind == "asked" else None
        count = (piece.text if own is None else own.rstrip("\n") + "\n").count("\n")
        if piece.kind == "asked":
            places[piece.name] = (line, line + count - 1)
        line += count
    return places
