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
        f"{case.text}: `{wrong.text}` has shape {wrong.shape}, since `.T` reverses all axes. `.transpose(-2, -1)` "
        "swaps the last two and leaves the others alone."
    )


def product(case: Case) -> str:
    """A product of matrices whose shapes do not fit."""
    shapes = case.shapes
    if shapes is None or not all(shapes) or turned(case):
        return turned(case) or layer(case) or unseen(case)
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


def layer(case: Case) -> str:
    """A linear layer that gets vectors of another width."""
    sizes = re.search(r"shapes cannot be multiplied \(\d+x(\d+) and (\d+)x(\d+)\)", case.failure.message)
    called = next((each for each in case.operands if each.module), None)
    if sizes is None or called is None:
        return ""
    comes, takes, gives = sizes.groups()
    which = f"`{called.text}`" if called.type.startswith("Linear(") else f"a linear layer in `{called.text}`"
    words = f"{case.text}: {which} takes vectors of width {takes} and gives {gives}, and what comes in is {comes} wide."
    return f"{words} Did its two sizes change places?" if comes == gives else words


def unseen(case: Case) -> str:
    """A product of which a side could not be looked at; PyTorch says which two sizes met."""
    sizes = re.search(
        r"batch2 tensor to be: \[\d+, (\d+)\] but got: \[\d+, (\d+)\]|cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)",
        case.failure.message,
    )
    if sizes is None or "@" not in case.text:
        return ""
    row, column = (size for size in sizes.groups() if size is not None)
    words = f"{case.text}: each row of the left has {row} numbers, each column of the right {column}."
    right = case.arrays[0] if len(case.arrays) == 1 and case.text.endswith(f"@ {case.arrays[0].text}`") else None
    if right is not None and right.shape and str(right.shape[-1]) == row:
        return (
            f"{words} `{right.text}` with its last two axes swapped would fit: is a transpose missing, or one too many?"
        )
    return f"{words} Write down what each axis means: the two that meet must mean the same."


def filled(case: Case) -> str:
    """An array that is written into a place of another shape."""
    what, place = (tuple(map(int, re.findall(r"\d+", case.found[name]))) for name in ("what", "place"))
    words = f"{case.text}: an array of shape {what} has to fit where the shape is {place}."
    return f"{words} Which axis does each index count along?"


def joined(case: Case) -> str:
    """Arrays that are joined, and differ elsewhere."""
    along = f"along axis {case.found['axis']}" if "axis" in case.found.groupdict() else "along one axis"
    return f"{case.text}: arrays that are joined {along} must have the same size along every other axis."


def alike(case: Case) -> str:
    """Arrays that are joined, and have different numbers of axes."""
    few = min(case.arrays, key=lambda each: len(each.shape or ()), default=None)
    which = f" `{few.text}` has shape {few.shape}:" if few is not None else ""
    return (
        f"{case.text}: arrays that are joined need the same number of axes.{which} which one is missing? `[:, None]` "
        "and `keepdim=True` make one of size 1."
    )


def parts_of(case: Case) -> str:
    """A tuple or a list that is indexed as an array is."""
    owner = case.operands[0] if case.operands else None
    if owner is None or owner.type != f"a {case.found['kind']} of {owner.type.rpartition(' ')[2]}":
        return ""
    return f"{case.text}: `{owner.text}` is {owner.type}, not an array. Which part of it is meant? Take it apart first."


def gathered(case: Case) -> str:
    """`gather` with an index of another shape."""
    index = f", and `{case.arrays[1].text}` has shape {case.arrays[1].shape}" if len(case.arrays) > 1 else ""
    owner = f" `{case.arrays[0].text}` has shape {case.arrays[0].shape}{index}." if case.arrays else ""
    return (
        f"{case.text}: `gather` takes single numbers, one for each number of its index, so the index needs as many "
        f"axes as the tensor.{owner} Whole rows: `table[ids]`."
    )


def indices(case: Case) -> str:
    """More indices than axes."""
    owner = case.arrays[0] if case.arrays else None
    if owner is None or owner.shape is None:
        return ""
    axes = f"{len(owner.shape)} {'axis' if len(owner.shape) == 1 else 'axes'}"
    return f"{case.text}: `{owner.text}` has shape {owner.shape}, so {axes}, and gets an index for more than that."


def listed(case: Case) -> str:
    """A list that is called."""
    owner = next((each for each in case.operands if each.type.startswith("a list of")), None)
    which = f"`{owner.text}` is {owner.type}" if owner is not None else "what stands before the brackets is a list"
    return f"{case.text}: {which}, and a list can't be called. Call what stands in it, one after the other."


def too_large(case: Case) -> str:
    """A number that a dtype can't hold."""
    ends = {"Half": ("float16", "65504"), "BFloat16": ("bfloat16", "3.4e38"), "float": ("float32", "3.4e38")}
    if case.found["kind"] not in ends:
        return f"{case.text}: whole numbers can't hold this one. Does the tensor have to be floating point (`dtype=`)?"
    dtype, end = ends[case.found["kind"]]
    return (
        f"{case.text}: {dtype} reaches from -{end} to {end}, and a number here lies outside. To hide a score, "
        "`float('-inf')` works in every floating dtype; a new tensor gets another dtype by `dtype=`."
    )


def fractions(case: Case) -> str:
    """An index that is not whole."""
    wrong = next((each for each in case.arrays[1:] if "float" in each.dtype), None)
    which = f"`{wrong.text}` is {wrong.dtype}. " if wrong is not None else ""
    return f"{case.text}: {which}Indices are whole numbers, or a mask of True and False."


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
        return (
            f"{case.text}: what comes back on the right has a different number of parts than there are names on the "
            f"left ({case.found['many']}). An array is taken apart along its first axis."
        )
    if value.type.startswith("("):
        many = f"{value.type} has {value.type.count(',') + 1} numbers"
    elif value.shape:
        many = f"it has shape {value.shape}, so its first axis gives {value.shape[0]} parts"
    else:
        many = f"it is {value.type}"
    return f"{case.text}: `{value.text}` is taken apart into a different number of names than it has parts: {many}."


# ---- types -----------------------------------------------------------------------------------------------------------


def nothing(case: Case) -> str:
    """None where a value should be."""
    empty = next((each for each in case.operands if each.type == "None"), None)
    if empty is None and ".get(" in case.text:
        return f"{case.text}: something here is None. Is it what `get` gives for a key that is not there?"
    if empty is None:
        return f"{case.text}: something here is None. Did the function that made it forget its `return`?"
    words = f"{case.text}: `{empty.text}` is None"
    if empty.given:
        return f"{words}. It is an argument, and this call leaves it out or gives None: what should happen then?"
    if "grad" in empty.text:
        return f"{words}: no backward pass has reached that parameter. What should happen then?"
    if empty.text.startswith("self."):
        return f"{words}. What does `__init__` set it to?"
    return f"{words}. Did the function that made it forget its `return`?"


def lookup(case: Case) -> str:
    """A key or an index that a dict or a list does not have."""
    owner = next((each for each in case.operands if case.text.startswith(f"`{each.text}[")), None)
    if owner is None:
        return ""
    if owner.type.endswith(" of 0") or owner.type in ("[]", "()"):
        return f"{case.text}: `{owner.text}` is empty. What should happen as long as nothing is in it?"
    if case.failure.type == "KeyError":
        return (
            f"{case.text}: `{owner.text}` has no key {case.failure.message}. What should happen as long as it has none?"
        )
    return ""


def no_tensor(case: Case) -> str:
    """Something else where a tensor should be."""
    kind = case.found["kind"]
    stood = next((each for each in case.operands if each.module and kind in each.type and each.given is False), None)
    what = next((each for each in case.operands if each.type == "a function"), None)
    if kind in ("function", "method", "builtin_function_or_method"):
        which = f"`{what.text}`" if what is not None else "something"
        return (
            f"{case.text}: {which} is a function, and its result is wanted. Call it: what comes between the brackets?"
        )
    if kind in ("int", "float"):
        name = re.match(r"`torch\.(sqrt|exp|log|sin|cos|tanh|floor|ceil)\(", case.text)
        return f"{case.text}: it works on tensors, and gets a single number: `math.{name[1]}`." if name else ""
    if kind == "ndarray":
        return f"{case.text}: a NumPy array stands where a tensor is wanted. Stay with PyTorch's functions here."
    if kind in ("tuple", "list"):
        return f"{case.text}: a {kind} stands where a tensor is wanted. Which part of it is meant?"
    return module_for_tensor(case, stood)


def module_for_tensor(case: Case, module: Operand | None) -> str:
    """A module where the tensor should be that it makes."""
    if module is None:
        return ""
    return (
        f"{case.text}: `{module.text}` is a module, and a tensor is wanted. A module makes one when it is called: "
        f"`{module.text}(x)`; what it is made with goes into its own brackets (`nn.ReLU()`)."
    )


def attribute(case: Case) -> str:
    """An attribute of a tensor that is asked of a module: it was handed over instead of what it makes."""
    if case.text.strip("`").endswith(f".{case.found['name']}"):
        return ""  # then the name is the learner's own
    found = (
        each for each in case.operands if each.module and each.type.removeprefix("a ").startswith(case.found["kind"])
    )
    return module_for_tensor(case, next(found, None))


def not_called(case: Case) -> str:
    """A function in a sum or a product."""
    what = next((each for each in case.operands if each.type == "a function"), None)
    return "" if what is None else f"{case.text}: `{what.text}` is a function. Call it: `{what.text}(...)`."


def without_forward(case: Case) -> str:
    """A module that can't be called."""
    kind = case.found["kind"]
    if kind in ("ModuleList", "ModuleDict"):
        return (
            f"{case.text}: a {kind} keeps modules and does nothing with them. Call them one by one, each with what the "
            "one before gave."
        )
    return f"{case.text}: {kind} has no `forward`. Is it spelled differently, or indented too far?"


def dtypes(case: Case) -> str:
    """Arrays of two dtypes where there must be one."""
    found = ", ".join(f"`{each.text}` is {each.dtype}" for each in case.arrays)
    told = f": {found}" if len({each.dtype for each in case.arrays}) > 1 else ""
    return f"{case.text}: two dtypes meet{told}. Make new arrays in the dtype of the input (`dtype=x.dtype`)."


def undefined(case: Case) -> str:
    """A name that is not there."""
    name = case.found["name"]
    if case.failure.meant.startswith("self."):
        return f"`{name}` is not a variable here, but the object has it: `{case.failure.meant}`."
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
                f"{case.text}: this needs the numbers in order in memory and without gaps, as they need not be after a "
                "transpose or a slice. In place of `view`, `reshape` copies where it must; `.contiguous()` does so "
                "before any other operation."
            ),
        ),
        ("ValueError", r"from shape \((?P<what>.*?)\) into shape \((?P<place>.*?)\)", filled),
        ("RuntimeError", r"value tensor of shape \[(?P<what>.*?)\].*result of shape \[(?P<place>.*?)\]", filled),
        (
            "RuntimeError",
            r"expanded size of the tensor.*Target sizes: \[(?P<place>.*?)\]\.\s+Tensor sizes: \[(?P<what>.*?)\]",
            filled,
        ),
        ("RuntimeError", r"Sizes of tensors must match except in dimension (?P<axis>\d+)", joined),
        ("ValueError", r"dimensions except for the concatenation axis must match exactly", joined),
        ("RuntimeError", r"Tensors must have same number of dimensions", alike),
        ("ValueError", r"input arrays must have same number of dimensions", alike),
        ("TypeError", r"(?P<kind>tuple|list) indices must be integers or slices", parts_of),
        (
            "RuntimeError ValueError",
            r"Expected target size \[|Expected input batch_size \(\d+\) to match target batch_size",
            lambda case: (
                f"{case.text}: it takes one row of logits for each target, (N, V) and (N,). Where there are batches of "
                "texts, both are flattened: which of their axes become one?"
            ),
        ),
        ("RuntimeError", r"Size does not match at dimension|Index tensor must have the same number", gathered),
        ("IndexError", r"too many indices for", indices),
        ("IndexError", r"used as indices must be|only integers, slices", fractions),
        ("IndexError AxisError", r"Dimension out of range|out of bounds for array of dimension", axes),
        ("ValueError", r"(?:too many|not enough) values to unpack \((?P<many>.*?)\)", unpacked),
        ("TypeError AttributeError", r"NoneType", nothing),
        ("TypeError", r"must be Tensor, not (?P<kind>\w+)", no_tensor),
        ("TypeError", r"unsupported operand.*'(?:function|method|builtin_function_or_method)'", not_called),
        ("AttributeError", r"'(?P<kind>\w+)' object has no attribute '(?P<name>\w+)'", attribute),
        ("NotImplementedError", r"Module \[(?P<kind>\w+)\] is missing the required \"forward\"", without_forward),
        (
            "TypeError",
            r"unexpected keyword argument '(?:dim|keepdim)'",
            lambda case: (
                f"{case.text}: NumPy's functions say `axis` and `keepdims` where PyTorch's say `dim` and `keepdim`."
                if case.text.startswith("`np.") or any(each.type == "ndarray" for each in case.arrays)
                else ""
            ),
        ),
        ("RuntimeError", r"same dtype|expected scalar type|Input type .* should be the same", dtypes),
        ("RuntimeError", r"cannot be converted to type (?:\w+::)?(?P<kind>\w+) without overflow", too_large),
        ("KeyError", r"", lookup),
        ("IndexError", r"(?:list|tuple) index out of range", lookup),
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
                f"{case.text}: an array of several numbers is neither true nor false. `is not None` asks whether there "
                "is one. Element by element, masks are joined by `&`, `|` and `~`, and `torch.where` chooses."
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
            "Calls are nested more deeply than Python allows, about a thousand levels. If a function calls itself "
            "endlessly: which call should go to another object, or stop? If it does so once for each step: use a "
            "loop, which may take any number of them.",
        ),
        (
            "UnboundLocalError",
            r"variable '(?P<name>\w+)'",
            lambda case: (
                f"`{case.found['name']}` is used before it has a value: on some path to here nothing assigns it."
            ),
        ),
        (
            "TypeError",
            r"'(?P<type>Tensor|tuple|torch\.Size|Size|int|numpy\.ndarray)' object is not callable",
            lambda case: (
                f"{case.text}: what stands before the brackets is not callable. Square ones pick a part: `x.shape[0]`."
            ),
        ),
        ("TypeError", r"'list' object is not callable", listed),
        (
            "TypeError ValueError",
            r"only one element tensors can be converted|only (?:length-1|0-dimensional) arrays can be converted",
            lambda case: (
                f"{case.text}: here a single number is needed, and an array of several came. The functions of `math` "
                "take one number; those of NumPy and PyTorch take arrays."
            ),
        ),
        (
            "EOFError",
            r"EOF when reading a line",
            lambda case: (
                f"{case.text} waits for somebody to type, and nobody can here. With `make test ARGS=--debug`, it works."
            ),
        ),
    )
)
