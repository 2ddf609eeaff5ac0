"""What crosses the border between the judge and a sandbox: frames of JSON and safetensors, never pickle, all capped.

A frame is a fixed header (magic, id, two lengths), a JSON document, and a block of arrays in the safetensors format.
What comes out of a sandbox was written by somebody who may mean harm: every length is checked before anything is read,
and every value before it is used. An observation is written as JSON with a tag for whatever JSON has no word for, and
its arrays stand in the block.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from grader.probing.observation import Array, Opaque, Raised
from grader.probing.outcome import Failure, Outcome, Place

HEADER = struct.Struct("<4sQIQ")
MAGIC = b"SFW1"
JSON_LIMIT = 1 << 20
REQUEST_LIMIT = 16 << 20  # the other way, from the judge: a submission's sources
BLOCK_LIMIT = 64 << 20
BLOCK_HEADER_LIMIT = 64 << 10  # the names and shapes of the arrays: 200,000 empty ones would cost seconds
ARRAYS_LIMIT = 1000
DEPTH_LIMIT = 32
NAME_LIMIT = 200
KINDS = ("raised", "missing", "flood", "exit", "debugger", "syntax", "memory")
# How the numbers of a dtype, named by its first letters, stand in a block: observations are kept in few formats.
FORMS = {"float": "<f8", "bfloat": "<f8", "int": "<i8", "uint": "<i8", "bool": "|b1", "complex": "<f8"}

ReadExactly = Callable[[int], bytes]
Write = Callable[[bytes], None]


class WireError(Exception):
    """The bytes that came are no frame, or not one that is allowed."""


class TooLarge(WireError):
    """The content is larger than a frame may be."""


class Frame(NamedTuple):
    """A message: the id of the request that it belongs to, a JSON object, and arrays by name."""

    id: int
    head: dict[str, Any]
    arrays: Mapping[str, np.ndarray]


# ---- frames ----------------------------------------------------------------------------------------------------------


def read_from(descriptor: int) -> ReadExactly:
    """A function that reads so many bytes from a file descriptor."""

    def read_exactly(size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = os.read(descriptor, min(size - len(data), 1 << 20))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    return read_exactly


def write_to(descriptor: int) -> Write:
    """A function that writes bytes to a file descriptor, all of them."""

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


def pack(frame: Frame, limit: int = JSON_LIMIT) -> bytes:
    """A frame as bytes.

    Raises:
        TooLarge: it is larger than the other side would take.
    """
    head = json.dumps(frame.head, allow_nan=False).encode("ascii")
    block = safetensors.save(dict(frame.arrays)) if frame.arrays else b""
    if len(head) > limit:
        raise TooLarge(f"more than {limit >> 10} KiB of text, lists and numbers")
    if len(block) > BLOCK_LIMIT:
        raise TooLarge(f"more than {BLOCK_LIMIT >> 20} MiB of arrays")
    if block and int.from_bytes(block[:8], "little") > BLOCK_HEADER_LIMIT:
        raise TooLarge("too many arrays")
    return HEADER.pack(MAGIC, frame.id, len(head), len(block)) + head + block


def read(read_exactly: ReadExactly, limit: int = JSON_LIMIT) -> Frame:
    """Read one frame; `read_exactly(n)` gives the next n bytes or raises EOFError.

    Raises:
        WireError: what comes is no frame.
        EOFError: it ends too early.
    """
    magic, identity, head_size, block_size = HEADER.unpack(read_exactly(HEADER.size))
    if magic != MAGIC:
        raise WireError("no frame")
    if head_size > limit or block_size > BLOCK_LIMIT:
        raise WireError(f"a frame of {head_size} and {block_size} bytes")
    text, block = read_exactly(head_size), read_exactly(block_size)
    try:
        head = json.loads(text.decode("ascii"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise WireError("no JSON") from error
    if type(head) is not dict:
        raise WireError("no JSON object")
    return Frame(identity, head, _unblock(block))


def _unblock(block: bytes) -> dict[str, np.ndarray]:
    if not block:
        return {}
    if len(block) < 8 or int.from_bytes(block[:8], "little") > BLOCK_HEADER_LIMIT:
        raise WireError("too many arrays")
    try:
        return dict(safetensors.load(block))
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise WireError("no arrays") from error


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


# ---- observations ----------------------------------------------------------------------------------------------------


def encode(value: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A frozen observation as a JSON tree and the arrays that it refers to.

    Raises:
        TooLarge: it is nested too deeply.
    """
    arrays: dict[str, np.ndarray] = {}
    _weigh(value, 0)
    return _encode(value, arrays), arrays


def _weigh(value: Any, depth: int) -> tuple[int, int]:
    """Return how much text and how many arrays an observation holds, roughly; it stops as soon as that is too much."""
    if depth > DEPTH_LIMIT:
        raise TooLarge(f"something that is nested more than {DEPTH_LIMIT} deep")
    if isinstance(value, Array):
        return 0, 1
    if not isinstance(value, dict | list):
        return (len(value) if isinstance(value, str | bytes) else 1), 0
    size, arrays = len(value), 0
    if size > JSON_LIMIT:
        raise TooLarge(f"more than {JSON_LIMIT >> 10} KiB of text, lists and numbers")
    for item in value.values() if isinstance(value, dict) else value:
        more = _weigh(item, depth + 1)
        size, arrays = size + more[0], arrays + more[1]
        if size > JSON_LIMIT:
            raise TooLarge(f"more than {JSON_LIMIT >> 10} KiB of text, lists and numbers")
        if arrays > ARRAYS_LIMIT:
            raise TooLarge(f"more than {ARRAYS_LIMIT} arrays")
    return size, arrays


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | str):
        return value if value is None or isinstance(value, bool) else str(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() < 10_000 else {"opaque": "int"}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, bytes):
        return {"bytes": value.decode("latin-1")}
    if isinstance(value, list):
        return [_encode(item, arrays) for item in value]
    if isinstance(value, dict):
        return {"dict": {str(key): _encode(item, arrays) for key, item in value.items()}}
    if isinstance(value, Array) and _form(value.dtype) is None:
        return {"opaque": f"{'tensor' if value.kind == 'tensor' else 'NumPy array'} of dtype {value.dtype}"}
    if isinstance(value, Array):
        return {"array": [value.kind, value.dtype, list(value.shape), value.device, _store(value.values, arrays)]}
    if isinstance(value, Raised):
        return {"raised": [value.type, list(value.bases), value.message, list(value.mentions)]}
    return {"opaque": value.type if isinstance(value, Opaque) else type(value).__name__}


def _store(values: np.ndarray | None, arrays: dict[str, np.ndarray]) -> str | None:
    """Put an array into the block; returns its name there. Complex numbers become pairs."""
    if values is None:
        return None
    if values.dtype.kind == "c":
        values = np.stack([values.real, values.imag], axis=-1).astype(np.float64)
    name = f"a{len(arrays)}"
    arrays[name] = np.array(values, order="C", copy=True)
    return name


def decode(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The observation that a JSON tree and its arrays stand for.

    Raises:
        WireError: they stand for none.
    """
    return _decode(tree, arrays, 0)


def _decode(tree: Any, arrays: Mapping[str, np.ndarray], depth: int) -> Any:
    if depth > DEPTH_LIMIT:
        raise WireError("nested too deeply")
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, list):
        return [_decode(item, arrays, depth + 1) for item in tree]
    if len(tree) != 1:
        raise WireError("no tag")
    ((tag, body),) = tree.items()
    if tag == "dict" and isinstance(body, dict):
        return {key: _decode(item, arrays, depth + 1) for key, item in body.items()}
    if tag == "array" and isinstance(body, list) and len(body) == 5:
        return _decode_array(body, arrays)
    if tag == "float" and body in ("nan", "inf", "-inf"):
        return float(body)
    if tag == "bytes" and isinstance(body, str):
        try:
            return body.encode("latin-1")
        except UnicodeEncodeError:
            raise WireError("no bytes") from None
    if tag == "opaque":
        return Opaque(text(body))
    if tag == "raised" and isinstance(body, list) and len(body) == 4:
        kind, bases, message, mentions = body
        return Raised(None if kind is None else text(kind), texts(bases), text(message, None), texts(mentions))
    raise WireError("an unknown tag")


def _decode_array(body: list[Any], arrays: Mapping[str, np.ndarray]) -> Array:
    """Check that an array is what it says: a false shape or missing numbers would go unnoticed in a comparison."""
    kind, dtype, shape, device, name = body
    dtype, device = text(dtype, 32), text(device, 32)
    if kind not in ("tensor", "array") or not isinstance(shape, list):
        raise WireError("no array")
    if len(shape) > 64 or not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise WireError("no shape")
    if device == "meta":
        if name is not None:
            raise WireError("numbers on the meta device")
        return Array(kind, dtype, tuple(shape), device, None)
    values = arrays.get(name) if isinstance(name, str) else None
    if values is None or values.dtype.str != _form(dtype):
        raise WireError("an array without its numbers")
    if dtype.startswith("complex"):
        if values.ndim == 0 or values.shape[-1] != 2:
            raise WireError("no pairs")
        values = values[..., 0] + 1j * values[..., 1]
    if values.shape != tuple(shape):
        raise WireError("an array of another shape than it says")
    return Array(kind, dtype, tuple(shape), device, values)


def _form(dtype: str) -> str | None:
    return next((form for letters, form in FORMS.items() if dtype.startswith(letters)), None)


def text(value: Any, limit: int | None = NAME_LIMIT) -> str:
    """A string, cut off at the limit.

    Raises:
        WireError: it is none.
    """
    if not isinstance(value, str):
        raise WireError("no text")
    return value[:limit]


def texts(values: Any) -> tuple[str, ...]:
    """A list of strings.

    Raises:
        WireError: it is none.
    """
    if not isinstance(values, list) or len(values) > 100:
        raise WireError("no texts")
    return tuple(text(value) for value in values)


# ---- outcomes --------------------------------------------------------------------------------------------------------


def pack_outcome(identity: int, outcome: Outcome) -> bytes:
    """An outcome as a frame; one that is too large becomes a failure that says so."""
    try:
        tree, arrays = encode(outcome.value)
        return pack(Frame(identity, _outcome_head(outcome, tree), arrays))
    except TooLarge as error:
        failure = Failure("raised", "TooLarge", (), f"it is {error}")
        return pack(Frame(identity, _outcome_head(Outcome(None, failure, "", outcome.seconds), None), {}))


def _outcome_head(outcome: Outcome, tree: Any) -> dict[str, Any]:
    failure = outcome.failure
    told = None
    if failure is not None:
        places = [[place.stem, place.line, place.function] for place in failure.places]
        told = [failure.kind, failure.type, list(failure.bases), failure.message, places, failure.text, failure.offset]
    return {"value": tree, "failure": told, "printed": outcome.printed}


def unpack_outcome(frame: Frame, own: Mapping[str, int], seconds: float) -> Outcome:
    """The outcome that a frame stands for.

    Args:
        own: how many lines each of the learner's own files has, by stem; other places are left out.
        seconds: how long it took, by the judge's own clock.

    Raises:
        WireError: it stands for none.
    """
    if frame.head.keys() != {"value", "failure", "printed"}:
        raise WireError("no outcome")
    printed = text(frame.head["printed"], 4000)
    told = frame.head["failure"]
    if told is None:
        return Outcome(decode(frame.head["value"], frame.arrays), None, printed, seconds)
    if not isinstance(told, list) or len(told) != 7 or told[0] not in KINDS or not isinstance(told[4], list):
        raise WireError("no failure")
    kind, name, bases, message, places, line, offset = told
    if type(offset) is not int or len(places) > 100:
        raise WireError("no failure")
    failure = Failure(
        kind,
        text(name),
        texts(bases),
        text(message, 4000),
        tuple(place for place in map(_place, places) if 0 < place.line <= own.get(place.stem, 0)),
        text(line, 400),
        min(max(offset, 0), 400),
    )
    return Outcome(None, failure, printed, seconds)


def _place(told: Any) -> Place:
    if not isinstance(told, list) or len(told) != 3 or type(told[1]) is not int:
        raise WireError("no place")
    return Place(text(told[0]), told[1], text(told[2], 80))
