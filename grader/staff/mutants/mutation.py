"""Mechanical mutants: every small change that a rule can make to a reference solution, one at a time.

They know nothing of what learners get wrong, and so find the holes that nobody thought of. A mutant that no check
rejects either gets a check, or is recorded as doing the same as the original, with a reason (`equivalent/` beside the
catalogue).
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grader.content.regions import SOLUTION, inside
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import read_toml
from grader.misconceptions.catalogue import FOLDER
from grader.probing.assembly import Source
from grader.probing.trees import parse

EQUIVALENT = FOLDER / "equivalent"

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Mult,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
NAMES = {
    "sum": "mean", "mean": "sum", "max": "min", "min": "max", "sin": "cos", "cos": "sin", "tril": "triu",
    "zeros": "ones", "zeros_like": "ones_like", "argmax": "argmin", "any": "all", "all": "any", "train": "eval",
    "eval": "train", "ceil": "floor", "tanh": "sigmoid",
}  # fmt: skip
# Whose arguments have no order.
SYMMETRIC = {"transpose", "swapaxes", "maximum", "minimum", "min", "max", "result_type"}


@dataclass(frozen=True)
class Mutation:
    """One change: the lines it touches, before and after, without their indentation."""

    source: Source
    line: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """Return where it is."""
        return f"{self.source.path.name}:{self.line}"


def mutations(reference: Source) -> Iterator[Mutation]:
    """Every mechanical mutant of the solution regions of a reference, in the order of its lines."""
    tree = parse(reference.text)
    asked, trivial = inside(reference.text, SOLUTION), _trivial(tree)
    found: dict[str, Mutation] = {}
    for node, changed in (*_changes(tree, in_message=False), *_mix_ups(tree)):
        if node.lineno in asked and changed not in trivial:
            mutation = _spliced(reference, node, changed)
            if mutation.source.text != reference.text and _compiles(mutation.source.text):
                found.setdefault(mutation.source.text, mutation)
    yield from sorted(found.values(), key=lambda mutation: mutation.line)


@dataclass(frozen=True)
class Equivalent:
    """A change that makes no difference that anybody could ask about, and why."""

    before: str
    after: str
    reason: str


def equivalents(entry: Entry, folder: Path = EQUIVALENT) -> tuple[Equivalent, ...]:
    """The changes to an exercise's reference that are recorded as equivalent.

    Raises:
        GraderError: the file is damaged.
    """
    path = folder / f"{entry.stem}.toml"
    try:
        tables = read_toml(path).get("equivalent", [])
        return tuple(
            Equivalent(table["before"], after, table["reason"])
            for table in tables
            for after in ([table["after"]] if isinstance(table["after"], str) else table["after"])
        )
    except FileNotFoundError:
        return ()
    except (KeyError, TypeError) as error:
        raise GraderError(f"{path} is damaged: {error}") from None


def _trivial(tree: ast.Module) -> set[ast.AST]:
    """Return what a call is made on where that alone is no change worth trying: `torch`, `self`, a statement's."""
    nodes = list(ast.walk(tree))
    names = {"self"}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    idle = {node for node in nodes if isinstance(node, ast.Name) and node.id in names}
    return idle | {
        node.value.func.value
        for node in nodes
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
    }


def _changes(node: ast.AST, in_message: bool) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST]]:
    """Every node that can be changed, with what to put in its place."""
    if isinstance(node, ast.stmt):
        yield from ((node, put) for put in _statements(node))
    if isinstance(node, ast.expr) and not in_message:
        yield from ((node, put) for put in _expressions(node))
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_comment"):
            continue
        message = in_message or isinstance(node, ast.JoinedStr | ast.Raise)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _changes(child, message)


def _statements(node: ast.stmt) -> Iterator[ast.stmt]:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Raise | ast.Expr | ast.Break | ast.Continue) and not is_text:
        yield ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None:
        yield ast.Return(ast.Constant(None))
    if isinstance(node, ast.AugAssign) and type(node.op) in OPERATORS:
        yield _with(node, op=OPERATORS[type(node.op)]())
    if isinstance(node, ast.If | ast.While):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.BinOp() if type(node.op) in OPERATORS:
            yield _with(node, op=OPERATORS[type(node.op)]())
        case ast.Compare():
            for index, op in enumerate(node.ops):
                for other in COMPARISONS.get(type(op), ()):
                    yield _with(node, ops=[*node.ops[:index], other(), *node.ops[index + 1 :]])
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield node.operand
        case ast.IfExp():
            yield _with(node, body=node.orelse, orelse=node.body)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
            if value > 0:
                yield ast.Constant(value - 1)
        case ast.Constant(value=float(value)):
            yield ast.Constant(value * 1.5 if value else 1.0)
        case ast.Attribute() if node.attr in NAMES:
            yield _with(node, attr=NAMES[node.attr])
        case ast.Name() if node.id in NAMES:
            yield ast.Name(NAMES[node.id])
        case ast.Call():
            for index in range(len(node.keywords)):
                yield _with(node, keywords=node.keywords[:index] + node.keywords[index + 1 :])
            if _called(node) not in SYMMETRIC:
                for index, (one, two) in enumerate(itertools.pairwise(node.args)):
                    if not isinstance(one, ast.Starred) and not isinstance(two, ast.Starred):
                        yield _with(node, args=[*node.args[:index], two, one, *node.args[index + 2 :]])
            if isinstance(node.func, ast.Attribute):  # x.clone() becomes x
                yield node.func.value


def _called(node: ast.Call) -> str:
    """The last name of what is called: "transpose" of `x.transpose(1, 2)`."""
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _mix_ups(tree: ast.Module) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Every use of one of several of a kind, with another in its place.

    Of a kind are arguments of a function with the same annotation (`query` and `key`), and attributes that a class
    makes by the same call (`self.norm1` and `self.norm2`).
    """
    spoken = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Raise) for part in ast.walk(node)}
    for scope in ast.walk(tree):
        kinds: dict[str, set[str]] = {}
        for node in ast.walk(scope) if isinstance(scope, ast.ClassDef) else ():
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                made = kinds.setdefault(ast.unparse(node.value.func), set())
                made |= {ast.unparse(target) for target in node.targets if isinstance(target, ast.Attribute)}
        if isinstance(scope, ast.FunctionDef):
            for argument in (*scope.args.args, *scope.args.kwonlyargs):
                if argument.annotation is not None:
                    kinds.setdefault(ast.unparse(argument.annotation), set()).add(argument.arg)
        for node in ast.walk(scope):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load) and node not in spoken:
                text = ast.unparse(node)
                others = {other for kind in kinds.values() if text in kind for other in kind} - {text}
                yield from ((node, ast.parse(other, mode="eval").body) for other in sorted(others))


def _with(node: ast.AST, **fields: object) -> Any:
    changed = deepcopy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _spliced(reference: Source, node: ast.expr | ast.stmt, changed: ast.AST) -> Mutation:
    """Put the changed node's text where the original's stands; positions in a syntax tree count bytes."""
    lines = reference.text.encode().splitlines(keepends=True)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head, tail = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    text = ast.unparse(ast.fix_missing_locations(changed))
    if isinstance(node, ast.If | ast.While):  # only the condition changes: leave the body's lines as they are
        assert isinstance(changed, ast.If | ast.While)
        return _spliced(reference, node.test, changed.test)
    if isinstance(node, ast.BinOp | ast.Compare | ast.BoolOp | ast.UnaryOp | ast.IfExp):
        text = f"({text})"
    put = head + text.encode() + tail
    after = b"".join([*lines[:first], put, *lines[last + 1 :]]).decode()
    before = b"".join(lines[first : last + 1]).decode()
    edited = replace(reference, text=after, origin="edited")
    return Mutation(edited, node.lineno, _flat(before), _flat(put.decode()))


def _flat(text: str) -> str:
    """Lines of code as one, without indentation and comments."""
    return " ".join(re.sub(r"  # .*", "", line).strip() for line in text.splitlines())


def _compiles(text: str) -> bool:
    try:
        compile(text, "<mutant>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True
