"""Static rules: what an exercise forbids, found wherever it or what it imports uses it, under any name.

Only what is used counts: an import that nothing uses, a question with `isinstance`, an annotation and what stands under
`if __name__ == "__main__"` are told and cost nothing. A file that is not imported is not looked at.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from typing import Any

from grader.judging.rules.meanings import MANY, OWN, Meaning, TooMuch, chain
from grader.judging.rules.names import FOLDER, UNUSED, Module
from grader.probing.trees import parse

DEPTH_LIMIT = 150
TOO_MANY = f"a name can stand for more than {MANY} different things. Give each of them a name of its own."
TOO_DEEP = f"something is nested more than {DEPTH_LIMIT} deep. Take it apart: name the pieces and put them together."


@dataclass(frozen=True)
class Violation:
    """A forbidden name, spelt out in full, with the file and the line that mention it.

    `idle` says how, if it has no effect: it is told then, and costs nothing.
    """

    stem: str
    line: int
    name: str
    idle: str = ""


class NotLookedAt(ValueError):
    """A source is nested too deeply to be looked at, branched or long: nothing that a person writes is.

    `stem` says which one.
    """

    def __init__(self, stem: str, why: str = TOO_DEEP) -> None:
        super().__init__(why)
        self.stem = stem


@dataclass(frozen=True)
class Look:
    """What there is to say of the sources of an exercise: the uses of what is off limits, and idle mentions of it."""

    violations: tuple[Violation, ...] = ()
    mentions: tuple[Violation, ...] = ()


class Rules:
    """The sources that an exercise is made of: its own and those that it imports, in whichever order it does."""

    def __init__(self, stem: str, sources: Mapping[str, str], forbids: Sequence[str], asked: Collection[str] = ()):
        """
        Args:
            stem: the exercise.
            sources: the texts that it may import, by stem, and its own.
            forbids: the names that are off limits; * matches the rest of a name.
            asked: the names that are asked of the exercise from outside.

        Raises:
            NotLookedAt: in one of them an expression or a block stands inside of too many others to be looked at.
        """
        self.stem = stem
        self.forbids = tuple(forbids)
        self._forbidden = re.compile("|".join(map(translate, forbids)) or r"(?!)").match
        self.modules: dict[str, Module] = {}
        self._sources = sources
        self._asked = frozenset(asked)
        self._public = self._asked
        self._reach(stem)

    def look(self) -> Look:
        """All that there is to say."""
        return Look(tuple(self.violations()), tuple(self.mentions()))

    def violations(self) -> list[Violation]:
        """The forbidden names that are used, by file and line: those of the exercise first."""
        found = [each for each in self._mentions if not each.idle]
        return found + [each for each in self._handed_out() if each not in found]

    def mentions(self) -> list[Violation]:
        """The forbidden names that are mentioned without any effect, each of them once in a file."""
        every = self._mentions
        told = {(each.stem, each.name) for each in every if not each.idle}
        found = []
        for each in sorted(every, key=lambda each: each.idle == UNUSED):  # how it is mentioned tells more
            if each.idle and (each.stem, each.name) not in told:
                told.add((each.stem, each.name))
                found.append(each)
        return found

    def _reach(self, first: str) -> None:
        trees: dict[str, ast.Module] = {}
        waiting = [first]
        while waiting:
            stem = waiting.pop(0)
            if stem in trees or stem not in self._sources:
                continue
            tree = parsed(stem, self._sources[stem])
            trees[stem] = tree
            waiting += self._read(stem, tree).imports
        self._public |= {name for tree in trees.values() for name in _names_of_others(tree)}
        for stem in reversed(trees):  # what is imported comes first, since `import *` asks for its names
            self.modules[stem] = self._read(stem, trees[stem], self._public, self._stars)
        self.modules = {stem: self.modules[stem] for stem in trees}

    def _read(self, stem: str, tree: ast.Module, *how: Any) -> Module:
        try:
            return Module(tree, self._sources, *how)
        except TooMuch:
            raise NotLookedAt(stem, TOO_MANY) from None

    def _stars(self, module: str) -> Meaning:
        """Return what `from MODULE import *` brings along: all of a neighbour, and of a library what is off limits."""
        if module.startswith("."):
            known = self.modules.get(module[1:])
            return OWN if known is None else frozenset(f"{module}.{name}" for name in known.names if name[:1] != "_")
        return frozenset(each for each in self.forbids if each.rpartition(".")[0] == module and "*" not in each)

    @cached_property
    def _mentions(self) -> list[Violation]:
        found: dict[Violation, None] = {}
        for stem, module in self.modules.items():
            for use in sorted(module.uses, key=lambda use: use.line):
                for name in self._off_limits({use.name}):
                    found[Violation(stem, use.line, name, use.idle)] = None
        return list(found)

    def _handed_out(self) -> Iterable[Violation]:
        """Yield what is asked of the exercise, and is somebody else's under its name."""
        module = self.modules.get(self.stem)
        for name in sorted(self._asked & (module.names.keys() if module else set())):
            assert module is not None
            for full in self._off_limits(module.names[name]):
                yield Violation(self.stem, module.lines.get(name, 1), full)

    def _off_limits(self, names: Iterable[str]) -> list[str]:
        """The forbidden names among those that some names stand for."""
        found: dict[str, None] = {}
        for name in sorted(self._resolved(frozenset(names))):
            for part in chain(name):
                if self._forbidden(part):
                    found[part] = None
                    break
        return list(found)

    def _resolved(self, names: Meaning, depth: int = 0) -> Meaning:
        """The names with those of neighbours replaced by what stands behind them."""
        found: set[str] = set()
        for written in names:
            name = written.removeprefix(FOLDER) if written.startswith(f"{FOLDER}.") else written
            if not name.startswith(".") or depth > len(self.modules):
                found.add(name)
                continue
            stem, _, rest = name[1:].partition(".")
            first, _, more = rest.partition(".")
            meaning = self.modules[stem].names.get(first, OWN) if stem in self.modules else OWN
            found |= self._resolved(frozenset(f"{each}.{more}" if more else each for each in meaning), depth + 1)
        return frozenset(found)


def parsed(stem: str, text: str) -> ast.Module:
    """The syntax tree of a source; an empty one if it doesn't parse: importing it tells more.

    Raises:
        NotLookedAt: it is nested too deeply.
    """
    try:
        tree = parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])
    except (RecursionError, MemoryError):
        raise NotLookedAt(stem) from None
    level: list[ast.AST] = [tree]
    for _ in range(DEPTH_LIMIT):  # level by level, which no tree is too deep for
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    raise NotLookedAt(stem)


def _names_of_others(tree: ast.Module) -> set[str]:
    """The names that a source takes from other modules, as far as they can be such."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found
