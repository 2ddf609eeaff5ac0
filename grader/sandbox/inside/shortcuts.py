"""Takes away what an exercise forbids: the pieces of a library that do what the learner is to build.

Not their names are taken but what is behind them, in this process and for good: an operator's kernel raises however the
operator was reached, a function's code is replaced, a class has no method left that works. So a piece is gone under
every name that a library has for it, in its own closures and inside of other pieces; it can still be imported, named
and asked for. Learner's code, what it borrows and the probes all go without it.

It is a high hurdle and no wall: whoever carries a piece along as text, or calls machine code by its address, has it.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import translate
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, Never

from grader.errors import OffLimits
from grader.sandbox.inside.absent import stand_in

REASON = "is off limits here: you build it yourself"
KEYS = ("BackendSelect", "FuncTorchBatched", "FuncTorchBatchedDecomposition")  # what every call comes past
COMPOSITE = "CompositeImplicitAutograd"  # and what is put together from other operators before that
HARMLESS = "aten::_test_ambiguous_defaults.a"  # an operator that torch has for its own tests


def take_away(names: Sequence[str], operators: Sequence[str]) -> None:
    """Take away what these stand for.

    Args:
        names: dotted names of modules, classes and functions; * matches the rest of one.
        operators: names of torch's operators, in any namespace, and of functions in torch that do the same.
    """
    spoken = [name for name in names if not _private(name)]
    whole = sorted({name for name in spoken if "." not in name and "*" not in name})
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in whole:
        _fall_back(torch)
    elif torch is not None:
        _take_operators(torch, operators)
        _take_functions(operators)
    pieces = [name for name in spoken if name.partition(".")[0] not in whole]
    _watch({str(file) for module in _matching(pieces) if (file := getattr(module, "__file__", None))})
    stand_in([name.removesuffix(".*") for name in pieces if name.endswith(".*")], REASON)
    stand_in(whole, REASON, unload=True)


def prepare() -> None:
    """Do once what takes time, before processes are forked: look at torch's functions, and be warned."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    functions_by_name()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of the first kernel that is replaced, and of that alone
        library = torch._C._dispatch_library("IMPL", "aten", "", "<sandbox>", 1)
        library.impl(HARMLESS.partition("::")[2], COMPOSITE, _refusal(HARMLESS))
        _kept.append(library)


_kept: list[Any] = []  # libraries of kernels, which are put back when nobody holds them; see `_hold`


def _take_operators(torch: Any, patterns: Sequence[str]) -> None:
    """Replace kernels, by which every call of an operator ends: from Python, C++, TorchScript or a transformation."""
    matches = _matcher(patterns)
    libraries: dict[str, Any] = {}
    for operator in torch._C._dispatch_get_all_op_names():
        space, _, name = operator.partition("::")
        if not (matches(name.partition(".")[0]) or matches(operator)):
            continue
        if space not in libraries:
            libraries[space] = torch._C._dispatch_library("IMPL", space, "", "<sandbox>", 1)
        composite = torch._C._dispatch_has_kernel_for_dispatch_key(operator, COMPOSITE)
        for key in (*KEYS, COMPOSITE) if composite else KEYS:
            libraries[space].impl(name, key, _refusal(name.partition(".")[0]))
    _hold(libraries.values())


def _fall_back(torch: Any) -> None:
    """Let no operator of torch work at all."""
    library = torch._C._dispatch_library("IMPL", "_", "", "<sandbox>", 1)
    library.fallback("BackendSelect", _refusal("torch"))
    _hold([library])


def _hold(libraries: Iterable[Any]) -> None:
    """Hold things for ever, where no list of this program can be emptied."""
    import ctypes

    for library in libraries:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))


def _refusal(name: str) -> Any:
    def refuse(*_: Any, **__: Any) -> Never:
        raise OffLimits(f"{name} {REASON}")

    return refuse


def _take_functions(patterns: Sequence[str]) -> None:
    """Functions that do in Python what an operator does: decompositions, references, wrappers."""
    if not patterns:
        return
    matches = _matcher(patterns)
    for name, functions in functions_by_name().items():
        if matches(name):
            for function in functions:
                _empty(function, f"{function.__module__}.{name}")


@cache
def functions_by_name() -> dict[str, list[FunctionType]]:
    """All functions of torch's loaded modules by their names."""
    found: dict[str, list[FunctionType]] = {}
    for module in [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "torch"]:
        for value in list(vars(module).values()):
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                found.setdefault(value.__name__, []).append(value)
    return found


def _matching(patterns: Sequence[str]) -> Iterator[ModuleType]:
    """Take what dotted names stand for; yields the modules that it was taken from."""
    exact = {pattern.rpartition(".")[0]: None for pattern in patterns}
    inside = _matcher(pattern for pattern in patterns if "*" in pattern)
    matches = _matcher(patterns)
    for name, module in list(sys.modules.items()):
        own = inside(f"{name}.x")  # all that is written in this module is meant, and nothing that it imports
        if not isinstance(module, ModuleType) or not (own or name in exact):
            continue
        found = False
        for attribute, value in list(vars(module).items()):
            meant = getattr(value, "__module__", None) == name if own else matches(f"{name}.{attribute}")
            if meant and isinstance(value, type | FunctionType):
                found = True
                _empty(value, f"{name}.{attribute}")
        if found:
            yield module


def _empty(piece: type | FunctionType, name: str) -> None:
    """Leave nothing in a class or a function that works, and no way to what it wraps."""
    if isinstance(piece, type):
        for attribute, value in list(vars(piece).items()):
            function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if isinstance(function, FunctionType) and attribute not in ("__repr__", "__instancecheck__"):
                _empty(function, name)
        if "__init__" not in vars(piece):
            piece.__init__ = _refusal(name)  # type: ignore[misc]
        return
    if piece.__code__.co_filename == "<off limits>":
        return
    inner = [cell.cell_contents for cell in piece.__closure__ or () if _is_filled(cell)]
    wrapped = [each for each in (getattr(piece, "__wrapped__", None), *inner) if isinstance(each, FunctionType)]
    piece.__code__ = _code(piece.__code__.co_freevars, name)
    piece.__defaults__ = piece.__kwdefaults__ = None
    for each in wrapped:
        if each.__qualname__ == piece.__qualname__:
            _empty(each, name)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


@cache
def _code(free: tuple[str, ...], name: str) -> Any:
    """A function's code that refuses; it has to have the free variables of the one that it stands for."""
    lines = [
        "def outside():",
        *(f"    {each} = None" for each in free if each != "__class__"),
        "    def refused(*_, **__):",
        *(f"        {each}" for each in free),
        "        from grader.errors import OffLimits",
        f"        raise OffLimits({f'{name} {REASON}'!r})",
    ]
    text = "\n".join(lines)
    if "__class__" in free:  # a method that says super()
        text = "class outside:\n" + text.partition("\n")[2]
    outer = compile(text, "<off limits>", "exec", dont_inherit=True)
    (around,) = (each for each in outer.co_consts if hasattr(each, "co_consts"))
    (found,) = (each for each in around.co_consts if hasattr(each, "co_consts"))
    return found


def _watch(files: set[str]) -> None:
    """Refuse to run the files again that something was taken from: what they make would be whole."""
    if files:
        sys.addaudithook(_Watch(frozenset(files)))


class _Watch:
    """A hook that can't be taken off."""

    def __init__(self, files: frozenset[str]) -> None:
        self.files = files

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "exec":
            code = arguments[0]
            if getattr(code, "co_name", "") == "<module>" and code.co_filename in self.files:
                raise OffLimits(f"{code.co_filename.rpartition('/')[2]} holds what {REASON.removeprefix('is ')}")


def _matcher(patterns: Iterable[str]) -> Any:
    """A function that says whether a text matches one of some patterns."""
    joined = "|".join(translate(pattern) for pattern in patterns)
    return re.compile(joined).match if joined else lambda _: None


def _private(dotted: str) -> bool:
    """Whether a name is a library's own affair, which it can't do without; its operators are taken instead."""
    return any(part.startswith("_") for part in dotted.split(".")) or dotted.startswith("torch.ops")


