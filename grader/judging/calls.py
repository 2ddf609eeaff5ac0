"""What a probe calls of an exercise, and with what: noted while it runs on the reference, for the failure screen."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np

from grader.judging.comparison import number
from grader.probing.assembly import Assembly, Exercise

CALLS_KEPT = 3
RESULTS_KEPT = 1000
PLAIN = (bool, int, float, complex, str, bytes, type(None))  # one of these may be the result of several calls
NUMBERS_SHOWN = 5
TEXT_SHOWN = 50


class Calls:
    """Notes the calls that come from outside of the exercise; a call that the exercise makes itself is its own affair.

    `lines` shows the first few with their arguments, unless `secret`: a hidden check's inputs are never written down.
    `names` are those of all of them ("softmax", or "LayerNorm.forward"), each once. `origins` says of what the probe
    has returned which call it is the result of, by its path, where it is one's result itself. `parts` are how many
    things each call returned that returned several.
    """

    def __init__(self, secret: bool = False) -> None:
        self.secret = secret
        self.names: list[str] = []
        self.origins: dict[str, str] = {}
        self.parts: dict[str, int] = {}
        self.lines: list[str] = []
        self.count = 0
        self._depth = 0
        self._results: dict[int, tuple[str, Any]] = {}  # by identity; kept, so that no other object can have it
        self._patched: dict[type, dict[str, Any]] = {}

    @contextmanager
    def of(self, assembly: Assembly, stem: str) -> Iterator[Exercise]:
        """The exercise, to be called under observation; its classes are as they were afterwards."""
        try:
            yield _Noted(assembly, stem, self)
        finally:
            for cls, methods in self._patched.items():
                for name, original in methods.items():
                    setattr(cls, name, original)
            self._patched.clear()

    def watch(self, name: str, value: Any) -> Any:
        """A public value of the exercise as the probe gets it: calls to it are noted."""
        if isinstance(value, type):
            if value not in self._patched:
                methods = {
                    key: method
                    for key, method in vars(value).items()
                    if isinstance(method, FunctionType | classmethod | staticmethod)
                    and (not key.startswith("_") or key in ("__init__", "__call__"))
                }
                self._patched[value] = methods
                for key, method in methods.items():
                    setattr(value, key, self._noting_method(name, key, method))
            return value
        return self._noting(name, value, 0) if isinstance(value, FunctionType) else value

    def traced(self, value: Any, path: str = "") -> Any:
        """Note where the parts of what the probe returns come from; returns it."""
        if id(value) in self._results:
            self.origins[path] = self._results[id(value)][0]
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self.traced(item, f"{path}.{key}" if path else str(key))
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                self.traced(item, f"{path}[{index}]")
        return value

    def result_at(self, path: str) -> str:
        """The name of the call whose result, or a part of whose result, stands at a path; "" if that is not known."""
        found = [at for at in self.origins if at == path or at == "" or path.startswith((f"{at}.", f"{at}["))]
        return self.origins[max(found, key=len)] if found else ""

    def only(self) -> str:
        """Return the name that all calls are of: a function, a method, or the class whose methods they are; else ""."""
        owners = {each.partition(".")[0] for each in self.names}
        if len(owners) != 1:
            return ""
        methods = [each for each in self.names if "." in each]  # besides that the object is made
        return methods[0] if len(methods) == 1 else next(iter(owners))

    def _noting_method(self, name: str, key: str, method: Any) -> Any:
        spoken = name if key == "__init__" else f"{name}.{key}"
        if isinstance(method, classmethod):
            return classmethod(self._noting(spoken, method.__func__, 1))
        if isinstance(method, staticmethod):
            return staticmethod(self._noting(spoken, method.__func__, 0))
        return self._noting(spoken, method, 1)

    def _noting(self, name: str, function: Callable[..., Any], bound: int) -> Callable[..., Any]:
        @functools.wraps(function)
        def noted(*args: Any, **kwargs: Any) -> Any:
            if self._depth == 0:
                self._note(name, function, args, kwargs, bound)
            self._depth += 1
            try:
                result = function(*args, **kwargs)
            finally:
                self._depth -= 1
            if self._depth == 0 and isinstance(result, tuple | list):
                self.parts[name] = len(result)
            if self._depth == 0 and self.count < RESULTS_KEPT:
                for each in (result, *(result if isinstance(result, tuple | list) else ())):
                    if not isinstance(each, PLAIN):
                        self._results[id(each)] = name, each
            return result

        return noted

    def _note(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], bound: int
    ) -> None:
        if name not in self.names:
            self.names.append(name)
        self.count += 1
        if self.secret or self.count > CALLS_KEPT:
            return
        try:
            given = list(inspect.signature(function).bind(*args, **kwargs).arguments.items())[bound:]
        except TypeError:  # called with the wrong arguments, on purpose
            given = [(f"argument {place}", value) for place, value in enumerate(args[bound:], 1)] + list(kwargs.items())
        width = max((len(key) for key, _ in given), default=0)
        self.lines.append(f"{name}({', '.join(key for key, _ in given)})")
        self.lines += [f"  {key:<{width}}  {describe(value)}" for key, value in given]


class _Noted(Exercise):
    """An exercise whose calls are noted."""

    def __init__(self, assembly: Assembly, stem: str, calls: Calls) -> None:
        super().__init__(assembly, stem)
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return self._calls.watch(name, super().__getattr__(name))

    def of(self, stem: str) -> Exercise:
        return _Noted(self._assembly, stem, self._calls)


def describe(value: Any) -> str:
    """A value in one line: of an array its shape, type and first numbers."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.nn.Module | torch.Generator | torch.optim.Optimizer):
        return f"a {type(value).__name__}"
    if torch is not None and isinstance(value, torch.Tensor):
        dtype, where = str(value.dtype).removeprefix("torch."), value.device.type
        place = "" if where == "cpu" else f" on {where}"
        numbers = [] if where == "meta" else value.detach().reshape(-1)[: NUMBERS_SHOWN + 1].tolist()
        return f"{tuple(value.shape)} {dtype}{place}  {_few(numbers)}".rstrip()
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}  {_few(value.reshape(-1)[: NUMBERS_SHOWN + 1].tolist())}".rstrip()
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    text = repr(value)
    return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]} ..."


def _few(numbers: list[Any]) -> str:
    shown = [number(item) if isinstance(item, float) else str(item) for item in numbers[:NUMBERS_SHOWN]]
    return " ".join(shown) + (" ..." if len(numbers) > NUMBERS_SHOWN else "")
