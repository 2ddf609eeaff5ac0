"""Patterns: pieces of Python with gaps in them, found in what somebody has written."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from grader.probing.trees import parse

KNOWN = {  # what a pattern may call by its short name, and what that is
    "np": "numpy",
    "torch": "torch",
    "nn": "torch.nn",
    "F": "torch.nn.functional",
    "math": "math",
    "Counter": "collections.Counter",
    "pairwise": "itertools.pairwise",
    "Variable": "torch.autograd.Variable",
}
SKIPPED = {"ctx", "kind", "type_comment", "returns"}
DEFINITION = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Above = tuple[ast.AST, ...]  # the nodes that one stands in, from the outermost
Bound = dict[str, str]  # what each gap stands for, as code


class Found(NamedTuple):
    """A place where a pattern fits."""

    line: int
    text: str  # the code that it fits, or the line if that is longer
    bound: Bound


class Code:
    """A file, with what can be known of it without running it: what is imported, and which names are plain numbers."""

    def __init__(self, text: str, given: str = "") -> None:
        """Read a file.

        Args:
            text: its text.
            given: what was there before anybody wrote in it; nothing is found in that.

        Raises:
            SyntaxError: it is not Python.
        """
        self._text = text
        self.tree = parse(text)
        self._given = {ast.dump(node) for node in _pieces_of(parse(given))}
        self._imports = _imports(self.tree)
        self._modules: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef) and any(self._is_module_base(base) for base in node.bases):
                self._modules.add(node.name)
        self._parts: dict[type[ast.AST], list[tuple[ast.AST, Above]]] = {}
        for node, above in self._written(self.tree):
            self._parts.setdefault(type(node), []).append((node, above))
        self._values = {
            id(inner): values for piece in self.tree.body for values in [_values(piece)] for inner in ast.walk(piece)
        }

    def parts(self, kind: type[ast.AST]) -> Sequence[tuple[ast.AST, Above]]:
        """Each node of a kind that its author wrote, with those it stands in."""
        return self._parts.get(kind, [])

    def _written(self, node: ast.AST, above: Above = ()) -> Iterator[tuple[ast.AST, Above]]:
        """Each node that was not given; what is only there to try it out is left alone."""
        for child in ast.iter_child_nodes(node):
            can_be_given = isinstance(child, ast.stmt | ast.arguments) or isinstance(node, DEFINITION)
            if can_be_given and ast.dump(child) in self._given:
                continue
            if isinstance(child, ast.If) and "__name__" in ast.unparse(child.test):
                continue
            yield child, (*above, node)
            yield from self._written(child, (*above, node))

    def place(self, node: ast.AST) -> tuple[int, str]:
        """Return the line to name for a node, and the code to show: an expression by itself, of all else the line."""
        match node:
            case ast.Try(finalbody=[told, *_]) | ast.Try(handlers=[told, *_]) | ast.comprehension(target=told):
                line = told.lineno
            case _:
                line = getattr(node, "lineno", 1)
        alone = ast.get_source_segment(self._text, node) if isinstance(node, ast.expr) else None
        return line, alone if alone and "\n" not in alone else self._text.splitlines()[line - 1].strip()

    def dotted(self, node: ast.AST) -> str:
        """Return the full name of what was imported: `torch.nn.functional.softmax` for `F.softmax`; "" of all else."""
        return _dotted(node, self._imports)

    def is_number(self, node: ast.AST, asked: frozenset[str] = frozenset()) -> bool:
        """Return whether an expression is certainly a plain number of Python's, and no array."""
        match node:
            case ast.Constant(value=value):
                return type(value) in (int, float)
            case ast.UnaryOp(operand=inner):
                return self.is_number(inner, asked)
            case ast.BinOp(left=left, right=right):
                return self.is_number(left, asked) and self.is_number(right, asked)
            case ast.Subscript(value=ast.Attribute(attr="shape"), slice=index):
                return self.is_number(index, asked)
            case ast.Call(func=ast.Attribute(attr="size"), args=[_]):
                return True
            case ast.Call(func=ast.Attribute(attr="numel" | "dim"), args=[]):
                return True
            case ast.Call(func=ast.Name(id="len" | "int" | "float")):
                return True
            case ast.Call(func=called):
                return self.dotted(called).startswith("math.")
            case ast.Name() | ast.Attribute():
                name = ast.unparse(node)
                if self.dotted(node).startswith("math."):
                    return True
                values = self._values.get(id(node), {}).get(name, [])
                return (
                    bool(values)
                    and name not in asked
                    and all(
                        each is True or (each is not False and self.is_number(each, asked | {name})) for each in values
                    )
                )
        return False

    def is_module(self, node: ast.AST) -> bool:
        """Return whether an expression is certainly a class of layers: one of PyTorch's, or one of the file's own."""
        dotted = self.dotted(node)
        name = dotted.removeprefix("torch.nn.")
        return (name != dotted and name[:1].isupper() and name != "Parameter") or (
            isinstance(node, ast.Name) and node.id in self._modules
        )

    def _is_module_base(self, base: ast.expr) -> bool:
        return self.dotted(base) == "torch.nn.Module" or (isinstance(base, ast.Name) and base.id in self._modules)


class Pattern:
    """A piece of Python with gaps.

    One capital letter stands for any expression or name, and the same letter for the same code; N stands for a plain
    number, and for no array. `...` among arguments stands for any further ones, as a body for any statements. A loop
    with such a body is found in comprehensions, too.
    """

    def __init__(self, text: str, kinds: Mapping[str, str]) -> None:
        """Read a pattern.

        Args:
            text: the code.
            kinds: what a letter may stand for: a `number`, a `name` (or a part of one), a `part`, a `mask`
                (by its name), a `module` (a class of layers).

        Raises:
            SyntaxError: it is not Python.
        """
        self.text = text
        self.body = parse(text).body
        self.kinds = {"N": "number", **kinds}
        first = self.body[0]
        root = first.value if isinstance(first, ast.Expr) else first
        self._roots: list[type[ast.AST]] = [type(root)]
        if isinstance(root, ast.For) and _is_gap(root.body):
            self._roots.append(ast.comprehension)
        if isinstance(root, ast.Assign):
            self._roots.append(ast.AnnAssign)

    def find(self, code: Code) -> Iterator[tuple[Found, ast.AST, tuple[ast.AST, ...]]]:
        """Each place where it fits, with the node and those around it."""
        for node, above in itertools.chain.from_iterable(map(code.parts, self._roots)):
            bound = self.fits(code, node, above[-1], {})
            if bound is not None:
                line, text = code.place(node)
                yield Found(line, text, bound), node, above

    def holds(self, code: Code, node: ast.AST, bound: Bound) -> bool:
        """Return whether it fits somewhere inside a node, with the gaps filled as they are."""
        return (
            any(
                self.fits(code, child, parent, bound) is not None
                for parent in ast.walk(node)
                for child in ast.iter_child_nodes(parent)
            )
            or self.fits(code, node, node, bound) is not None
        )

    def fits(self, code: Code, node: ast.AST, parent: ast.AST, bound: Bound) -> Bound | None:
        """Return how the gaps are filled if it fits a node (or several statements, from this one on); else None."""
        found = dict(bound)
        first = self.body[0]
        if isinstance(first, ast.Expr):
            done = isinstance(node, ast.expr) and self._same(first.value, node, code, found)
        elif isinstance(node, ast.comprehension) and isinstance(first, ast.For):
            done = (
                _is_gap(first.body)
                and self._same(first.target, node.target, code, found)
                and self._same(first.iter, node.iter, code, found)
            )
        elif isinstance(node, ast.stmt):
            done = self._same_all(self.body, _from(node, parent, len(self.body)), code, found)
        else:
            done = isinstance(node, type(first)) and self._same(first, node, code, found)
        return found if done else None

    def _same(self, mine: object, theirs: object, code: Code, bound: Bound) -> bool:
        """Return whether a part of the pattern fits a part of the code; fills gaps on the way."""
        if isinstance(mine, ast.expr):
            if not isinstance(theirs, ast.expr):
                return False
            dotted = _dotted(mine, KNOWN)
            if dotted and not _is_letter(dotted.rpartition(".")[2]):
                return dotted == code.dotted(theirs)
            if isinstance(mine, ast.Name) and _is_letter(mine.id):
                return self._fill(mine.id, theirs, code, bound)
        if isinstance(mine, str):
            return isinstance(theirs, str) and (
                bound.setdefault(mine, theirs) == theirs if _is_letter(mine) else mine == theirs
            )
        if isinstance(mine, list):
            return isinstance(theirs, list) and self._same_all(mine, theirs, code, bound)
        if isinstance(mine, ast.Call) and isinstance(theirs, ast.Call):
            return self._same(mine.func, theirs.func, code, bound) and self._same_arguments(mine, theirs, code, bound)
        if isinstance(mine, ast.Assign) and isinstance(theirs, ast.AnnAssign) and theirs.value is not None:
            return self._same(mine.targets, [theirs.target], code, bound) and self._same(
                mine.value, theirs.value, code, bound
            )
        if isinstance(mine, ast.AST):
            return type(mine) is type(theirs) and all(
                self._same(value, getattr(theirs, field), code, bound)
                for field, value in ast.iter_fields(mine)
                if field not in SKIPPED and not (field == "orelse" and _is_gap(getattr(mine, "body", None)))
            )
        return type(mine) is type(theirs) and mine == theirs

    def _same_all(
        self, mine: list[object] | list[ast.stmt], theirs: list[object] | list[ast.stmt], code: Code, bound: Bound
    ) -> bool:
        if _is_gap(mine):
            return True
        return len(mine) == len(theirs) and all(
            self._same(one, other, code, bound) for one, other in zip(mine, theirs, strict=True)
        )

    def _same_arguments(self, mine: ast.Call, theirs: ast.Call, code: Code, bound: Bound) -> bool:
        """Return whether arguments fit: keywords in any order, and after `...` any others."""
        asked, more = mine.args, False
        if asked and _is_dots(asked[-1]):
            asked, more = asked[:-1], True
        named = {each.arg: each.value for each in theirs.keywords}
        if len(theirs.args) < len(asked) or any(isinstance(each, ast.Starred) for each in theirs.args[: len(asked)]):
            return False
        if not more and (len(theirs.args) != len(asked) or len(named) != len(mine.keywords)):
            return False
        return all(self._same(one, other, code, bound) for one, other in zip(asked, theirs.args, strict=False)) and all(
            each.arg in named and self._same(each.value, named[each.arg], code, bound) for each in mine.keywords
        )

    def _fill(self, letter: str, node: ast.expr, code: Code, bound: Bound) -> bool:
        text = ast.unparse(node)
        if letter in bound:
            return bound[letter] == text
        match self.kinds.get(letter):
            case "number":
                fits = code.is_number(node)
            case "name":
                fits = isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
            case "part":
                fits = isinstance(node, ast.Attribute | ast.Subscript)
            case "mask":
                fits = "mask" in text.lower()
            case "module":
                fits = code.is_module(node)
            case _:
                fits = True
        if fits:
            bound[letter] = text
        return fits


def _is_letter(text: str) -> bool:
    return len(text) == 1 and text.isupper() and text not in KNOWN


def _is_dots(node: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _is_gap(body: object) -> bool:
    """Return whether a body of the pattern's is nothing but `...`."""
    return isinstance(body, list) and len(body) == 1 and isinstance(body[0], ast.Expr) and _is_dots(body[0].value)


def _from(node: ast.stmt, parent: ast.AST, many: int) -> list[ast.stmt]:
    """A statement and those that follow it in the same block, so many in all, or fewer."""
    for _, value in ast.iter_fields(parent):
        if isinstance(value, list) and any(each is node for each in value):
            place = next(place for place, each in enumerate(value) if each is node)
            return value[place : place + many]
    return [node]


def _dotted(node: ast.AST, imports: Mapping[str, str]) -> str:
    if isinstance(node, ast.Name):
        return imports.get(node.id, "")
    if isinstance(node, ast.Attribute):
        front = _dotted(node.value, imports)
        return f"{front}.{node.attr}" if front else ""
    return ""


def _imports(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name is, where nothing else in the file bears that name."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                found |= (
                    {each.asname: each.name}
                    if each.asname
                    else {each.name.partition(".")[0]: each.name.partition(".")[0]}
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.pop(node.id, None)
        elif isinstance(node, ast.arg):
            found.pop(node.arg, None)
    return found


def _pieces_of(tree: ast.Module) -> Iterator[ast.AST]:
    """All of a file that can be told to be given: whole statements, and what stands in the head of a definition."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.arguments):
            yield node
        if isinstance(node, DEFINITION):
            yield from node.decorator_list


Value = ast.expr | bool  # what a name is set to: an expression, True for a plain number, False for who knows what


def _values(piece: ast.stmt) -> dict[str, list[Value]]:
    """All that each name and attribute of a top-level definition is ever set to."""
    found: dict[str, list[Value]] = {}

    def note(target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            parts = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts) else None
            for place, each in enumerate(target.elts):
                note(each, parts[place] if parts is not None else _is_shape(value))
        else:
            found.setdefault(ast.unparse(target), []).append(value)

    for node in ast.walk(piece):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    note(target, value)
            case ast.AnnAssign(target=target, value=value) if value is not None:
                note(target, value)
            case ast.AugAssign(target=target, value=value):
                note(target, value)
            case ast.NamedExpr(target=target, value=value):
                note(target, value)
            case ast.For(target=target, iter=over) | ast.comprehension(target=target, iter=over):
                counts = isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "range"
                note(target, counts and isinstance(target, ast.Name))
            case ast.withitem(optional_vars=ast.expr() as target):
                note(target, False)
            case ast.arg(arg=name, annotation=kind):
                found.setdefault(name, []).append(kind is not None and ast.unparse(kind) in ("int", "float"))
    return found


def _is_shape(value: Value) -> bool:
    """Return whether what is taken apart is a shape, so that each part is a number."""
    match value:
        case ast.Attribute(attr="shape") | ast.Call(func=ast.Attribute(attr="size"), args=[]):
            return True
        case ast.Subscript(value=ast.Attribute(attr="shape"), slice=ast.Slice()):
            return True
    return False
