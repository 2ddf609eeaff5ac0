"""Takes away what an exercise forbids: the pieces of a library that do what the learner is to build.

Not their names are taken but what is behind them, in this process and for good: an operator's kernel raises however the
operator was reached, a function's code is replaced, a class has no method left that works. So a piece is gone under
every name that a library has for it, in its own closures and inside of other pieces; it can still be imported, named
and asked for. Learner's code, what it borrows and the probes all go without it.

It is a high hurdle and no wall: whoever carries a piece along as text, or calls machine code by its address, has it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase, translate
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, Never

from grader.errors import OffLimits
from grader.sandbox.inside.absent import stand_in

REASON = "is off limits here: you build it yourself"
KEYS = ("BackendSelect", "FuncTorchVmapMode", "FuncTorchBatched", "FuncTorchBatchedDecomposition")  # on every way
COMPOSITE = "CompositeImplicitAutograd"  # and what is put together from other operators before that
GONE = "<off limits>"
HARMLESS = "aten::_test_ambiguous_defaults.a"  # an operator that torch has for its own tests


def take_away(names: Sequence[str], operators: Sequence[str]) -> None:
    """Take away what these stand for.

    Args:
        names: dotted names of modules, classes and functions; * matches the rest of one.
        operators: names of torch's operators, in any namespace, and of functions in torch that do the same.
    """
    whole, pieces = _sorted(names)
    if "torch" in whole:
        _stop_torch()
    else:
        _take_operators(operator for pattern in operators for operator in operators_like(pattern))
        for function in (function for pattern in operators for function in functions_like(pattern)):
            _empty(function, f"{function.__module__}.{function.__name__}")
    files = set()
    for module, attribute in (piece for pattern in pieces for piece in pieces_like(pattern)):
        _empty(vars(module)[attribute], f"{module.__name__}.{attribute}")
        files.add(str(getattr(module, "__file__", "")))
    _watch(files)
    _take_from_later_modules(operators, pieces)
    stand_in([name.removesuffix(".*") for name in pieces if name.endswith(".*")], REASON)
    stand_in(whole, REASON, unload=True)


def prepare(names: Sequence[str], operators: Sequence[str]) -> None:
    """Find, before processes are forked, what may have to be taken away; be warned of kernels that are replaced."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    for pattern in names:
        if "." in pattern and not _private(pattern):
            pieces_like(pattern)
    for pattern in operators:
        operators_like(pattern)
        functions_like(pattern)
    _functions.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of the first kernel that is replaced, and of that alone
        _take_operators([(HARMLESS, True)])


def _sorted(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The libraries that are off limits as a whole, and pieces of others."""
    spoken = [name for name in names if not _private(name)]
    whole = sorted({name for name in spoken if "." not in name and "*" not in name})
    return whole, [name for name in spoken if name.partition(".")[0] not in whole]


# ---- operators: kernels ----------------------------------------------------------------------------------------------


@cache
def operators_like(pattern: str) -> list[tuple[str, bool]]:
    """The operators that a pattern stands for, and whether they are put together from others."""
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    matches = re.compile(translate(pattern)).match
    return [
        (operator, torch._C._dispatch_has_kernel_for_dispatch_key(operator, COMPOSITE))
        for operator in torch._C._dispatch_get_all_op_names()
        if matches(operator.partition("::")[2].partition(".")[0])
    ]


def _take_operators(operators: Iterable[tuple[str, bool]]) -> None:
    """Replace kernels, by which every call of an operator ends: from Python, C++, TorchScript or a transformation.

    The libraries that hold the new ones are held for ever, where no list of this program can be emptied.
    """
    import ctypes

    import torch

    libraries: dict[str, Any] = {}
    for operator, composite in operators:
        space, _, name = operator.partition("::")
        if space not in libraries:
            libraries[space] = torch._C._dispatch_library("IMPL", space, "", "<sandbox>", 1)
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(libraries[space]))
        for key in (*KEYS, COMPOSITE) if composite else KEYS:
            libraries[space].impl(name, key, _refusal(name.partition(".")[0]))


def _stop_torch() -> None:
    """Let no operator of torch work, for this thread."""
    if "torch" not in sys.modules:
        return
    from torch.utils._python_dispatch import TorchDispatchMode

    class Refusing(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, *_: Any, **__: Any) -> Never:
            raise OffLimits(f"torch {REASON}")

    Refusing().__enter__()  # type: ignore[no-untyped-call]


def _refusal(name: str) -> Any:
    def refuse(*_: Any, **__: Any) -> Never:
        raise OffLimits(f"{name} {REASON}")

    return refuse


# ---- functions and classes: code -------------------------------------------------------------------------------------


@cache
def functions_like(pattern: str) -> list[FunctionType]:
    """Functions that do in Python what an operator does: decompositions, references, wrappers."""
    matches = re.compile(translate(pattern)).match
    return [function for name, functions in _functions().items() if matches(name) for function in functions]


@cache
def _functions() -> dict[str, list[FunctionType]]:
    """All functions of torch's loaded modules by their names."""
    found: dict[str, list[FunctionType]] = {}
    for module in [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "torch"]:
        for value in list(vars(module).values()):
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                found.setdefault(value.__name__, []).append(value)
    return found


@cache
def pieces_like(pattern: str) -> list[tuple[ModuleType, str]]:
    """The functions and classes that a dotted name stands for: the modules that hold them, and their names there."""
    holder, matches = pattern.rpartition(".")[0], re.compile(translate(pattern)).match
    found: list[tuple[ModuleType, str]] = []
    for name, module in list(sys.modules.items()):
        whole = "*" in pattern and matches(f"{name}.x")  # what is written in this module is meant, not what it imports
        if not (whole or name == holder) or not isinstance(module, ModuleType):
            continue
        for attribute, value in list(vars(module).items()):
            own = getattr(value, "__module__", None) == name
            if isinstance(value, type | FunctionType) and (own if whole else matches(f"{name}.{attribute}")):
                found.append((module, attribute))
    return found


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
    if piece.__code__.co_filename == GONE:
        return
    inner = [cell.cell_contents for cell in piece.__closure__ or () if _is_filled(cell)]
    wrapped = [each for each in (getattr(piece, "__wrapped__", None), *inner) if isinstance(each, FunctionType)]
    code = _code(piece.__code__.co_freevars)
    consts = tuple(f"{name} {REASON}" if const == "REASON" else const for const in code.co_consts)
    piece.__code__ = code.replace(co_consts=consts)
    piece.__defaults__ = piece.__kwdefaults__ = None
    for each in wrapped:
        if each.__qualname__ == piece.__qualname__:
            _empty(each, name)


def _take_from_later_modules(operators: Sequence[str], pieces: Sequence[str]) -> None:
    """Take the same from modules of torch that are imported from here on: much of torch is imported when asked for."""

    def take(module: ModuleType) -> None:
        for attribute, value in list(vars(module).items()):
            own = isinstance(value, type | FunctionType) and value.__module__ == module.__name__
            full = f"{module.__name__}.{attribute}"
            called = isinstance(value, FunctionType) and any(fnmatchcase(value.__name__, each) for each in operators)
            if own and (called or any(fnmatchcase(full, each) for each in pieces)):
                _empty(value, full)

    sys.meta_path.insert(0, _Later(take))


class _Later(importlib.abc.MetaPathFinder):
    """Finds modules of torch as ever; once one has been run, something is done to it."""

    def __init__(self, then: Callable[[ModuleType], None]) -> None:
        self.then = then

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith("torch."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            run = spec.loader.exec_module

            def run_and_take(module: ModuleType) -> None:
                run(module)
                self.then(module)

            spec.loader.exec_module = run_and_take  # type: ignore[method-assign]
        return spec


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


@cache
def _code(free: tuple[str, ...]) -> CodeType:
    """A function's code that refuses; it has to have the free variables of the one that it stands for."""
    others = [each for each in free if each != "__class__"]
    lines = [
        f"def outside({', '.join(others)}):",
        "  class Around:" if "__class__" in free else "  if True:",
        "    def refused(*_, **__):",
        "        from grader.errors import OffLimits",
        "        raise OffLimits('REASON')",
        *(f"        {each}" for each in free),
    ]
    code = compile("\n".join(lines), GONE, "exec", dont_inherit=True)
    while code.co_name != "refused":
        code = next(each for each in code.co_consts if isinstance(each, CodeType))
    return code


def _watch(files: set[str]) -> None:
    """Refuse to run the files again that something was taken from: what they make would be whole."""
    if files - {""}:
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


def _private(dotted: str) -> bool:
    """Return whether a name is an operator's, or a module's that holds all of them: these are taken by themselves."""
    return bool(re.match(r"torch\.(_C\b|ops\b|_\w*\*?$)", dotted))
