"""Observations: what a probe returned, taken apart into plain values that the judge can compare without torch."""

from __future__ import annotations

import base64
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Array", "Opaque", "Raised", "freeze", "pack", "thaw", "unpack"]


REFUSED = re.compile(r"\w\(\) (?:takes|got|missing)\b")  # how Python says that the arguments of a call don't fit


@dataclass(frozen=True)
class Array:
    """A tensor or an array. Values are kept exactly: float64, int64, bool or complex128; None on the meta device."""

    kind: str  # "tensor" or "array"
    dtype: str  # as the library calls it, without its prefix: "float32", "bfloat16", "int64", "bool"
    shape: tuple[int, ...]
    device: str
    values: np.ndarray | None


@dataclass(frozen=True)
class Opaque:
    """A value of a type that no probe should return; the judge names the type instead of comparing it."""

    type: str


@dataclass(frozen=True)
class Raised:
    """The exception of a call: its type and bases by name, or type None if nothing was raised."""

    type: str | None
    bases: tuple[str, ...] = ()
    message: str = ""
    mentions: tuple[str, ...] = ()


def raised(call: Callable[[], object], mentions: tuple[object, ...] | list[object] = ()) -> Raised:
    """Make the call and return what it raised, for a probe that expects an error.

    `mentions` lists what the message must name, in the reference's and in the learner's wording alike:
    usually the argument and the offending value.
    """
    wanted = tuple(str(item) for item in mentions)
    try:
        call()
    except NotImplementedError:
        raise  # an untouched stub is "not started", not an answer
    except Exception as error:
        if isinstance(error, TypeError) and _refused(error, call):
            raise  # nothing was called: the parameters are not those of the stub
        bases = tuple(base.__name__ for base in type(error).__mro__)
        return Raised(type(error).__name__, bases, str(error), wanted)
    return Raised(None, mentions=wanted)


def _refused(error: TypeError, call: Callable[[], object]) -> bool:
    """Whether Python did not even make the call, since the parameters are others."""
    if REFUSED.search(str(error)) is None:
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    return code is getattr(call, "__code__", None) or code.co_filename.endswith("/torch/nn/modules/module.py")


def loaded_torch() -> Any:
    """PyTorch, if it has been imported; what stands in for it where it is off limits is none."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and "Tensor" in vars(torch) else None


def freeze(value: Any) -> Any:
    """Copy what a probe returned into a tree of dicts, lists, plain values and `Array` leaves."""
    torch = loaded_torch()
    if torch is not None and isinstance(value, torch.Tensor):
        return _freeze_tensor(value)
    if isinstance(value, np.ndarray):
        return Array("array", str(value.dtype), value.shape, "cpu", _widen(value.copy()))
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str | bytes | Raised):
        return value
    if isinstance(value, Mapping):
        return {str(key): freeze(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [freeze(item) for item in value]
    if torch is not None and isinstance(value, torch.dtype | torch.device):
        return str(value)
    return Opaque(type(value).__name__)


def thaw(frozen: Any) -> Any:
    """Replace the `Array` leaves of an observation by NumPy arrays, as an `explain` function sees them."""
    if isinstance(frozen, Array):
        return None if frozen.values is None else frozen.values.copy()
    if isinstance(frozen, dict):
        return {key: thaw(item) for key, item in frozen.items()}
    if isinstance(frozen, list):
        return [thaw(item) for item in frozen]
    return frozen


def pack(frozen: Any) -> Any:
    """Turn an observation into JSON values that a human can read, exactly; `unpack` turns it back."""
    if isinstance(frozen, Array):
        values = None if frozen.values is None else _written(frozen.values)
        return {"array": [frozen.kind, frozen.dtype, list(frozen.shape), frozen.device, values]}
    if isinstance(frozen, Raised):
        return {"raised": [frozen.type, list(frozen.bases), frozen.message, list(frozen.mentions)]}
    if isinstance(frozen, Opaque):
        return {"opaque": frozen.type}
    if isinstance(frozen, bytes):
        return {"bytes": base64.b64encode(frozen).decode()}
    if isinstance(frozen, float) and not math.isfinite(frozen):  # JSON has no word for it
        return {"float": str(frozen)}
    if isinstance(frozen, dict):
        return {"dict": {key: pack(item) for key, item in frozen.items()}}
    if isinstance(frozen, list):
        return [pack(item) for item in frozen]
    return frozen


def unpack(packed: Any) -> Any:
    """Turn what `pack` made back into an observation."""
    if isinstance(packed, list):
        return [unpack(item) for item in packed]
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    match kind:
        case "array":
            what, dtype, shape, device, values = content
            array = None if values is None else _read(values[0], values[1], shape)
            return Array(what, dtype, tuple(shape), device, array)
        case "raised":
            return Raised(content[0], tuple(content[1]), content[2], tuple(content[3]))
        case "opaque":
            return Opaque(content)
        case "bytes":
            return base64.b64decode(content)
        case "float":
            return float(content)
    return {key: unpack(item) for key, item in content.items()}


def _freeze_tensor(tensor: Any) -> Array:
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    shape, device = tuple(tensor.shape), tensor.device.type
    if device == "meta":
        return Array("tensor", dtype, shape, device, None)
    plain = tensor.detach().to("cpu").resolve_conj().resolve_neg()
    if plain.is_sparse:
        plain = plain.to_dense()
    if plain.dtype in (torch.bfloat16, torch.float16):
        plain = plain.to(torch.float64)
    return Array("tensor", dtype, shape, device, _widen(plain.numpy().copy()))


def _written(values: np.ndarray) -> list[str]:
    """The numbers of an array as text, exactly, and the type to read them as; one number if all are the same."""
    flat = values.ravel()
    with np.errstate(over="ignore"):
        short = flat.astype(np.float32) if flat.dtype == np.float64 else flat
    if np.array_equal(short, flat, equal_nan=flat.dtype == np.float64):
        flat = short
    numbers = (flat.astype(np.int64) if flat.dtype == bool else flat).astype(str)
    same = numbers.size > 1 and bool((numbers == numbers[0]).all())
    return [str(flat.dtype), " ".join(numbers[:1] if same else numbers)]


def _read(dtype: str, text: str, shape: list[int]) -> np.ndarray:
    numbers = np.array(text.split(), dtype=str)
    if dtype == "complex128":
        found = np.array([complex(number) for number in numbers], dtype=dtype)
    else:
        found = numbers.astype(np.int64 if dtype == "bool" else dtype).astype(dtype)
    return _widen(np.broadcast_to(found, math.prod(shape)).reshape(shape).copy())


def _widen(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind == "c":
        return values.astype(np.complex128)
    return values
