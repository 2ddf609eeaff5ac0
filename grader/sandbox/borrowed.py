"""What is borrowed from the reference travels into the sandbox compiled: no text, no docstrings, no lines."""

from __future__ import annotations

import ast
import base64
import marshal
from functools import cache

from grader.probing.trees import parse

FILE = "<borrowed>"


@cache
def compiled(text: str) -> str:
    """A source as code that can be run and not read, in letters (`marshal`, for the same interpreter)."""
    tree = parse(text)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:  # type: ignore[arg-type]
            del node.body[0]  # type: ignore[attr-defined]
            if not node.body:  # type: ignore[attr-defined]
                node.body.append(ast.Pass(lineno=1, col_offset=0))  # type: ignore[attr-defined]
        if hasattr(node, "lineno"):
            node.lineno = node.end_lineno = 1  # type: ignore[attr-defined]
            node.col_offset = node.end_col_offset = 0  # type: ignore[attr-defined]
    return base64.b64encode(marshal.dumps(compile(tree, FILE, "exec", dont_inherit=True))).decode("ascii")
