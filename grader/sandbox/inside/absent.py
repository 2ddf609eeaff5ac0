"""Stand-ins for modules that are not to be had in the sandbox: they can be imported, and named, but not used.

So an import that nothing uses costs nothing, and neither does `isinstance(x, torch.Tensor)`; a call says why it fails.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Never

from grader.errors import OffLimits


class Absent(type):
    """A stand-in for a class or a function that is off limits: it has parts of its own kind, and no instances."""

    reason: str

    def __getattr__(cls, name: str) -> Absent:
        return part(cls.__name__, name, cls.reason)

    def __call__(cls, *_: Any, **__: Any) -> Never:
        raise OffLimits(f"{cls.__name__} {cls.reason}")

    def __instancecheck__(cls, _: object) -> bool:
        return False

    def __subclasscheck__(cls, _: type) -> bool:
        return False


def part(owner: str, name: str, reason: str) -> Absent:
    """A part of something that is absent."""
    if name.startswith("__") or name == "_":
        raise AttributeError(name)
    full = f"{owner}.{name}"

    def refuse(*_: Any, **__: Any) -> Never:
        raise OffLimits(f"{full} {reason}")

    return Absent(full, (), {"reason": reason, "__init_subclass__": classmethod(refuse)})


class StandIn(ModuleType):
    """A module that is not there."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__reason = reason

    def __getattr__(self, name: str) -> Absent:
        return part(self.__name__, name, self.__reason)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stand-in for some modules, and all that is inside of them."""

    def __init__(self, names: Sequence[str], reason: str) -> None:
        self.names = tuple(names)
        self.reason = reason

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if any(name == each or name.startswith(f"{each}.") for each in self.names):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return StandIn(spec.name, self.reason)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is to be run."""


def stand_in(names: Sequence[str], reason: str, unload: bool = False) -> None:
    """Put stand-ins in the place of these modules; of those that are loaded if they are to be unloaded."""
    finder = Finder(names, reason)
    loaded = unload and any(name in sys.modules for name in names)
    for name in [name for name in sys.modules if finder.find_spec(name)] if loaded else []:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
