"""What a source defines, read from its text: where, with which parameters, and whether it returns anything."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from grader.probing.trees import parse

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef

REFUSED = re.compile(r"([\w.]+)\(\) (?:takes|got|missing)\b")  # how Python says that a call does not fit


class Misfit(NamedTuple):
    """A function or a class that can't be called as it should: what its parameters are, and what the stub's are."""

    name: str
    takes: str
    asked: str

    def __str__(self) -> str:
        takes = self.takes or "nothing"
        return f"`{self.name}` can't be called as the stub says: it takes {takes}; the stub has {self.asked}."


def misfit(error: str, text: str, stub: str) -> Misfit | None:
    """Return what does not fit, if an error is one of calling a function of `text` that has other parameters in `stub`.

    Args:
        error: the message of a TypeError that was raised by the call itself.
        text: the source.
        stub: the source as it was handed out.
    """
    refused = REFUSED.match(error)
    if refused is None:
        return None
    takes, asked = parameters(text, refused[1]), parameters(stub, refused[1])
    if takes is None or asked is None or takes == asked:
        return None
    return Misfit(refused[1].removesuffix(".__init__"), takes, asked)


def parameters(text: str, name: str) -> str | None:
    """Return the parameters of a function or a method ("LayerNorm.__init__") as they are written, without annotations.

    None if there is no such definition. `self` is left out.
    """
    found = _find(text, name)
    if not isinstance(found, Function):
        return None
    for argument in ast.walk(found.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    if "." in name:
        del (found.args.posonlyargs or found.args.args)[:1]
    return ast.unparse(found.args)


def returns_nothing(text: str, name: str) -> bool:
    """Return whether a function or a method has no `return` with a value, and is no generator."""
    found = _find(text, name)
    inner = _own(found) if isinstance(found, Function) else iter(())
    return isinstance(found, Function) and not any(
        isinstance(node, ast.Yield | ast.YieldFrom) or (isinstance(node, ast.Return) and node.value is not None)
        for node in inner
    )


def defined_at(text: str, name: str) -> int:
    """Return the line on which a source defines a function, a class or a method ("LayerNorm.forward").

    Of a method that is inherited, it is the line of the class; 0 if there is none of these.
    """
    found = _find(text, name) or _find(text, name.partition(".")[0])
    return 0 if found is None else found.lineno


def around(text: str, line: int) -> str:
    """Return the name of the function or the method that a line stands in, "" for one outside of all."""
    names: list[str] = []
    body = parse(text).body
    while len(names) < 2 and (inside := _at(body, line)) is not None:
        names.append(inside.name)
        body = inside.body if isinstance(inside, ast.ClassDef) else []
    return ".".join(names)


def _at(body: list[ast.stmt], line: int) -> Definition | None:
    return next((n for n in body if isinstance(n, Definition) and n.lineno <= line <= (n.end_lineno or 0)), None)


def _find(text: str, name: str) -> Definition | None:
    """The definition that counts: the last one of the name."""
    body, found = parse(text).body, None
    for part in name.split("."):
        found = next((n for n in reversed(body) if isinstance(n, Definition) and n.name == part), None)
        if found is None:
            return None
        body = found.body
    return found


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands in a function, without what stands in functions inside of it."""
    for inner in ast.iter_child_nodes(node):
        if not isinstance(inner, Definition | ast.Lambda):
            yield inner
            yield from _own(inner)
