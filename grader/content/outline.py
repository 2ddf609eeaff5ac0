"""A source without its lesson: the code alone, to be compared, or the signatures alone, to be filled in from memory."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence

from grader.content.regions import SOLUTION, Region, is_marker, regions
from grader.probing.trees import parse

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
PLACEHOLDER = 'raise NotImplementedError("from memory")'
KEPT = ("Attributes", "Raises")  # sections that are a part of the contract: nobody can guess them


def code(text: str) -> str:
    """The code of a source: no docstrings, no markers of regions.

    Raises:
        SyntaxError: the source is not Python.
    """
    lines: list[str | None] = list(text.splitlines())
    for node in _documented(parse(text)):
        first = node.body[0]
        indent = " " * first.col_offset
        _replace(lines, first.lineno, first.end_lineno, [f"{indent}..."] if len(node.body) == 1 else [])
    kept = (line for line in lines if line is not None)
    return _tidy("\n".join(line for line in kept if not is_marker(line, SOLUTION)))


def pieces(text: str) -> dict[str, str]:
    """The code of each top-level function and class of a source, by name.

    Raises:
        SyntaxError: the source is not Python.
    """
    bare = code(text)
    lines = bare.splitlines()
    found = {}
    for node in parse(bare).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = "\n".join(lines[start - 1 : node.end_lineno])
    return found


def asked(text: str) -> list[str]:
    """The top-level names of a solution that a learner writes: those with a region in them."""
    marked = regions(text, SOLUTION)
    return [
        node.name
        for node in parse(text).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and _regions_of(node, marked)
    ]


def signatures(text: str, title: str) -> str:
    """Return what a closed-book exercise starts from: imports, signatures, types, and a line on what each name is for.

    Args:
        text: a solution with its regions.
        title: the first line of the module's docstring.
    """
    lines: list[str | None] = list(text.splitlines())
    source = text.splitlines()
    marked = regions(text, SOLUTION)
    tree = parse(text)
    for node in _documented(tree):
        if isinstance(node, ast.Module):
            continue
        first = node.body[0]
        _replace(lines, first.lineno, first.end_lineno, _contract(ast.get_docstring(node) or "", first.col_offset))
    for function in ast.walk(tree):
        within = _regions_of(function, marked) if isinstance(function, ast.FunctionDef) else []
        if isinstance(function, ast.FunctionDef) and within:
            body = function.body[1:] if ast.get_docstring(function) is not None else function.body
            start = function.body[0].end_lineno if body is not function.body else _signature_end(function, source)
            assert start is not None
            indent = " " * (function.col_offset + 4)
            last = max(function.end_lineno or 0, within[-1].end)
            _replace(lines, start + 1, last, [indent + PLACEHOLDER])
    for region in marked:
        if not region.indent:  # helpers of the reference's own
            _replace(lines, region.begin, region.end, [])
    if ast.get_docstring(tree) is not None:
        _replace(lines, tree.body[0].lineno, tree.body[0].end_lineno, [f'"""{title}"""'])
    return _tidy("\n".join(line for line in lines if line is not None))


def _documented(tree: ast.Module) -> Iterator[Documented]:
    for node in ast.walk(tree):
        if isinstance(node, Documented) and ast.get_docstring(node) is not None:
            yield node


def _replace(lines: list[str | None], start: int, end: int | None, put: list[str]) -> None:
    """Put new text in the place of the lines start..end (from 1), without moving any other line."""
    assert end is not None
    lines[start - 1 : end] = [None] * (end - start + 1)
    if put:
        lines[start - 1] = "\n".join(put)


def _regions_of(node: ast.stmt, marked: Sequence[Region]) -> list[Region]:
    """The regions inside of a definition; the marker that closes the last one may stand below its last statement."""
    return [region for region in marked if region.indent and node.lineno < region.begin <= (node.end_lineno or 0)]


def _signature_end(function: ast.FunctionDef, source: list[str]) -> int:
    line = function.lineno
    while not re.search(r":\s*(#.*)?$", source[line - 1]) or source[line - 1].rstrip().endswith((",", "(")):
        line += 1
    return line


def _contract(docstring: str, indent: int) -> list[str]:
    """A docstring cut down to its first paragraph, and as comments what can't be guessed."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    head = " ".join(paragraphs[0].split())
    margin = " " * indent
    first, *more = textwrap.wrap(head, 100 - indent - 6)
    lines = [f'{margin}"""{first}', *(margin + line for line in more)]
    if more:
        lines.append(f'{margin}"""')
    else:
        lines[0] += '"""'
    for section in paragraphs[1:]:
        title, _, rest = section.partition("\n")
        if title.rstrip(":") in KEPT and title.endswith(":"):
            text = f"{title} {' '.join(textwrap.dedent(rest).split())}"
            lines += textwrap.wrap(
                text, 100 - indent, initial_indent=f"{margin}# ", subsequent_indent=f"{margin}#     "
            )
    return lines


def _tidy(text: str) -> str:
    """No more than two blank lines in a row, none after a signature, one line end at the end."""
    text = re.sub(r"\n{4,}", "\n\n\n", text)
    text = re.sub(r"(:\n)\n+(?=[ \t]+\S)", r"\1", text)
    return text.strip("\n") + "\n"
