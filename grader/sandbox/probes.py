"""Cuts one probe out of a test file: what a sandbox gets to see of the suite is what it has to run at that moment."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from grader.content.suite import checks_of
from grader.probing.trees import parse


@cache
def probe_source(suite: Path, name: str) -> str:
    """The text of one probe, with the imports, helpers and constants of its file that it uses.

    Left out are all other probes, every `explain`, and the probe's own decorator (which says what is expected). Lines
    keep their numbers.
    """
    text = suite.read_text(encoding="utf-8")
    statements = parse(text).body
    checks = {info.name for info in checks_of(suite)}
    parts: dict[str, list[ast.stmt]] = {}
    for node in statements:
        if not _is_about(checks, node):
            for bound in _bound_names(node):
                parts.setdefault(bound, []).append(node)
    (probe,) = (node for node in statements if isinstance(node, ast.FunctionDef) and node.name == name)
    probe.decorator_list.clear()
    parts[name] = [probe]
    needed = [node for node in statements if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    source = text.splitlines()
    kept = [""] * len(source)
    for node in needed + _reachable(name, parts):
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        kept[first - 1 : node.end_lineno] = source[first - 1 : node.end_lineno]
    return "\n".join(kept) + "\n"


def _reachable(name: str, parts: dict[str, list[ast.stmt]]) -> list[ast.stmt]:
    """The statements that make a name what it is and, in turn, all names that these mention."""
    waiting, seen = [name], {name}
    found: list[ast.stmt] = []
    while waiting:
        for node in parts[waiting.pop()]:
            if node not in found:
                found.append(node)
                mentioned = _names(node) & parts.keys()
                waiting += sorted(mentioned - seen)
                seen |= mentioned
    return found


def _names(*nodes: ast.AST) -> set[str]:
    return {inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _bound_names(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a file has a part in: those that it defines, or may change."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return []
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return sorted(_names(*node.targets))
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return sorted(_names(node))


def _is_about(checks: set[str], node: ast.stmt) -> bool:
    """Return whether a statement is a check, its `explain`, or does something with checks: no affair of a probe's."""
    if isinstance(node, ast.FunctionDef):
        return node.name in checks or bool(_names(*node.decorator_list) & checks)
    return not isinstance(node, ast.ClassDef) and bool(_names(node) & checks)
