"""The module that a notebook holds the code of: what the exercise's names need, without what merely tries them out.

A notebook is worked in, not imported: it shows and plots, times and asks for help, and some of its cells fail. None of
that is handed in. What is kept of the code are the definitions of the names that the stub has, and everything at the
top level that these are built on.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from grader.content.stubs import generated
from grader.content.syllabus import Entry
from grader.nb.cells import PREFIX, pieces, rebuilt
from grader.nb.commands import plain
from grader.nb.reading import NoNotebook, cells, named
from grader.probing.trees import parse
from grader.written import FILE_LIMIT

NO_CODE = "this notebook holds no code of the exercise"
STATEMENTS = 5000  # at the top level; who has more has written no notebook
LOOKS_EXPORTED = re.compile(r"^# (?:In ?\[|%%)|get_ipython\(\)", re.MULTILINE)


@dataclass(frozen=True)
class Module:
    """The code of a notebook as a module, and what was odd about it."""

    text: str
    notes: tuple[str, ...] = ()


def module_of(entry: Entry, text: str) -> Module:
    """The code that a notebook holds for an exercise.

    Raises:
        NoNotebook: it is none, or it is one whose code is asked for in a file beside it.
    """
    found = cells(text)
    sources = named(found)
    if any(name.startswith(PREFIX) for name in sources):
        return Module(with_answers(entry, answers(entry, sources)))
    code = [cell.source for cell in found if cell.is_code]
    if any(name.startswith("check-") for name in sources) and not _any_defines(code, _asked(entry)):
        raise NoNotebook(f"{NO_CODE}: that is asked for in {entry.stub.name}")
    if not any(source.strip() for source in code):
        raise NoNotebook(NO_CODE)
    if sum(map(len, code)) > FILE_LIMIT:
        raise NoNotebook(f"it holds more than {FILE_LIMIT >> 20} MiB of code")
    return _joined(entry, code)


def module_of_script(entry: Entry, text: str) -> Module:
    """A source as it is; of a notebook that was exported, or one with commands, what a notebook would give."""
    _, commands = plain(text)
    if not commands and not LOOKS_EXPORTED.search(text):
        return Module(text)
    return _joined(entry, [text])


def answers(entry: Entry, sources: Mapping[str, str]) -> dict[str, str]:
    """Return what stands in the cells of a course's notebook, by the name of the cell, as Python with as many lines."""
    asked = [piece.grade_id for piece in pieces(entry) if piece.kind == "asked"]
    return {name: plain(sources[name])[0] for name in asked if name in sources}


def with_answers(entry: Entry, written: Mapping[str, str]) -> str:
    """The stub with answers in their places, line by line, and without what the exercise does not need of them."""
    text = rebuilt(entry, written)
    return text if text == generated(entry) else _needed(text, _names(entry))


def _joined(entry: Entry, sources: Sequence[str]) -> Module:
    kept, broken, notes = [], [], []
    commands = False
    for number, source in enumerate(sources, start=1):
        text, left_out = plain(source)
        commands |= left_out
        try:
            parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            broken.append((number, text))
        else:
            kept.append(text)
    missing = {name for name in _asked(entry) if not _any_defines(kept, {name})}
    for number, text in broken:
        if _any_defines([text], missing):
            kept.append(text)  # the exercise itself is broken: that is what has to be told
        else:
            notes.append(f"code cell {number} is not Python that runs: it was left out")
    if commands:
        notes.insert(0, "notebook commands (%..., !..., ?) were left out")
    missing = {name for name in missing if not _any_defines(kept, {name})}
    meant = {name for text in kept for name in _defined(text) if get_close_matches(name, missing, 1)}
    names = _names(entry) | meant  # under a name that is almost that of the stub: the judge tells of it
    return Module(_needed("\n\n".join(kept) + "\n", names), tuple(notes))


def _defined(text: str) -> set[str]:
    """The functions and classes that a text defines, if it is Python."""
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _any_defines(texts: Iterable[str], names: Iterable[str]) -> bool:
    """Return whether any of the texts defines one of the names, as far as that shows without parsing it."""
    pattern = "|".join(map(re.escape, names))
    return bool(pattern) and any(
        re.search(rf"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+(?:{pattern})\b", text, re.MULTILINE) for text in texts
    )


@cache
def _names(entry: Entry) -> frozenset[str]:
    """Every name that the stub has at its top level."""
    return frozenset(name for node in parse(generated(entry)).body for name in _scope(node).binds)


@cache
def _asked(entry: Entry) -> frozenset[str]:
    return frozenset(piece.name for piece in pieces(entry) if piece.kind == "asked")


# ---- what is needed --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scope:
    """The names that a statement at the top level binds, changes and uses."""

    binds: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()  # the objects that names stand for
    calls_on: frozenset[str] = frozenset()  # objects of which a method is called
    uses: frozenset[str] = frozenset()
    star: bool = False


def _needed(text: str, names: Iterable[str]) -> str:
    """A module without the statements that the names do not need; it has as many lines as before."""
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    if len(tree.body) > STATEMENTS:
        return text
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    body = [node for node in tree.body if node not in futures]
    scopes = {id(node): _scope(node) for node in body}
    data = {name for node in body if isinstance(node, ast.Assign | ast.AnnAssign) for name in scopes[id(node)].binds}
    wanted, kept = set(names), {id(body[0])} if ast.get_docstring(tree) is not None and not futures else set()
    kept |= {id(node) for node in body if scopes[id(node)].star}
    grown = True
    while grown:
        grown = False
        for node in body:
            scope = scopes[id(node)]
            if id(node) not in kept and wanted & (scope.binds | scope.changes | scope.calls_on & data):
                kept.add(id(node))
                wanted |= scope.uses
                grown = True
    lines = _without(text, tree, kept)
    features = sorted({alias.name for node in futures for alias in node.names})
    return _with_futures(lines, features)


def _without(text: str, tree: ast.Module, kept: set[int]) -> list[str]:
    """The lines, with those of statements that are not kept empty."""
    lines = text.split("\n")
    groups: list[list[ast.stmt]] = []
    for node in tree.body:
        if groups and _begin(node) <= (groups[-1][-1].end_lineno or 0):
            groups[-1].append(node)
        else:
            groups.append([node])
    for group in groups:
        stay = [node for node in group if id(node) in kept]
        if len(stay) == len(group):
            continue
        begin, end = _begin(group[0]), group[-1].end_lineno or group[-1].lineno
        lines[begin - 1 : end] = [""] * (end - begin + 1)
        lines[begin - 1] = "; ".join(ast.unparse(node).replace("\n", " ") for node in stay)
    return lines


def _begin(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _with_futures(lines: list[str], features: Sequence[str]) -> str:
    """The lines with `from __future__ import` in front, on the first line that is empty before any code."""
    if not features:
        return "\n".join(lines)
    line = f"from __future__ import {', '.join(features)}"
    first = next((place for place, each in enumerate(lines) if each.strip() and not each.startswith("#")), len(lines))
    empty = next((place for place, each in enumerate(lines[:first]) if not each.strip()), None)
    if empty is not None:
        return "\n".join([*lines[:empty], line, *lines[empty + 1 :]])
    if lines[first : first + 1] and re.match(r"[rRuU]?(\"\"\"|'''|\"|')|import |from ", lines[first]):
        return "\n".join([*lines[:first], f"{line}; {lines[first]}", *lines[first + 1 :]])
    return "\n".join([*lines[:first], line, *lines[first:]])


def _scope(node: ast.stmt) -> _Scope:
    """Return what a statement binds, changes and uses; nothing where Python itself can't tell."""
    try:
        table = symtable.symtable(ast.unparse(node), "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Scope()
    symbols = table.get_symbols()
    binds = {each.get_name() for each in symbols if each.is_assigned() or each.is_imported() or each.is_namespace()}
    uses = {each.get_name() for each in symbols if each.is_referenced()}
    inner = table.get_children()
    while inner:
        child = inner.pop()
        uses |= {each.get_name() for each in child.get_symbols() if each.is_global() and each.is_referenced()}
        inner += child.get_children()
    star = isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    changes, calls_on = _changed(node)
    return _Scope(frozenset(binds), changes, calls_on, frozenset(uses), star)


def _changed(node: ast.stmt) -> tuple[frozenset[str], frozenset[str]]:
    """The names of what a statement changes (`Layer.forward = f`), and of what it calls methods of."""
    changes, calls_on = set(), set()
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset(), frozenset()
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute | ast.Subscript) and isinstance(each.ctx, ast.Store | ast.Del):
            changes.add(_root(each))
        elif isinstance(each, ast.Call):
            if isinstance(each.func, ast.Attribute):
                calls_on.add(_root(each.func))
            elif isinstance(each.func, ast.Name) and each.func.id == "setattr" and each.args:
                changes.add(_root(each.args[0]))
    return frozenset(changes - {""}), frozenset(calls_on - {""})


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
