"""What an expression stands for: `F.gelu` is `torch.nn.functional.gelu` where F is the module of that name."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

Meaning = frozenset[str]  # the dotted names that a name may stand for; none for something of the author's own
OWN: Meaning = frozenset()

MANY = 200  # things that one name may stand for: alternatives that double with each line would fill the memory
LONG = 200  # characters: nothing that is off limits has a longer name

IMPORTERS = ("importlib.import_module", "importlib.__import__", "__import__", "builtins.__import__")
GETTERS = ("getattr", "builtins.getattr")


class TooMuch(Exception):
    """A name may stand for more than anybody could follow."""


class Scopes:
    """The scopes at one place of a source, from the module inwards, in which names get their meaning.

    A class's scope holds the name "" as well: a function inside does not see it.
    """

    def __init__(self) -> None:
        self.scopes: list[dict[str, Meaning]] = [{}]
        self.open_stars: list[str] = []  # modules of which all was imported: a name that is bound nowhere may be theirs

    def meaning(self, node: ast.expr) -> Meaning:
        """The dotted names that an expression stands for, as far as that can be told."""
        match node:
            case ast.Name():
                return self._of_name(node.id)
            case ast.Attribute():
                return self._attribute(self.meaning(node.value), node.attr)
            case ast.Subscript():
                return self._of_item(node)
            case ast.Call():
                return self._of_call(node)
            case ast.Tuple() | ast.List() | ast.Set():
                return OWN.union(*(self.meaning(item) for item in node.elts))
            case ast.IfExp():
                return self.meaning(node.body) | self.meaning(node.orelse)
            case ast.BoolOp():
                return OWN.union(*(self.meaning(value) for value in node.values))
            case ast.NamedExpr():
                return self.meaning(node.value)
            case ast.Starred():
                return self.meaning(node.value)
        return OWN

    def _of_name(self, name: str) -> Meaning:
        for depth, scope in enumerate(reversed(self.scopes)):
            if name in scope and not (depth and "" in scope):
                return scope[name]
        return OWN if hasattr(builtins, name) else frozenset(f"{module}.{name}" for module in self.open_stars)

    @staticmethod
    def _attribute(base: Meaning, name: str) -> Meaning:
        if len(base) > MANY:
            raise TooMuch
        return frozenset(each if len(each) > LONG else f"{each}.{name}" for each in base)

    def _of_item(self, node: ast.Subscript) -> Meaning:
        key = text_of(node.slice)
        if key is None:
            return OWN
        if isinstance(node.value, ast.Attribute) and node.value.attr == "__dict__":
            return self._attribute(self.meaning(node.value.value), key)
        if isinstance(node.value, ast.Call) and self._name_of(node.value.func) == "vars" and node.value.args:
            return self._attribute(self.meaning(node.value.args[0]), key)
        return frozenset({key}) if self.meaning(node.value) == {"sys.modules"} else OWN

    def _of_call(self, node: ast.Call) -> Meaning:
        function, texts = self._name_of(node.func), [text_of(argument) for argument in node.args]
        if function in GETTERS and len(texts) > 1 and texts[1] is not None:
            return self._attribute(self.meaning(node.args[0]), texts[1])
        if function in IMPORTERS and texts and texts[0]:
            whole = "import_module" in function or len(texts) > 3 or any(k.arg == "fromlist" for k in node.keywords)
            if texts[0].startswith("."):
                return frozenset({f".{texts[0].lstrip('.')}"})
            return frozenset({texts[0] if whole else texts[0].partition(".")[0]})
        if isinstance(node.func, ast.Call) and self._name_of(node.func.func) == "operator.attrgetter" and node.args:
            paths = [text_of(argument) for argument in node.func.args]
            return OWN.union(*(self._attribute(self.meaning(node.args[0]), path) for path in paths if path))
        return OWN

    def _name_of(self, function: ast.expr) -> str:
        meaning = self.meaning(function)
        if not meaning and isinstance(function, ast.Name):
            return function.id
        return min(meaning, default="")


def text_of(node: ast.expr) -> str | None:
    """The text that an expression is, if it is put together from constants alone."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.BinOp(op=ast.Add()):
            left, right = text_of(node.left), text_of(node.right)
            return None if left is None or right is None else left + right
        case ast.JoinedStr():
            parts = [text_of(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values]
            return None if None in parts else "".join(filter(None, parts))
        case ast.Call(func=ast.Attribute(attr="join"), args=[ast.List() | ast.Tuple() as listed]):
            glue, parts = text_of(node.func.value), [text_of(item) for item in listed.elts]  # type: ignore[attr-defined]
            return None if glue is None or None in parts or len(glue) > LONG else glue.join(filter(None, parts))
    return None


def chain(name: str) -> Iterator[str]:
    """A dotted name and what it stands in: `a.b.c`, `a.b`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]
