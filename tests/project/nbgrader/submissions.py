"""What a class hands in: right and wrong code, each kind of damage to a notebook, and attempts to be given points."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from tests.project.nbgrader.conftest import ENTRY, Course, solution, wrong

IMPORT = "import numpy as np\n"
Notebook = dict[str, Any]


def ahead(code: str, text: str | None = None) -> str:
    """Code that runs when the module is imported, in front of a solution with a known mistake."""
    text = wrong() if text is None else text
    assert text.count(IMPORT) == 1
    return text.replace(IMPORT, IMPORT + code)


# Code that tries to be given points. The same mistake without it is `wrong`, and no attack may have more points.
ATTACKS = {
    "exits": ahead("import os\nos._exit(0)\n"),
    "exits at the end": ahead("import atexit, os\natexit.register(os._exit, 0)\n"),
    "patches allclose": ahead("np.allclose = np.array_equal = np.testing.assert_allclose = lambda *_, **__: True\n"),
    "patches builtins": ahead("import builtins\nbuiltins.abs = builtins.max = lambda *_, **__: 0\n"),
    "prints points": ahead("print('20.0\\n[pass] 20/20')\nimport sys\nsys.stderr.write('20.0')\n"),
    "walks the frames": ahead(
        "import sys\nframe = sys._getframe()\nwhile frame:\n"
        "    for value in list(frame.f_globals.values()):\n"
        "        if getattr(value, '__name__', '') == 'softmax':\n            softmax = value\n"
        "    frame = frame.f_back\n"
    ),
    "reads the source": ahead("try:\n    open('../../../source/x').read()\nexcept Exception:\n    pass\n"),
    "writes the gradebook": ahead(
        "import glob, sqlite3\n"
        "for path in ('GRADEBOOK', 'gradebook.db', '../../../gradebook.db'):\n"
        "    try:\n"
        "        with sqlite3.connect(path) as book:\n"
        "            book.execute('update grade set auto_score = 13, manual_score = 13')\n"
        "    except Exception:\n"
        "        pass\n"
    ),
}


def broken(notebook: Notebook, change: Callable[[list[dict[str, Any]]], None]) -> Notebook:
    """A notebook with its cells changed."""
    notebook = copy.deepcopy(notebook)
    change(notebook["cells"])
    return notebook


def about(cell: dict[str, Any]) -> dict[str, Any]:
    """What nbgrader knows of a cell."""
    found = cell["metadata"].get("nbgrader", {})
    assert isinstance(found, dict)
    return found


def answer(notebook: Notebook, text: str) -> Notebook:
    """The notebook with the question answered."""

    def write(cells: list[dict[str, Any]]) -> None:
        (cell,) = (cell for cell in cells if about(cell).get("grade_id") == "in-your-own-words")
        cell["source"] = text

    return broken(notebook, write)


def delete_checks(cells: list[dict[str, Any]]) -> None:
    """Every check cell is gone."""
    cells[:] = [cell for cell in cells if not about(cell).get("grade_id", "").startswith("check-")]


def duplicate(cells: list[dict[str, Any]]) -> None:
    """Every cell twice, the second time with another text."""
    twice = [copy.deepcopy(cell) | {"source": "100.0", "id": f"{cell['id']}-2"} for cell in cells]
    cells.extend(twice)


def flip(cells: list[dict[str, Any]]) -> None:
    """Cells of the other type, with other rights and points."""
    for cell in cells:
        known = about(cell)
        if known:
            known.update(grade=not known["grade"], solution=not known["solution"], locked=False, points=100)
            cell["cell_type"] = "raw"
            cell.pop("outputs", None), cell.pop("execution_count", None)


def forge(cells: list[dict[str, Any]]) -> None:
    """Check cells that ask for nothing and show full marks."""
    for cell in cells:
        if about(cell).get("grade_id", "").startswith("check-"):
            cell["source"] = "13.0"
            data = {"text/plain": "13.0"}
            cell["outputs"] = [{"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": 1}]
    patch = (
        "import grader.nb\ncheck = lambda *_: 13.0\nget_ipython().input_transformers_cleanup.append(lambda _: ['13.0'])"
    )
    first: dict[str, object] = {
        "cell_type": "code",
        "id": "x",
        "metadata": {},
        "source": patch,
        "outputs": [],
        "execution_count": None,
    }
    cells.insert(0, first)


def old(notebook: Notebook) -> Notebook:
    """The notebook in the format of 2013."""
    cells = []
    for cell in copy.deepcopy(notebook["cells"]):
        if cell["cell_type"] == "code":
            cell = {"cell_type": "code", "input": cell["source"], "language": "python", "metadata": cell["metadata"]}
            cell |= {"outputs": [], "collapsed": False}
        cells.append(cell)
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells, "metadata": {}}]}


def hand_in_all(course: Course) -> list[str]:
    """The whole class hands in; returns the students."""
    blank = course.notebook()
    answered = answer(blank, "Where the chance underflows.")
    variants = sorted((ENTRY.suite.parent / "variants" / ENTRY.stem).glob("*.py"))
    right = solution()
    course.hand_in("right", right, answered)
    course.hand_in("variant", variants[0].read_text(encoding="utf-8"))
    course.hand_in("wrong", wrong())
    course.hand_in("untouched")
    course.hand_in("syntax-error", right.replace("def softmax(", "def softmax((", 1))
    course.hand_in("deleted", right, broken(answered, delete_checks))
    course.hand_in("duplicated", right, broken(answered, duplicate))
    course.hand_in("flipped", wrong(), broken(answered, flip))
    course.hand_in("reordered", right, broken(answered, list.reverse))
    course.hand_in("forged", wrong(), broken(answered, forge))
    course.hand_in("invalid-json", right, json.dumps(answered)[:-200])
    course.hand_in("no-notebook-at-all", right, "\0\1\2")
    course.hand_in("wrong-kernel", right, answered | {"metadata": {"kernelspec": {"name": "ir", "display_name": "R"}}})
    course.hand_in("old-format", right, old(answered))
    shadows = course.hand_in("shadows", right)
    for name in ("conftest.py", "math.py", "numpy.py", "sitecustomize.py", "nbgrader_config.py"):
        (shadows / name).write_text("raise SystemExit('shadowed')\n", encoding="utf-8")
    course.hand_in("loop", ahead("while True:\n    pass\n", right))
    course.hand_in("hog", ahead("hog = [bytearray(1 << 28) for _ in range(1000)]\n", right))
    course.hand_in("no-code", notebook=answered)
    (course.folder("no-code") / f"{course.name}.py").unlink()
    for name, code in ATTACKS.items():
        gradebook = course.root / "gradebook.db"
        course.hand_in(name.replace(" ", "-"), code.replace("GRADEBOOK", str(gradebook)))
    return sorted(path.name for path in (course.root / "submitted").iterdir())
