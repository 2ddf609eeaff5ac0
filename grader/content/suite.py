"""The list of checks in a test file, read from its syntax tree: no test file is imported to count points."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from grader.content.edition import part
from grader.content.regions import HIDDEN, inside
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.probing.trees import parse

DEFAULT_LIMIT = 20.0


@dataclass(frozen=True)
class CheckInfo:
    """The facts about a check that are known before it runs."""

    name: str
    says: str
    points: int
    limit: float
    hidden: bool
    after: str | None

    @property
    def slow(self) -> bool:
        """Whether the check is allowed more than the usual time: it trains something."""
        return self.limit > DEFAULT_LIMIT


@cache
def checks_of(path: Path) -> tuple[CheckInfo, ...]:
    """The checks of a test file, in order.

    Raises:
        GraderError: the file is missing, or a `@check` is not written in literals.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = parse(text)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise GraderError(f"{path}: {error}") from None
    hidden = inside(text, HIDDEN)
    found = []
    for node in tree.body:
        call = _check_call(node)
        if call is not None:
            assert isinstance(node, ast.FunctionDef)
            found.append(_info(path, node, call, node.lineno in hidden))
    if not found:
        raise GraderError(f"{path} holds no checks")
    return tuple(found)


@cache
def asked_of(path: Path) -> frozenset[str]:
    """The names that the probes of a test file take from an exercise."""
    return frozenset(re.findall(r"\bex\.([A-Za-z_]\w*)", path.read_text(encoding="utf-8")))


@cache
def exercises_used(path: Path) -> frozenset[str]:
    """The other exercises that a test file takes something from: `ex.of("ex13_gpt")`."""
    return frozenset(re.findall(r"""\.of\(["'](\w+)["']\)""", path.read_text(encoding="utf-8")))


def withheld(entry: Entry) -> int:
    """Return how many hidden checks of an exercise this copy does not hold, by the release's own count."""
    released = part(entry.stem)
    return 0 if released is None else released.hidden


def _check_call(node: ast.stmt) -> ast.Call | None:
    if not isinstance(node, ast.FunctionDef):
        return None
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "check":
            return decorator
    return None


def _info(path: Path, node: ast.FunctionDef, call: ast.Call, hidden: bool) -> CheckInfo:
    options: dict[str, Any] = {}
    after = None
    try:
        (says,) = (ast.literal_eval(argument) for argument in call.args)
        for keyword in call.keywords:
            if keyword.arg == "after" and isinstance(keyword.value, ast.Name):
                after = keyword.value.id
            elif keyword.arg in ("points", "limit"):
                options[keyword.arg] = ast.literal_eval(keyword.value)
    except ValueError:
        raise GraderError(f"{path}:{call.lineno}: @check needs one sentence and literal options") from None
    return CheckInfo(node.name, says, options.get("points", 1), options.get("limit", DEFAULT_LIMIT), hidden, after)
