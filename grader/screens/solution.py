"""The reference's solution, shown to a learner who has earned it, beside the learner's own."""

from __future__ import annotations

import ast
import difflib
from typing import NamedTuple

from rich.syntax import Syntax

from grader.content import outline as bare
from grader.content.regions import SOLUTION, without_markers
from grader.content.stubs import FOLDER
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT, shown
from grader.grading import Grading
from grader.probing.assembly import Source
from grader.probing.trees import parse
from grader.progress import History
from grader.screens.console import Printer

STYLES = {"+": "green", "-": "red", "@": "cyan"}


def text(entry: Entry) -> str:
    """The whole file of the reference, lesson included, without the markers of regions.

    Raises:
        GraderError: this copy of the project holds no solutions.
    """
    try:
        return without_markers(Source.read(entry.solution, "reference").text, SOLUTION)
    except OSError:
        raise GraderError(f"This copy of the project holds no solutions ({shown(str(entry.solution))}).") from None


def reference(entry: Entry) -> dict[str, str]:
    """The code of every name that a learner writes, without docstrings.

    Raises:
        GraderError: this copy of the project holds no solutions.
    """
    whole = bare.pieces(text(entry))
    return {name: whole[name] for name in bare.asked(Source.read(entry.solution, "reference").text)}


class Style(NamedTuple):
    """How another right solution goes about it, and what that is good for: the two paragraphs of its docstring."""

    says: str
    good_for: str


def others(entry: Entry) -> dict[str, Style]:
    """Other right solutions that this copy of the project has, by their names."""
    found = {}
    for path in sorted((ROOT / "tests" / "variants" / entry.stem).glob("*.py")):
        docstring = ast.get_docstring(parse(Source.read(path, "reference").text)) or ""
        says, _, good_for = docstring.partition("\n\n")
        found[path.stem] = Style(" ".join(says.split()), " ".join(good_for.split()))
    return found


def other(entry: Entry, name: str) -> dict[str, str]:
    """The code of every name that a learner writes, as another right solution has it.

    Raises:
        GraderError: there is no solution of that name.
    """
    known = others(entry)
    if name not in known:
        has = f"It has {', '.join(known)}." if known else "This copy of the project holds none."
        raise GraderError(f"{entry.label} has no other solution called {name!r}. {has}")
    path = ROOT / "tests" / "variants" / entry.stem / f"{name}.py"
    whole = bare.pieces(Source.read(path, "reference").text)
    return {each: whole[each] for each in reference(entry) if each in whole}


def show_others(entry: Entry, plain: bool = False) -> None:
    """Print which other right solutions there are, and how to see one."""
    out, known = Printer(plain), others(entry)
    if known:
        out.line("Other right solutions, each in a style of its own:", style="bold")
        for name, style in known.items():
            out.line(f"  {name}", style="cyan")
            out.block(f"{style.says}\n{style.good_for}", 4)
        first, number = next(iter(known)), entry.label[2:]
        out.show(out.labelled("One of them beside yours:", f'make solution EX={number} ARGS="--diff --like {first}"'))


def learner(entry: Entry) -> dict[str, str]:
    """The code of every top-level name that the learner's file defines, without docstrings.

    Raises:
        GraderError: the file is missing or is not Python.
    """
    path = shown(str(entry.stub))
    try:
        return bare.pieces(Source.read(entry.stub, "learner").text)
    except OSError as error:
        raise GraderError(f"Can't read {path}: {error.strerror or error}.") from None
    except SyntaxError as error:
        raise GraderError(f"{path}:{error.lineno} is not valid Python ({error.msg}): it can't be compared.") from None


def earned(entry: Entry) -> bool:
    """Return whether the learner has passed the exercise at some time, passes it now, or has given up on it."""
    for event in History().events():
        if event.ex == entry.stem and (event.what == "gave_up" or event.data.get("status") == "pass"):
            return True
    try:
        with Grading(FOLDER) as grading:
            return grading.passes(entry)
    except GraderError:
        return False


def show(code: str, plain: bool = False) -> None:
    """Print code, in colour where there is some."""
    out = Printer(plain)
    if out.console.is_terminal and not out.console.no_color and out.console.color_system is not None:
        coloured = Syntax(code, "python", theme="ansi_dark", background_color="default").highlight(code)
        for line in coloured.split("\n", allow_blank=True)[: code.count("\n") + 1]:
            out.line(line)
    else:
        out.line(code)


def show_difference(
    name: str, mine: str | None, theirs: str, plain: bool = False, whose: str = "the reference"
) -> None:
    """Print how the learner's code of one name and another differ: - is yours, + is the other."""
    out = Printer(plain)
    if mine is None:
        out.line(f"{name}: your file does not define it. {whose.capitalize()} has:\n")
        show(theirs + "\n", plain)
    elif ast.dump(parse(mine)) == ast.dump(parse(theirs)):
        out.line(f"{name}: yours and {whose} are the same code.\n")
    else:
        out.line(f"{name}: lines with - are yours, lines with + are from {whose}.", style="bold")
        for line in list(difflib.unified_diff(mine.splitlines(), theirs.splitlines(), n=3, lineterm=""))[2:]:
            out.show(out.marked(line[:1], line[1:], STYLES.get(line[:1], "")))
        out.line()
