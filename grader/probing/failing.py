"""What stands in the line at which code under test failed: each operand with its shape, read from the frame."""

from __future__ import annotations

import ast
import difflib
import keyword
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType, ModuleType, TracebackType
from typing import Any

from grader.probing.observation import loaded_torch
from grader.probing.trees import parse

LONGEST = 60  # characters of an expression
MOST = 4  # operands of a line
NUMBERS = 1 << 22  # of an array that is computed with, to see the shape of what comes of it
PURE = {  # methods that make another array and change nothing
    "T", "mT", "abs", "argmax", "bfloat16", "bool", "chunk", "clone", "contiguous", "cos", "cumsum", "detach", "double",
    "exp", "expand", "flatten", "float", "half", "index_select", "int", "log", "logical_not", "long", "masked_fill",
    "max", "mean", "min", "movedim", "permute", "pow", "ravel", "repeat", "reshape", "sigmoid", "sin", "size",
    "softmax", "split", "sqrt", "square", "squeeze", "std", "sum", "swapaxes", "t", "tanh", "to", "tolist", "transpose",
    "unbind", "unflatten", "unsqueeze", "var", "view",
}  # fmt: skip


@dataclass(frozen=True)
class Operand:
    """A part of an expression: as it is written, its type, and, of an array, its shape and dtype.

    `module` says that it is a module of PyTorch's, `given` that it is an argument of the function that failed.
    """

    text: str
    type: str
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    module: bool = False
    given: bool = False

    def __str__(self) -> str:
        if self.shape is not None:
            return f"{self.text}  {self.shape} {self.dtype}"
        return f"{self.text}  {self.type}"


@dataclass(frozen=True)
class Failing:
    """The expression that failed, and its operands, from left to right."""

    text: str
    operands: tuple[Operand, ...] = ()


Look = Callable[[BaseException, TracebackType | None, str], tuple[Failing | None, str]]


def look(error: BaseException, tb: TracebackType | None, source: str) -> tuple[Failing | None, str]:
    """Look at an error: what stood in the line, and which name was probably meant.

    Args:
        error: the error.
        tb: its innermost part in code under test; None if it was raised where such code is used.
        source: the text of the file that this part is in.
    """
    return (None, meant(error, None)) if tb is None else (failing(tb, source), meant(error, tb.tb_frame))


def failing(tb: TracebackType, source: str) -> Failing | None:
    """The expression at which a frame of code under test failed; None if it can't be read.

    Nothing that could change anything is run: what is not a name, an attribute or a view of an array is not looked at.
    """
    try:
        node = _node(tb, parse(source))
        if node is None:
            return None
        called = node.func if isinstance(node, ast.Call) else None
        seen = (_seen(part, tb.tb_frame, source, part is called) for part in dict.fromkeys(_parts(node)))
        operands = tuple(islice((each for each in seen if each is not None), MOST))
        return Failing(_written(node, source), operands)
    except Exception:
        return None


def meant(error: BaseException, frame: FrameType | None) -> str:
    """The name that was probably meant where one is not there, as Python suggests one; "" if none is like it."""
    name = getattr(error, "name", None)
    if not isinstance(name, str) or not name:
        return ""
    if isinstance(error, AttributeError):
        names = _names_of(error.obj)
    elif isinstance(error, NameError) and frame is not None:
        names = {*frame.f_locals, *frame.f_globals}
        if name in getattr(frame.f_locals.get("self"), "__dict__", ()):
            return f"self.{name}"
    else:
        return ""
    public = [each for each in names if not each.startswith("_") and not keyword.iskeyword(each)]
    return next(iter(difflib.get_close_matches(name, public, n=1, cutoff=0.7)), "")


def _names_of(value: object) -> set[str]:
    """The names of a value's attributes, without running any code of its own; none where even that fails."""
    try:
        own = object.__getattribute__(value, "__dict__") if hasattr(type(value), "__dict__") else {}
        parts = [own.get(kind) for kind in ("_parameters", "_buffers", "_modules")]  # of an nn.Module
        return {*object.__dir__(value), *(name for part in parts if isinstance(part, dict) for name in part)}
    except Exception:
        return set()


def _node(tb: TracebackType, tree: ast.Module) -> ast.AST | None:
    """The smallest expression or assignment that holds the instruction at which a frame failed."""
    position = next(islice(tb.tb_frame.f_code.co_positions(), tb.tb_lasti // 2, None), None)
    if position is None or None in position:
        return None
    line, end_line, column, end_column = position
    exact = (line, column), (end_line, end_column)
    found: ast.AST | None = None
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.expr | ast.Assign | ast.AugAssign)
            and _span(node)[0] <= exact[0]
            and exact[1] <= _span(node)[1]
        ):
            if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", None), ast.Store):
                continue
            found = node  # a walk goes from the outside in
    return found


def _span(node: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _parts(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what an expression works on, from left to right."""
    match node:
        case ast.BinOp(left, _, right):
            yield from (left, right)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.BoolOp(_, values):
            yield from values
        case ast.Compare(left, _, comparators):
            yield from (left, *comparators)
        case ast.AugAssign(target, _, value):
            yield from (target, value)
        case ast.Call(function, arguments, keywords):
            yield function
            if isinstance(function, ast.Attribute):
                yield function.value
            for argument in (*arguments, *(keyword.value for keyword in keywords)):
                yield from argument.elts if isinstance(argument, ast.List | ast.Tuple) else (argument,)
        case ast.Subscript(value, index):
            yield value
            yield from index.elts if isinstance(index, ast.Tuple) else (index,)
        case ast.Attribute(value):
            yield value
        case ast.Assign([ast.Subscript() as target], value):
            yield from (target, value)
        case ast.Assign(_, value):
            yield value
        case ast.expr():
            yield node


def _seen(part: ast.expr, frame: FrameType, source: str, called: bool) -> Operand | None:
    """An operand as a report shows it; None of what says nothing (a number, `self`) or can't be looked at."""
    if isinstance(part, ast.Starred):
        part = part.value
    number = part.operand if isinstance(part, ast.UnaryOp) else part
    if isinstance(number, ast.Constant | ast.Slice) or (isinstance(part, ast.Name) and part.id == "self"):
        return None
    try:
        value = _value(part, frame)
    except Exception:
        return None
    if isinstance(value, ModuleType) or (called and callable(value) and not hasattr(value, "forward")):
        return None
    code = frame.f_code
    given = isinstance(part, ast.Name) and part.id in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return replace(_operand(_written(part, source), value), given=given)


def _operand(text: str, value: Any) -> Operand:
    shape = getattr(value, "shape", None)
    if hasattr(value, "forward") and hasattr(value, "named_children") and not isinstance(value, type):
        return Operand(text, _module(value), module=True)
    if isinstance(value, FunctionType | BuiltinFunctionType | MethodType):
        return Operand(text, "a function")
    if hasattr(value, "dtype") and isinstance(shape, tuple):
        return Operand(text, type(value).__name__, tuple(map(int, shape)), str(value.dtype).removeprefix("torch."))
    if value is None:
        return Operand(text, "None")
    if isinstance(value, tuple | list) and len(value) <= 8 and all(type(item) in (int, float) for item in value):
        return Operand(text, str(tuple(value)) if isinstance(value, tuple) else str(list(value)))
    if isinstance(value, tuple | list | dict):
        return Operand(text, f"a {type(value).__name__} of {len(value)}")
    if type(value) in (int, float, bool):
        return Operand(text, f"{value:.6g}" if isinstance(value, float) else repr(value))
    return Operand(text, f"a {type(value).__name__}")


def _module(value: Any) -> str:
    """A module as a report shows it: PyTorch's own small ones with their sizes."""
    name = type(value).__name__
    with suppress(Exception):  # ReLU(x) holds a tensor where it wants a yes or no, and can't be told
        if type(value).__module__.startswith("torch.nn.modules.") and not any(True for _ in value.children()):
            whole = f"{name}({value.extra_repr()})"
            return whole if len(whole) <= LONGEST else f"a {name}"
    return f"a {name}"


def _value(part: ast.expr, frame: FrameType) -> Any:
    """The value of an expression that changes nothing.

    Raises:
        ValueError: it might.
    """
    match part:
        case ast.Name(name):
            return frame.f_locals[name] if name in frame.f_locals else frame.f_globals[name]
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, frame)
        case ast.Tuple(elements):
            return tuple(_value(each, frame) for each in elements)
        case ast.Attribute(value, name):
            return getattr(_light(_value(value, frame)), name)
        case ast.Subscript(value, index):
            owner, place = _light(_value(value, frame)), _index(index, frame)
            if not hasattr(owner, "dtype") and (
                isinstance(place, tuple | slice) or not (isinstance(owner, list | tuple) or place in owner)
            ):
                raise ValueError("no array, or nothing there: to look at it might put something there")
            with _no_gradient():
                return owner[place]
        case ast.Call(ast.Attribute(value, name), arguments, keywords) if name in PURE:
            owner = _light(_value(value, frame))
            if not hasattr(owner, "dtype"):
                raise ValueError("no array")
            given = [_value(each, frame) for each in arguments]
            named = {each.arg: _value(each.value, frame) for each in keywords if each.arg is not None}
            with _no_gradient():
                return getattr(owner, name)(*given, **named)
        case ast.BinOp(left, ast.MatMult() | ast.Mult() | ast.Add() | ast.Sub() | ast.Div() as operation, right):
            one, other = _light(_value(left, frame)), _light(_value(right, frame))
            with _no_gradient():
                match operation:
                    case ast.MatMult():
                        return one @ other
                    case ast.Mult():
                        return one * other
                    case ast.Add():
                        return one + other
                    case ast.Sub():
                        return one - other
                    case _:
                        return one / other
    raise ValueError("more than a look")


def _index(index: ast.expr, frame: FrameType) -> Any:
    """The value of what stands between square brackets, of whole numbers, slices, `...` and None.

    Raises:
        ValueError: it is something else.
    """
    match index:
        case ast.Tuple(elements):
            return tuple(_index(each, frame) for each in elements)
        case ast.Slice(lower, upper, step):
            return slice(*(None if each is None else _index(each, frame) for each in (lower, upper, step)))
        case ast.Constant(value):
            return value
    value = _value(index, frame)
    if type(value) is not int:
        raise ValueError("more than a look")
    return value


def _light(value: Any) -> Any:
    """A value that takes no time to compute with.

    Raises:
        ValueError: it is none.
    """
    shape = getattr(value, "shape", ())
    size = 1
    for each in shape if isinstance(shape, tuple) else ():
        size *= int(each)
    if size > NUMBERS:
        raise ValueError("large")
    return value


def _no_gradient() -> Any:
    torch = loaded_torch()
    if torch is None:
        from contextlib import nullcontext

        return nullcontext()
    return torch.no_grad()


def _written(node: ast.AST, source: str) -> str:
    text = " ".join((ast.get_source_segment(source, node) or ast.unparse(node)).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."
