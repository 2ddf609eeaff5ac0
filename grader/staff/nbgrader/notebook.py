"""Building the notebook of an exercise: its lesson, its cells of code or the file beside it, its checks, a question.

The same cells come out on every build, with nbgrader's `grade_id` as the id of each cell that has one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, Literal

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grader.content.stubs import generated
from grader.nb.cells import pieces
from grader.nb.content import HIDDEN, Content, Group, links
from grader.nb.prose import sections
from grader.probing.trees import parse

Style = Literal["files", "cells"]
SETUP, CHECK, QUESTION = "setup", "check-", "in-your-own-words"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def notebook(content: Content, style: Style) -> str:
    """The notebook of an exercise, as the text of its file."""
    cells = [*_lesson(content), *(_cells(content) if style == "cells" else _file(content)), *_checks(content)]
    if content.experiment is not None:
        words = "\n\n".join(filter(None, (content.experiment.text, content.experiment.vary)))
        cells += [_text("experiment", f"## See for yourself\n\n{words}")]
        cells += [_code("experiment-code", content.experiment.code)]
    cells += [*_question(content), _text("end", _end(style))]
    book = new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})
    nbformat.validate(book)
    text: str = nbformat.writes(book)
    return f"{text}\n"


def _lesson(content: Content) -> Iterator[Any]:
    docstring = ast.get_docstring(parse(generated(content.entry))) or content.entry.title
    for number, section in enumerate(sections(docstring, content.formulas, links())):
        heading = "##" if number else "#"
        yield _text(f"lesson-{number}", f"{heading} {section.title}\n\n{section.markdown}".rstrip())


def _file(content: Content) -> Iterator[Any]:
    name = content.entry.stub.name
    yield _text(
        "where",
        f"## Where to write\n\nYour code goes into [{name}]({name}), the file beside this notebook: open it in an "
        "editor (a double click in JupyterLab's file browser), fill in what says *Your code here*, and save. The cells "
        "below check what is saved; there is no need to restart anything.",
    )
    yield _setup(f'from grader.nb import begin\n\ncheck = begin("{content.entry.stem}")')


def _cells(content: Content) -> Iterator[Any]:
    yield _text(
        "where",
        "## Where to write\n\nFill in the cells that say *Your code here*, and run each after a change. What you need "
        "besides (a helper, an import) goes into the same cell: other cells are not handed in.",
    )
    yield _setup(f'from grader.nb import begin\n\ncheck = begin("{content.entry.stem}", cells=True)')
    for number, piece in enumerate(pieces(content.entry)):
        if piece.kind == "asked":
            yield _code(piece.grade_id, piece.text.strip("\n"), solution=True)
        elif piece.kind == "given" and piece.text.strip():
            yield _code(f"given-{number}", piece.text.strip("\n"), locked=True)


def _checks(content: Content) -> Iterator[Any]:
    yield _text("checks", "## Checks")
    for group in content.groups:
        yield _text(f"about-{group.id}", _about(group))
        yield _code(f"{CHECK}{group.id}", f'check("{group.id}")', grade=True, locked=True, points=group.points)


def _about(group: Group) -> str:
    points = f"{group.points} point{'' if group.points == 1 else 's'}"
    if group.id == HIDDEN:
        return (
            f"**{group.title}** ({points}). They run when your work is graded: they look at the corners of what the "
            "docstrings promise, so read those again."
        )
    return "\n".join([f"**{group.title}** ({points})", "", *(f"- {check.says}" for check in group.checks)])


def _question(content: Content) -> Iterator[Any]:
    question = content.question
    if question is not None:
        points = f"{question.points} point{'' if question.points == 1 else 's'}"
        yield _text("question", f"## In your own words ({points})\n\n{question.text}")
        about = {"grade": True, "solution": True, "locked": False, "points": question.points}
        yield _marked(new_markdown_cell("YOUR ANSWER HERE"), QUESTION, about)


def _end(style: Style) -> str:
    saved = "Save this notebook" if style == "cells" else "Save the file and this notebook"
    again = "You may submit again until the deadline: the last one counts."
    return f"## Hand in\n\n{saved}, then submit the assignment. {again}"


def _text(id: str, source: str) -> Any:
    cell = new_markdown_cell(source)
    cell.id = id
    return cell


def _setup(source: str) -> Any:
    return _code(SETUP, source, locked=True)


def _code(id: str, source: str, **about: Any) -> Any:
    cell = new_code_cell(source)
    if not about:
        cell.id = id
        return cell
    return _marked(cell, id, {"grade": False, "solution": False, "locked": False} | about)


def _marked(cell: Any, id: str, about: dict[str, Any]) -> Any:
    """A cell that nbgrader knows."""
    cell.id = id
    cell.metadata["nbgrader"] = {"schema_version": 3, "grade_id": id, "task": False} | about
    return cell
