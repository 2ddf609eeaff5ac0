"""Static rules: what an exercise forbids, found in the syntax tree wherever it is used under any name.

Names are followed through imports, aliases, assignments and `getattr` with a constant; comments, strings and the
learner's own functions and classes of the same name are left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

DEPTH_LIMIT = 150
TOO_DEEP = f"something is nested more than {DEPTH_LIMIT} deep. Take it apart: name the pieces and put them together."


@dataclass(frozen=True)
class Violation:
    """A forbidden name, spelt out in full, and the line that uses it."""

    line: int
    name: str


class TooDeep(ValueError):
    """A source is nested too deeply to be read: nothing that a person writes is."""


def violations(text: str, forbids: Sequence[str]) -> list[Violation]:
    """The forbidden names that a source uses, by line. One that doesn't parse has none: importing it tells more.

    Raises:
        TooDeep: an expression or a block stands inside of too many others to be looked at.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    except (RecursionError, MemoryError):
        raise TooDeep(TOO_DEEP) from None
    _measure(tree)
    visitor = _Uses()
    for statement in tree.body:  # so that a function sees imports that stand below it
        if isinstance(statement, ast.Import | ast.ImportFrom):
            visitor.visit(statement)
    visitor.visit(tree)
    found = {Violation(line, name) for line, name in visitor.uses if _forbidden(name, forbids)}
    return sorted(found, key=lambda violation: (violation.line, len(violation.name)))


def _measure(tree: ast.AST) -> None:
    """Go through a tree level by level, which no tree is too deep for."""
    level = [tree]
    for _ in range(DEPTH_LIMIT):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise TooDeep(TOO_DEEP)


def _forbidden(name: str, forbids: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in forbids)


class _Uses(ast.NodeVisitor):
    """Collects every dotted name that leads back to an import: `F.gelu` becomes `torch.nn.functional.gelu`."""

    def __init__(self) -> None:
        self.uses: list[tuple[int, str]] = []
        self.scopes: list[dict[str, str | None]] = [{}]  # name -> what it stands for; None for something of their own
        self.stars: list[str] = []

    # What binds a name.

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.uses.append((node.lineno, alias.name))
            if alias.asname:
                self.scopes[-1][alias.asname] = alias.name
            else:
                top = alias.name.partition(".")[0]
                self.scopes[-1][top] = top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or node.module is None:
            return
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(node.module)
                continue
            full = f"{node.module}.{alias.name}"
            self.uses.append((node.lineno, full))
            self.scopes[-1][alias.asname or alias.name] = full

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def _bind(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            self.scopes[-1][target.id] = self._resolve(value) if value is not None else None
        elif isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            for index, inner in enumerate(target.elts):
                matched = values[index] if len(values) == len(target.elts) else None
                self._bind(inner, matched)
        else:
            self.visit(target)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.scopes[-1][node.name] = None
        for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(part)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [extra for extra in (node.args.vararg, node.args.kwarg) if extra is not None]
        for annotation in (*(argument.annotation for argument in arguments), node.returns):
            if annotation is not None:
                self.visit(annotation)
        self._inner(node.body, [argument.arg for argument in arguments])

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        self._inner([node.body], names)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scopes[-1][node.name] = None
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        self._inner(node.body, [])

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        values = node.iter.elts if isinstance(node.iter, ast.Tuple | ast.List) else [None]
        self._bind(node.target, values[0])
        for part in (*node.body, *node.orelse):
            self.visit(part)

    def _inner(self, body: Sequence[ast.AST], names: Sequence[str]) -> None:
        self.scopes.append(dict.fromkeys(names))
        for part in body:
            self.visit(part)
        self.scopes.pop()

    # What uses one.

    def visit_Name(self, node: ast.Name) -> None:
        self._use(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if self._use(node) is None:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._use(node)
        self.generic_visit(node)

    def _use(self, node: ast.expr) -> str | None:
        names = list(self._candidates(node))
        self.uses += [(node.lineno, name) for name in names]
        return names[0] if names else None

    def _candidates(self, node: ast.expr) -> Iterator[str]:
        name = self._resolve(node)
        if name is not None:
            yield name
        elif isinstance(node, ast.Name) and not any(node.id in scope for scope in self.scopes):
            yield from (f"{module}.{node.id}" for module in self.stars)

    def _resolve(self, node: ast.expr) -> str | None:
        """The full dotted name that an expression stands for, as far as that can be told."""
        if isinstance(node, ast.Name):
            for scope in reversed(self.scopes):
                if node.id in scope:
                    return scope[node.id]
            return None
        if isinstance(node, ast.Attribute):
            base = self._resolve(node.value)
            return None if base is None else f"{base}.{node.attr}"
        if isinstance(node, ast.Call):
            return self._resolve_call(node)
        return None

    def _resolve_call(self, node: ast.Call) -> str | None:
        constants = [a.value if isinstance(a, ast.Constant) and isinstance(a.value, str) else None for a in node.args]
        function = self._resolve(node.func)
        if function is None and isinstance(node.func, ast.Name):
            function = node.func.id
        if function in ("getattr", "builtins.getattr") and len(constants) > 1 and constants[1] is not None:
            base = self._resolve(node.args[0])
            return None if base is None else f"{base}.{constants[1]}"
        if function in ("importlib.import_module", "__import__") and constants and constants[0] is not None:
            return constants[0] if function != "__import__" else constants[0].partition(".")[0]
        return None
