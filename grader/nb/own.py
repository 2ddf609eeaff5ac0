"""Notebooks of one's own: the lesson, the checks and the experiment live, without anything to hand in."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grader.content.stubs import FOLDER as STUBS
from grader.content.stubs import generated
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT, write_atomically
from grader.nb.content import HIDDEN, Content, Group, content, links
from grader.nb.prose import sections
from grader.probing.trees import parse

FOLDER = ROOT / "notebooks"


def write(entry: Entry, folder: Path = FOLDER) -> tuple[Path, bool]:
    """Write the notebook of an exercise, unless there is one: that may hold somebody's work.

    Returns:
        Where it is, and whether it was written now.

    Raises:
        GraderError: it can't be written.
    """
    path = folder / f"{entry.stem}.ipynb"
    if path.exists():
        return path, False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GraderError(f"Can't make the folder {folder}: {error.strerror or error}.") from None
    write_atomically(path, notebook(content(entry), Path(os.path.relpath(STUBS, folder)).as_posix()))
    return path, True


def notebook(about: Content, stubs: str) -> str:
    """The notebook of an exercise, as the text of its file.

    Args:
        about: what it holds besides the lesson.
        stubs: the way from its folder to the one with the learner's files.
    """
    document = {
        "cells": list(_cells(about, stubs)),
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _cells(about: Content, stubs: str) -> Iterator[dict[str, Any]]:
    entry = about.entry
    lesson = ast.get_docstring(parse(generated(entry))) or entry.title
    for number, section in enumerate(sections(lesson, about.formulas, links())):
        yield _text(f"lesson-{number}", f"{'##' if number else '#'} {section.title}\n\n{section.markdown}".rstrip())
    name = entry.stub.name
    yield _text(
        "where",
        f"## Where to write\n\nYour code goes into [{name}]({stubs}/{name}): open it in an editor, fill in what says "
        "*Your code here*, and save. The cells below use what is saved; there is no need to restart anything.",
    )
    yield _code("setup", f'from grader.nb import begin\n\ncheck = begin("{entry.stem}", folder="{stubs}")')
    yield _text("checks", "## Checks")
    for group in about.groups:
        if group.checks:
            yield _text(f"about-{group.id}", _about(entry, group))
            yield _code(f"check-{group.id}", f'check("{group.id}");')  # ";": the report has the points already
    if about.experiment is not None:
        words = "\n\n".join(filter(None, (about.experiment.text, about.experiment.vary)))
        yield _text("experiment", f"## See for yourself\n\n{words}")
        yield _code("experiment-code", about.experiment.code)
    if about.question is not None:
        yield _text("question", f"## In your own words\n\n{about.question.text}")
        yield _text("answer", "*Your answer:*")


def _about(entry: Entry, group: Group) -> str:
    if group.id == HIDDEN:
        return (
            f"**{group.title}**: they look at the corners of what the docstrings promise. This cell has their points; "
            f"`make test EX={entry.label[2:]}` says which of them fails, and why."
        )
    return "\n".join([f"**{group.title}**", "", *(f"- {check.says}" for check in group.checks)])


def _text(id: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": source}


def _code(id: str, source: str) -> dict[str, Any]:
    return {
        "cell_type": "code", "execution_count": None, "id": id, "metadata": {}, "outputs": [], "source": source,
    }  # fmt: skip
