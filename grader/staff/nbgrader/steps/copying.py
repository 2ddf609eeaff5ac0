"""Before nbgrader copies what was handed in: links are taken out, and each submission has its notebook."""

from __future__ import annotations

import json
from pathlib import Path

from grader.content.syllabus import load
from grader.files import write_atomically
from grader.nb.cells import PREFIX
from grader.staff.intake.names import meaning
from grader.staff.intake.reader import Unusable, cells_by_name
from grader.staff.nbgrader.notebook import CHECK
from grader.staff.words import file_name, printable

MARK = "stubformer-placeholder"  # in the metadata of a notebook that stands for one that was not handed in
PLACEHOLDER = {"cells": [], "metadata": {MARK: True}, "nbformat": 4, "nbformat_minor": 5}


def put_missing(source: str, assignment: str) -> None:
    """Put a notebook without answers where none was handed in, so that nbgrader has something to give points for.

    Without one, nbgrader leaves the whole submission out, and whoever handed it in is in no table.

    Args:
        source: the folder of a submission.
        assignment: the exercise that it is for.
    """
    folder = Path(source)
    if assignment in {entry.stem for entry in load()} and folder.is_dir() and not _candidates(folder, assignment):
        write_atomically(folder / f"{assignment}.ipynb", json.dumps(PLACEHOLDER) + "\n")


def is_placeholder(path: Path) -> bool:
    """Return whether a notebook stands for one that was not handed in."""
    try:
        return path.stat().st_size < 1000 and bool(json.loads(path.read_text(encoding="utf-8"))["metadata"].get(MARK))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def before_copying(assignment: str, student: str, notebooks: list[str]) -> None:
    """Make what was handed in safe to copy, before nbgrader does so (its `pre_convert_hook`).

    A link would be followed, and what it leads to copied into the feedback. A notebook under the name of a copy
    (`exNN_name (1).ipynb`) gets its own name, and so does the only one, whatever it is called, if it is one of ours.
    """
    del student
    for folder in {Path(path).parent for path in notebooks}:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                note = f"Here was a link to {printable(str(path.readlink()))}. Links are not followed.\n"
                path.unlink()
                path.with_name(f"{file_name(printable(path.name))}.link.txt").write_text(note, encoding="utf-8")
    for place, name in enumerate(notebooks):
        path = Path(name)
        right = path.with_name(f"{assignment}.ipynb")
        ours = _means(path, assignment) or (len(notebooks) == 1 and _is_ours(path))
        if ours and path != right and path.exists() and not right.exists():
            path.rename(right)
            notebooks[place] = str(right)


def _candidates(folder: Path, assignment: str) -> list[Path]:
    """The notebooks of a submission that `before_copying` can make the assignment's own."""
    found = sorted(path for path in folder.glob("*.ipynb") if path.is_file() and not path.is_symlink())
    return [path for path in found if _means(path, assignment) or (len(found) == 1 and _is_ours(path))]


def _means(path: Path, assignment: str) -> bool:
    meant = meaning(path.name)
    return path.stem == assignment or (meant is not None and meant.stem == assignment and meant.doubt < 2)


def _is_ours(path: Path) -> bool:
    """Return whether a notebook has our cells."""
    try:
        return any(name.startswith((CHECK, PREFIX)) for name in cells_by_name(path))
    except Unusable:
        return False
