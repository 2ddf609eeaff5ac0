"""What Python, NumPy and PyTorch say of the commonest mistakes, in words that say what to look at.

One table: an error's type, a pattern of its message, and what to say of it. A rule may look at what stands in the line
that failed, and say nothing if that does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import zip_longest

from grader.probing.failing import Operand
from grader.probing.outcome import Failure

Shape = tuple[int, ...]
Say = Callable[["Case"], str]

MODULES = {
    "np": "import numpy as np",
    "torch": "import torch",
    "math": "import math",
    "nn": "from torch import nn",
    "F": "import torch.nn.functional as F",
}


class Case:
    """An error with what stands in the line that failed."""

    def __init__(self, failure: Failure, found: re.Match[str]) -> None:
        self.failure = failure
        self.found = found
        stood = failure.failing
        self.text = f"`{stood.text}`" if stood is not None else "This line"
        self.operands: Sequence[Operand] = stood.operands if stood is not None else ()
        self.arrays = [each for each in self.operands if each.shape is not None]

    @property
    def shapes(self) -> tuple[Shape, Shape] | None:
        """The shapes of both operands, where there are two."""
        shapes = [each.shape for each in self.arrays if each.shape is not None]
        return (shapes[0], shapes[1]) if len(shapes) == 2 else None


def translated(failure: Failure) -> str:
    """Return what to say of an error, before Python's own words for it; "" if these have to do."""
    for kinds, pattern, say in RULES:
        found = re.search(pattern, failure.message)
        if found is not None and kinds & {failure.type, *failure.bases}:
            words = say(Case(failure, found))
            if words:
                return words
    return ""


# ---- shapes ----------------------------------------------------------------------------------------------------------


def turned(case: Case) -> str:
    """A `.T` of more than two axes."""
    wrong = next((each for each in case.arrays if each.text.endswith(".T") and len(each.shape or ()) > 2), None)
    if wrong is None:
        return ""
    return (
        f"{case.text}: `{wrong.text}` has shape {wrong.shape}, since `.T` turns round all axes. `.transpose(-2, -1)` "
        "swaps the last two and leaves the others alone."
    )


def product(case: Case) -> str:
    """A product of matrices whose shapes do not fit."""
    shapes = case.shapes
    if shapes is None or not all(shapes) or turned(case):
        return turned(case)
    one, other = shapes
    inner = other[-2] if len(other) > 1 else other[0]
    if one[-1] == inner:  # then it is about the axes in front
        return unlike(case, one[:-2], other[:-2], "axes in front of the matrices")
    if not meant(case, one[-1], inner):
        return ""
    words = (
        f"{case.text}: {one} @ {other} can't be multiplied: each row of the left has {one[-1]} numbers, each column of "
        f"the right {inner}."
    )
    if len(one) > 1 and len(other) > 1 and one[-1] == other[-1]:
        return f"{words} `{case.arrays[1].text}` with its last two axes swapped would fit: is a transpose missing?"
    if len(one) > 1 and other[-1] == one[-2]:
        return f"{words} The other way round, {other} @ {one}, they would fit: which of them comes first?"
    return f"{words} Write down what each axis means: the two that meet must mean the same."


def broadcast(case: Case) -> str:
    """Two arrays that do not fit beside each other."""
    if "@" in case.text or "matmul" in case.text:
        return product(case)
    return unlike(case, *case.shapes, "shapes") if case.shapes is not None else ""


def meant(case: Case, *sizes: int) -> bool:
    """Whether the error is about these sizes. It may come from deep inside of a call, and be about other arrays."""
    return {str(size) for size in sizes} <= set(re.findall(r"\d+", case.failure.message))


def unlike(case: Case, one: Shape, other: Shape, what: str) -> str:
    """Two shapes that can't be broadcast; "" if they can."""
    pairs = zip_longest(reversed(one), reversed(other), fillvalue=1)
    clash = next(((a, b) for a, b in pairs if a != b and 1 not in (a, b)), None)
    if clash is None or not meant(case, *clash):
        return turned(case)
    words = (
        f"{case.text}: the {what} {one} and {other} don't fit. They are lined up from the right; here {clash[0]} meets "
        f"{clash[1]}."
    )
    small, large = sorted((one, other), key=len)
    if turned(case):
        return turned(case)
    if len(small) == len(large) - 1 and any(_fits((*small[:i], 1, *small[i:]), large) for i in range(1, len(large))):
        keep = "keepdims" if all(each.type == "ndarray" for each in case.arrays) else "keepdim"
        return f"{words} One axis seems to be gone: a sum, a mean or a max drops it, unless {keep}=True keeps it."
    return f"{words} Write down what each axis means: where is one missing, or in another place?"


def _fits(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and all(a == b or 1 in (a, b) for a, b in zip(one, other, strict=True))


def reshaped(case: Case) -> str:
    """A view whose sizes do not give the number of elements."""
    owner = next((each for each in case.arrays if each.shape), None)
    asked, size = case.found["asked"], case.found["size"]
    of = f" of shape {owner.shape}" if owner is not None else ""
    return (
        f"{case.text}: {size} numbers{of} can't be laid out as [{asked}]. Which size is missing, or is there once too "
        "often?"
    )


def axes(case: Case) -> str:
    """An axis that is not there."""
    owner = f": `{case.arrays[0].text}` has shape {case.arrays[0].shape}" if case.arrays else ""
    return f"{case.text} asks for an axis that is not there{owner}. Axes count from 0, or from -1 at the end."


def unpacked(case: Case) -> str:
    """A value that is taken apart into more or fewer names than it has parts."""
    value = case.operands[0] if case.operands else None
    if value is None:
        return ""
    if value.type.startswith("("):
        many = f"{value.type} has {value.type.count(',') + 1} numbers"
    elif value.shape:
        many = f"it has shape {value.shape}, so its first axis gives {value.shape[0]} parts"
    else:
        many = f"it is {value.type}"
    return f"{case.text}: `{value.text}` is taken apart into another number of names than it has parts: {many}."


# ---- types -----------------------------------------------------------------------------------------------------------


def nothing(case: Case) -> str:
    """None where a value should be."""
    empty = next((each for each in case.operands if each.type == "None"), None)
    what = f"`{empty.text}` is None" if empty is not None else "something here is None"
    return f"{case.text}: {what}. Did the function that made it forget its `return`?"


def dtypes(case: Case) -> str:
    """Arrays of two dtypes where there must be one."""
    found = ", ".join(f"`{each.text}` is {each.dtype}" for each in case.arrays)
    told = f": {found}" if len({each.dtype for each in case.arrays}) > 1 else ""
    return f"{case.text}: two dtypes meet{told}. Make new arrays in the dtype of the input (`dtype=x.dtype`)."


def undefined(case: Case) -> str:
    """A name that is not there."""
    name = case.found["name"]
    if case.failure.meant.startswith("self."):
        return f"`{name}` is no variable here, but the object has it: `{case.failure.meant}`."
    if name in MODULES:
        return f"`{name}` is not imported here. At the top of the file: `{MODULES[name]}`."
    return ""


RULES: tuple[tuple[frozenset[str], str, Say], ...] = tuple(
    (frozenset(kinds.split()), pattern, say if callable(say) else lambda _, words=say: words)  # type: ignore[misc]
    for kinds, pattern, say in (
        (
            "RuntimeError ValueError",
            r"cannot be multiplied|matmul: Input operand|size mismatch, got|must match.*contracting",
            product,
        ),
        ("RuntimeError", r"Expected size for first two dimensions of batch2|batch1 and batch2 must have same", product),
        (
            "RuntimeError ValueError",
            r"must match the size of tensor|could not be broadcast|not broadcastable",
            broadcast,
        ),
        ("RuntimeError", r"shape '\[(?P<asked>.*?)\]' is invalid for input of size (?P<size>\d+)", reshaped),
        ("ValueError", r"cannot reshape array of size (?P<size>\d+) into shape \((?P<asked>.*?),?\)", reshaped),
        (
            "RuntimeError",
            r"view size is not compatible",
            lambda case: (
                f"{case.text}: `view` needs the numbers in order in memory, and a transpose has only relabelled them. "
                "`reshape` copies where it must."
            ),
        ),
        ("IndexError AxisError", r"Dimension out of range|out of bounds for array of dimension", axes),
        ("ValueError", r"(too many|not enough) values to unpack", unpacked),
        ("TypeError AttributeError", r"NoneType", nothing),
        ("RuntimeError", r"same dtype|expected scalar type|Input type .* should be the same", dtypes),
        ("NameError", r"name '(?P<name>\w+)' is not defined", undefined),
        (
            "IndexError",
            r"index out of range in self|index \d+ is out of bounds",
            lambda case: f"{case.text}: an index is larger than the table has rows; the last of n is n - 1.",
        ),
        (
            "RuntimeError ValueError",
            r"[Bb]oolean value of Tensor|truth value of an array",
            lambda case: (
                f"{case.text}: an array of several numbers is neither true nor false. Is there one? "
                "`is not None`. To choose element by element: `torch.where` or `masked_fill`."
            ),
        ),
        (
            "AttributeError",
            r"before Module\.__init__\(\) call",
            "A module holds nothing before it is ready: `super().__init__()` has to be the first line of `__init__`.",
        ),
        (
            "RuntimeError",
            r"leaf Variable that requires grad|is a view of a leaf",
            lambda case: (
                f"{case.text} writes into a tensor whose gradient is asked for: an argument (make a new tensor) or a "
                "parameter (which is set inside `torch.no_grad()`)."
            ),
        ),
        (
            "RuntimeError",
            r"modified by an inplace operation",
            "A tensor that the backward pass needs was changed in place (`+=`, a method ending in `_`): make another.",
        ),
        (
            "RuntimeError",
            r"does not require grad and does not have a grad_fn",
            "The loss depends on no parameter by operations that autograd has seen: was something detached on the way "
            "(`.detach()`, `.item()`, `torch.no_grad()`, a tensor made anew)?",
        ),
        (
            "RuntimeError",
            r"numpy\(\) on Tensor that requires grad",
            lambda case: f"{case.text}: NumPy knows no gradients. Stay with PyTorch's functions here.",
        ),
        (
            "RecursionError",
            r"",
            "More calls stand inside of each other than Python allows, about a thousand. If a function calls itself "
            "without an end: which call should go to another object, or stop? If it does so once for each step: use a "
            "loop, which may take any number of them.",
        ),
        (
            "UnboundLocalError",
            r"variable '(?P<name>\w+)'",
            lambda case: (
                f"`{case.found['name']}` is used before it has a value: on some way to here nothing assigns it."
            ),
        ),
        (
            "TypeError",
            r"'(?P<type>Tensor|tuple|torch\.Size|Size|int|numpy\.ndarray)' object is not callable",
            lambda case: (
                f"{case.text}: what stands before the brackets is no function. Square ones pick a part: `x.shape[0]`."
            ),
        ),
    )
)
