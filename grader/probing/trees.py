"""Python's own parser, for one thread at a time."""

from __future__ import annotations

import ast
import threading

_ALONE = threading.Lock()


def parse(text: str) -> ast.Module:
    """Return the tree of a module's text, as `ast.parse` does.

    In CPython 3.11 and 3.12, threads that make trees at the same time count the depth of each other's, and one of them
    now and then fails ("SystemError: AST constructor recursion depth mismatch").

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `ast.parse` does.
    """
    with _ALONE:
        return ast.parse(text)
