"""What was handed in as a file, shown in the notebook to whoever reads it."""

from __future__ import annotations

from typing import Any

from nbformat.v4 import new_code_cell

from grader.content.syllabus import Entry
from grader.nb.cells import pieces
from grader.staff.nbgrader.notebook import CHECK

SHOWN = 40_000  # characters of a student's file that are shown to graders


def name_of(cell: Any) -> str:
    """The name that nbgrader has for a cell; "" if it has none."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def show(nb: Any, entry: Entry, code: str) -> None:
    """Add what was handed in, for whoever reads the notebook: the checks are beside it, and so is the lesson."""
    lesson = next((piece.text for piece in pieces(entry) if piece.kind == "lesson"), "")
    code = code.replace(lesson, '"""The lesson."""', 1) if lesson else code
    if len(code) > SHOWN:
        code = f"{code[:SHOWN]}\n# ... {len(code) - SHOWN:,} characters more"
    place = next(place for place, cell in enumerate(nb.cells) if name_of(cell).startswith(CHECK)) - 1
    cell = new_code_cell(f"# {entry.stub.name}, as it was handed in\n\n{code}")
    cell.id = "handed-in"
    nb.cells.insert(max(place, 0), cell)
