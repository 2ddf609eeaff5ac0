"""What the names of a source stand for, as Python binds them: `F.gelu` is `torch.nn.functional.gelu`.

Names are followed through imports, aliases, assignments, and `getattr` with a text that can be told; later bindings
win, and a function sees what its module has bound in the end. Comments, strings and what somebody has written himself
under the same name are left alone.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from grader.judging.rules.meanings import OWN, Meaning, Scopes, text_of

SCRIPT = "only where the file is run by itself"
QUESTION = "only to ask whether something is one"
NOTE = "only in an annotation"
UNUSED = "and nothing uses it"

QUESTIONS = ("isinstance", "issubclass")
ALIAS = "alias "  # with its name; an assignment is a use, unless one only ever asks with it whether something is one
FOLDER = "exercises"


@dataclass(frozen=True)
class Use:
    """A dotted name that a source mentions: on which line, and, if that has no effect, how (see SCRIPT and so on)."""

    line: int
    name: str
    idle: str = ""


class Module:
    """The names of one source: those that it mentions, and what they stand for once it has been imported.

    `uses` are the mentions, `imports` the stems of its neighbours that it imports, in its order, `lines` where its
    names for other people's things are bound. A neighbour's name has a dot in front: `.ex13_gpt.GPT`.
    """

    def __init__(
        self,
        tree: ast.Module,
        stems: Iterable[str] = (),
        public: Iterable[str] = (),
        stars: Callable[[str], Meaning] = lambda _: OWN,
    ) -> None:
        """
        Args:
            tree: the source.
            stems: its neighbours.
            public: the names in it that somebody else may use.
            stars: the dotted names that `from MODULE import *` is known to bring along.
        """
        self.stems = frozenset(stems)
        self.public = frozenset(public)
        self.stars = stars
        self.imports: dict[str, None] = {}
        self.lines: dict[str, int] = {}
        self.uses: list[Use] = []
        reader = _Reader(self)
        reader.run(tree)
        self.names: Mapping[str, Meaning] = reader.scopes[0]

    def neighbour(self, name: str) -> str | None:
        """The stem of the neighbour that an absolute import means: `ex05_attention`, `exercises.ex05_attention`."""
        parts = name.split(".")
        stem = parts[1] if parts[0] == FOLDER and len(parts) > 1 else parts[0]
        return stem if stem in self.stems and not (stem == parts[0] and _installed(stem)) else None


class _Reader(Scopes):
    """Goes through a source in the order in which Python runs it; functions come after all that is around them."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module
        self.later: list[tuple[list[dict[str, Meaning]], str, str, Callable[[], None]]] = []
        self.idle = ""
        self.function = ""  # the function at the top of the file that is being read
        self.mentions: list[tuple[str, Use]] = []  # with the function that they stand in
        self.loads: dict[str, list[str]] = {}  # of names for other people's things: how idle
        self.calls: list[tuple[str, str, str]] = []  # of functions at the top: in which one, how idle, which one

    def run(self, tree: ast.Module) -> None:
        self.body(tree.body)
        while self.later:
            self.scopes, self.function, self.idle, read = self.later.pop(0)
            read()
        top = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        scripts = self._only_in_scripts(top - self.module.public)
        for function, use in self.mentions:
            idle = use.idle
            if idle.startswith(ALIAS):
                loads = self.loads.get(idle.removeprefix(ALIAS), [""])
                idle = next((load for load in loads if not load), loads[0])
            self.module.uses.append(Use(use.line, use.name, idle or (SCRIPT if function in scripts else "")))

    def _only_in_scripts(self, top: set[str]) -> set[str]:
        """The functions that are called, but nowhere else than where the file is run by itself."""
        calls: dict[str, set[str]] = {}
        for function, idle, name in self.calls:
            if idle != SCRIPT and name in top:
                calls.setdefault(function, set()).add(name)
        called = {name for _, _, name in self.calls} & top
        live = [name for function in calls if function not in called for name in calls[function]]
        while live:
            name = live.pop()
            if name in called:
                called.discard(name)
                live += calls.get(name, ())
        return called

    # ---- statements --------------------------------------------------------------------------------------------------

    def body(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Import():
                self._import(node)
            case ast.ImportFrom():
                self._import_from(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node)
            case ast.ClassDef():
                self._class(node)
            case ast.Assign():
                self._assign(node.targets, node.value)
            case ast.AnnAssign():
                self._ask(node.annotation, NOTE)
                if node.value is not None:
                    self._assign([node.target], node.value)
            case ast.AugAssign():
                self.load(node.value)
                self.bind(node.target, OWN)
            case ast.If():
                self._if(node)
            case ast.For() | ast.AsyncFor():
                self.load(node.iter)
                items = node.iter.elts if isinstance(node.iter, ast.Tuple | ast.List | ast.Set) else []
                self.bind(node.target, OWN.union(*(self.meaning(item) for item in items)))
                self._maybe(node.body, node.body, node.orelse)
            case ast.While():
                self.load(node.test)
                self._maybe(node.body, node.body, node.orelse)
            case ast.Try() | ast.TryStar():
                self._try(node)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self.load(item.context_expr)
                    if item.optional_vars is not None:
                        self.bind(item.optional_vars, OWN)
                self.body(node.body)
            case ast.Match():
                self.load(node.subject)
                for case in node.cases:
                    self._pattern(case.pattern)
                    if case.guard is not None:
                        self.load(case.guard)
                self._either(*(case.body for case in node.cases), [])
            case ast.Delete():
                for target in node.targets:
                    self.bind(target, OWN)
            case ast.Global() | ast.Nonlocal():
                pass
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.load(child)

    def _if(self, node: ast.If) -> None:
        if not _is_script_guard(node.test):
            self.load(node.test)
            self._either(node.body, node.orelse)
            return
        before, names = self.idle, dict(self.scopes[-1])
        self.idle = SCRIPT
        self.body(node.body)
        self.idle, self.scopes[-1] = before, self._restored(names)
        self.body(node.orelse)

    def _restored(self, names: dict[str, Meaning]) -> dict[str, Meaning]:
        scope = self.scopes[-1]  # the same object: functions that wait hold it
        scope.clear()
        scope.update(names)
        return scope

    def _either(self, *branches: Sequence[ast.stmt]) -> None:
        """One of several bodies is run: what each of them binds may hold."""
        start, ends = dict(self.scopes[-1]), []
        for branch in branches:
            self._restored(start)
            self.body(branch)
            ends.append(dict(self.scopes[-1]))
        merged = {name: OWN.union(*(end.get(name, OWN) for end in ends)) for end in ends for name in end}
        self._restored(merged)

    def _maybe(self, *bodies: Sequence[ast.stmt]) -> None:
        """Bodies that are run one after the other, each of them or not."""
        for body in bodies:
            self._either(body, [])

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        self._either(node.body, *(handler.body for handler in node.handlers))
        for handler in node.handlers:
            if handler.type is not None:
                self.load(handler.type)
        self._maybe(node.orelse)
        self.body(node.finalbody)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.load(part)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [extra for extra in (node.args.vararg, node.args.kwarg) if extra is not None]
        for annotation in (*(argument.annotation for argument in arguments), node.returns):
            if annotation is not None:
                self._ask(annotation, NOTE)
        self.scopes[-1][node.name] = OWN
        function = node.name if len(self.scopes) == 1 else self.function
        names = _bound_inside(node) | {argument.arg for argument in arguments}
        outer = [scope for scope in self.scopes if "" not in scope]  # a function does not see the class around it

        def read() -> None:
            self.scopes = [*outer, dict.fromkeys(names, OWN)]
            self.body(node.body)

        self.later.append((outer, function, self.idle, read))

    def _class(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            self.load(part)
        self.scopes.append({"": OWN})  # the mark of a class
        self.body(node.body)
        self.scopes.pop()
        self.scopes[-1][node.name] = OWN

    def _assign(self, targets: Sequence[ast.expr], value: ast.expr) -> None:
        plain = "" not in self.scopes[-1] and all(isinstance(target, ast.Name) for target in targets)
        if plain and self._is_alias(value):
            meaning = self.meaning(value)
            for target in targets:
                self._alias(target.id, target.lineno, meaning, ALIAS)  # type: ignore[attr-defined]
            return
        self.load(value)
        for target in targets:
            self._bind_value(target, value)

    def _is_alias(self, value: ast.expr) -> bool:
        """Return whether a value is other people's things as they are, which nothing is done with yet."""
        items = value.elts if isinstance(value, ast.Tuple | ast.List | ast.Set) else [value]
        return bool(items) and all(self._resolves(item) for item in items)

    def _resolves(self, item: ast.expr) -> bool:
        return isinstance(item, ast.Name | ast.Attribute | ast.Call) and bool(self.meaning(item))

    def _bind_value(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Tuple() | ast.List(), ast.Tuple() | ast.List() if len(target.elts) == len(value.elts):
                for inner, part in zip(target.elts, value.elts, strict=True):
                    self._bind_value(inner, part)
            case _:
                self.bind(target, self.meaning(value))

    def bind(self, target: ast.expr, meaning: Meaning) -> None:
        """A target of an assignment gets a new meaning."""
        match target:
            case ast.Name():
                self.scopes[-1][target.id] = meaning
            case ast.Tuple() | ast.List():
                for inner in target.elts:
                    self.bind(inner, meaning)
            case ast.Starred():
                self.bind(target.value, meaning)
            case _:
                for child in ast.iter_child_nodes(target):
                    if isinstance(child, ast.expr):
                        self.load(child)

    def _alias(self, name: str, line: int, meaning: Meaning, idle: str = UNUSED) -> None:
        """A name for other people's things: they are not used by that, yet."""
        self.scopes[-1][name] = meaning
        if len(self.scopes) == 1:
            self.module.lines[name] = line
        self._mention(line, meaning, f"{idle}{name}" if idle == ALIAS else idle)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            stem = self.module.neighbour(alias.name)
            if stem is not None:
                self.module.imports[stem] = None
            top = alias.name.partition(".")[0]
            whole = alias.name if stem is None else f".{stem}"
            bound = whole if alias.asname or stem == top else top
            self._mention(node.lineno, frozenset({whole}), UNUSED)
            self._alias(alias.asname or top, node.lineno, frozenset({bound}))

    def _import_from(self, node: ast.ImportFrom) -> None:
        base = self._origin(node)
        for alias in node.names:
            if alias.name == "*":
                self._import_all(base)
                continue
            full = f"{base}.{alias.name}" if base else f".{alias.name}"
            stem = full[1:].partition(".")[0] if full.startswith(".") else self.module.neighbour(full)
            if stem in self.module.stems:
                self.module.imports[stem] = None
            meaning = frozenset({full if full.startswith(".") or stem is None else f".{stem}"})
            self._alias(alias.asname or alias.name, node.lineno, meaning)

    def _origin(self, node: ast.ImportFrom) -> str:
        """The module that a `from ... import` takes from; of a neighbour with a dot, the package itself is ''."""
        module = node.module or ""
        if node.level:
            return f".{module}" if module else ""
        stem = self.module.neighbour(module)
        return module if stem is None else f".{stem}"

    def _import_all(self, base: str) -> None:
        if base.startswith("."):
            stem = base[1:].partition(".")[0]
            if stem in self.module.stems:
                self.module.imports[stem] = None
        known = self.module.stars(base)
        for name in known:
            self.scopes[-1][name.rpartition(".")[2]] = frozenset({name})
        if not base.startswith("."):
            self.open_stars.append(base)

    # ---- expressions -------------------------------------------------------------------------------------------------

    def load(self, node: ast.expr | None) -> None:
        """Read an expression: whatever it names is used."""
        match node:
            case None:
                return
            case ast.Name() | ast.Attribute() | ast.Subscript() if meaning := self.meaning(node):
                self._mention(node.lineno, meaning, self.idle)
                if isinstance(node, ast.Name):
                    self.loads.setdefault(node.id, []).append(self.idle)
                if isinstance(node, ast.Subscript):
                    self.load(node.slice)
            case ast.Name():
                self.calls.append((self.function, self.idle, node.id))
            case ast.Call():
                self._call(node)
            case ast.Lambda():
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                    self.load(default)
                outer, names = [s for s in self.scopes if "" not in s], {argument.arg for argument in arguments}

                def read() -> None:
                    self.scopes = [*outer, dict.fromkeys(names, OWN)]
                    self.load(node.body)

                self.later.append((outer, self.function, self.idle, read))
            case ast.NamedExpr():
                self.load(node.value)
                self.bind(node.target, self.meaning(node.value))
            case ast.Compare():
                for side in (node.left, *node.comparators):
                    self._ask(side, QUESTION)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                self._comprehension(node)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.load(child)

    def _call(self, node: ast.Call) -> None:
        meaning = self.meaning(node)
        if meaning:
            self._mention(node.lineno, meaning, self.idle)
        asks = isinstance(node.func, ast.Name) and node.func.id in QUESTIONS
        self.load(node.func)
        for place, argument in enumerate(node.args):
            if asks and place == 1:
                self._ask(argument, QUESTION)
            else:
                self.load(argument)
        for keyword in node.keywords:
            self.load(keyword.value)

    def _ask(self, node: ast.expr, idle: str) -> None:
        """Names that are mentioned and not used, alone or several of them; whatever else there is, is used."""
        match node:
            case ast.Name() | ast.Attribute():
                before, self.idle = self.idle, self.idle or idle
                self.load(node)
                self.idle = before
            case ast.Tuple() | ast.List() | ast.Set():
                for item in node.elts:
                    self._ask(item, idle)
            case ast.BinOp(op=ast.BitOr()):
                self._ask(node.left, idle)
                self._ask(node.right, idle)
            case ast.Subscript():
                self._ask(node.value, idle)
                self._ask(node.slice, idle)
            case _:
                self.load(node)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self.scopes.append({})
        for generator in node.generators:
            self.load(generator.iter)
            items = generator.iter.elts if isinstance(generator.iter, ast.Tuple | ast.List | ast.Set) else []
            self.bind(generator.target, OWN.union(*(self.meaning(item) for item in items)))
            for condition in generator.ifs:
                self.load(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.load(part)
        self.scopes.pop()

    def _pattern(self, pattern: ast.pattern) -> None:
        """A pattern of `match`: its classes are asked for, its names are bound."""
        for part in ast.walk(pattern):
            if isinstance(part, ast.MatchClass):
                self._ask(part.cls, QUESTION)
            name = getattr(part, "name", None) or getattr(part, "rest", None)
            if isinstance(name, str):
                self.scopes[-1][name] = OWN

    def _mention(self, line: int, meaning: Meaning, idle: str) -> None:
        self.mentions += [(self.function, Use(line, name, self.idle or idle)) for name in sorted(meaning)]


def _is_script_guard(test: ast.expr) -> bool:
    """Whether a condition holds only where the file is run by itself: `__name__ == "__main__"`, or that and more."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(map(_is_script_guard, test.values))
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = [test.left, test.comparators[0]]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    return names == ["__name__"] and any(text_of(side) == "__main__" for side in sides)


def _bound_inside(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The names that are a function's own since it binds them somewhere."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(function.body)
    outside: set[str] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Global | ast.Nonlocal):
            outside |= set(node.names)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        waiting += ast.iter_child_nodes(node)
    return found - outside


@cache
def _installed(name: str) -> bool:
    """Return whether an absolute import of a name finds something other than a neighbour."""
    try:
        return name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
