"""Takes away what an exercise forbids: the names of a library that do what the learner is to build.

The static rules find them before anything runs; this catches what a syntax tree does not show (`eval`, a name that is
put together at run time). Libraries and probes still find those names; code of the modules under guard does not. It is
a hurdle, not a wall: whoever digs through a library's objects can find another way.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any


class Guard:
    """Refuses names to some modules: those whose `__name__` is in `modules`."""

    def __init__(self, patterns: Iterable[str], modules: Collection[str]) -> None:
        self.patterns = tuple(pattern for pattern in patterns if not _private(pattern))
        self.modules = frozenset(modules)

    def install(self) -> None:
        """Hide every name that a pattern stands for, and refuse to import a module of such a name."""
        for holder in {pattern.rpartition(".")[0] for pattern in self.patterns}:
            module = sys.modules.get(holder)
            if isinstance(module, ModuleType) and not self._forbids(holder):
                self._hide(module, holder)
        builtins.__import__ = self._guarded(builtins.__import__, 0)
        importlib.import_module = self._guarded(importlib.import_module, 0)

    def _hide(self, module: ModuleType, spoken: str) -> None:
        """Take names out of a module, and answer for them when they are asked for."""
        names = vars(module)
        hidden = {
            name: value
            for name, value in names.items()
            if name[0] != "_" and self._forbids(f"{spoken}.{name}") and self._is_meant(spoken, value)
        }
        otherwise: Callable[[str], Any] | None = names.get("__getattr__")

        def find(name: str) -> Any:
            if name in hidden and not self._asks():
                return hidden[name]
            if otherwise is not None and name not in hidden:
                return otherwise(name)
            reason = "is off limits here: you build it yourself" if name in hidden else "does not exist"
            raise AttributeError(f"{spoken}.{name} {reason}")

        for name in hidden:
            delattr(module, name)
        if hidden:
            module.__getattr__ = find  # type: ignore[method-assign]

    def _guarded(self, function: Callable[..., Any], position: int) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            name = args[position] if len(args) > position else kwargs.get("name")
            if isinstance(name, str) and self._forbids(name) and self._asks():
                raise ModuleNotFoundError(f"{name} is off limits here", name=name)
            return function(*args, **kwargs)

        return guarded

    def _forbids(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def _is_meant(self, spoken: str, value: Any) -> bool:
        """Whether a name is what a pattern is about: of "module.*" not what the module has imported for its own use."""
        return f"{spoken}.*" not in self.patterns or getattr(value, "__module__", "") == spoken

    def _asks(self) -> bool:
        """Whether the one who asks (two calls up) is a module under guard."""
        return sys._getframe(2).f_globals.get("__name__") in self.modules


def _private(dotted: str) -> bool:
    """Whether a name is a library's own affair, which it can't do without."""
    return any(part.startswith("_") for part in dotted.split("."))
