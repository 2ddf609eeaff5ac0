"""Notebooks that hold the learner's code: a stub cut into cells, and put together again with what was written in them.

A cell is known by nbgrader's `grade_id` alone; of two with the same one the first counts, and a piece that is missing
is the stub's, so that whatever is done to a notebook, a module comes out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from grader.content.regions import SOLUTION, regions, without_markers
from grader.content.stubs import generated, skeleton
from grader.content.syllabus import Entry
from grader.probing.trees import parse

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
    tree = parse(text)
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
