"""Which function of the exercise a part of an observation comes from, read from the probe; none, if several may."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from grader.checks import Check
from grader.probing.trees import parse

ALL = ""  # of an observation without entries, or whose entries have no names in the probe

Origins = Mapping[str, frozenset[str]]  # the names that an entry is computed with; "?" stands for any


def origin(check: Check, asked: Collection[str], path: str | None) -> str:
    """Return the one name of the exercise that a part of a check's observation is computed with, or "".

    Args:
        check: the check.
        asked: the names that are to be written; what else there is in an exercise is given, and right.
        path: the part, as a comparison calls it; None for what the check's `explain` looks at.
    """
    found = origins(check.probe)
    if path is None:
        keys = concerned(check.explanation) if check.explanation is not None else None
        names = frozenset().union(*(found.get(key, found[ALL]) for key in (found if keys is None else keys)))
    else:
        names = found.get(path.partition(".")[0].partition("[")[0], found[ALL])
    names &= {*asked, "?"}
    return next(iter(names)) if len(names) == 1 and "?" not in names else ""


@cache
def origins(probe: Callable[..., Any]) -> Origins:
    """Return, for each entry of what a probe returns, the names of the exercise that it is computed with."""
    function = _definition(probe)
    if function is None:
        return {ALL: frozenset(["?"])}
    arguments = [argument.arg for argument in function.args.args]
    flow = _Flow(arguments[0])
    for _ in range(3):  # what a loop carries over, and functions that stand below
        for statement in function.body:
            flow.visit(statement)
    return {ALL: frozenset().union(*flow.returned.values())} | {key: frozenset(v) for key, v in flow.returned.items()}


@cache
def gradients(probe: Callable[..., Any]) -> Mapping[str, str]:
    """Return what the gradients are that a probe returns, in words, by their paths in its observation.

    `*` stands for whatever name there is, where the probe does not say which.
    """
    function = _definition(probe)
    found: dict[str, str] = {}
    for node in ast.walk(function) if function is not None else ():
        match node:
            case ast.Return(ast.Call() as call):
                found |= {each: f"the gradient of `{each}`" for each in _differentiated(call)}
            case ast.Return(ast.Dict(keys, values)):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        which = "" if "gradient" in key.value else f"{key.value}: "
                        names = _differentiated(value)
                        found |= {f"{key.value}.{each}": f"{which}the gradient of `{each}`" for each in names}
    return found


def _differentiated(call: ast.AST) -> list[str]:
    """The names with respect to which `gradients(output, {name: input}, rng)` is called; none for another call.

    `*` where these stand elsewhere.
    """
    match call:
        case ast.Call(ast.Name("gradients"), [_, ast.Dict(keys), *_]):
            return [str(key.value) for key in keys if isinstance(key, ast.Constant)]
        case ast.Call(ast.Name("gradients"), [_, _, *_]):
            return ["*"]
    return []


def concerned(explanation: Callable[..., Any]) -> frozenset[str] | None:
    """Return the entries that an `explain` looks at in either observation; None if it uses one of them as a whole."""
    function = _definition(explanation)
    if function is None:
        return None
    observed = {argument.arg for argument in function.args.args[:2]}
    entries, uses = set(), 0
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in observed:
            uses += 1
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in observed:
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if isinstance(key, str):
                entries.add(key)
                uses -= 1
    return frozenset(entries) if uses == 0 else None


def _definition(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """The definition of a function; None of one that is none, such as a lambda."""
    try:
        tree = parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    return tree if isinstance(tree, ast.FunctionDef) else None


class _Flow(ast.NodeVisitor):
    """Follows names through the statements of a probe; whatever may depend on something depends on it."""

    def __init__(self, exercise: str) -> None:
        self.exercise = exercise
        self.known: dict[str, set[str]] = {}
        self.returned: dict[str, set[str]] = {}

    def names(self, *nodes: ast.AST | None) -> set[str]:
        """The names of the exercise that expressions are computed with."""
        found: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == self.exercise:
                found.add(node.attr if node.attr != "of" else "?")
            elif isinstance(node, ast.Name):
                found |= {"?"} if node.id == self.exercise else self.known.get(node.id, set())
            elif node is not None:
                found |= self.names(*ast.iter_child_nodes(node))
        return found

    def _bind(self, target: ast.AST, names: set[str]) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self.known.setdefault(node.id, set()).update(names)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._bind(target, self.names(node.value))
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._bind(node.target, self.names(node.value))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._bind(node.target, self.names(node.value))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._bind(node.target, self.names(node.value))

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, self.names(node.iter))
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            if item.optional_vars is not None:
                self._bind(item.optional_vars, self.names(item.context_expr))
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._bind(ast.Name(node.name), self.names(*node.body))

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value
        if isinstance(call, ast.Call):  # nobody wants its result: it changes what it is called on, or given
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            if isinstance(call.func, ast.Attribute):
                self._bind(call.func.value, self.names(*given))
            for each in given:
                if isinstance(each, ast.Name):
                    self._bind(each, self.names(call.func))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr[:1].isupper():  # an object keeps what it is made of
            for each in node.args:
                if isinstance(each, ast.Name):
                    self._bind(each, self.names(node.func))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if isinstance(node.value, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.value.keys):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                assert isinstance(key, ast.Constant)
                self.returned.setdefault(str(key.value), set()).update(self.names(value))
        else:
            self.returned.setdefault(ALL, set()).update(self.names(node.value))
