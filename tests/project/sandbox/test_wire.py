"""What crosses the border: all that a probe may return comes through as it was, and nothing else comes through."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from grader.judging.comparison import Comparison
from grader.probing.observation import Array, Opaque, Raised, freeze
from grader.probing.outcome import Failure, Outcome, Place
from grader.sandbox.inside import wire


def through(outcome: Outcome, own: dict[str, int] | None = None) -> Outcome:
    """An outcome as it arrives."""
    frame = wire.read(reader(wire.pack_outcome(5, outcome)))
    assert frame.id == 5
    return wire.unpack_outcome(frame, own or {}, 0.25)


def reader(data: bytes) -> wire.ReadExactly:
    stream = io.BytesIO(data)

    def read_exactly(size: int) -> bytes:
        piece = stream.read(size)
        if len(piece) < size:
            raise EOFError
        return piece

    return read_exactly


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Array):
        alike = (one.kind, one.dtype, one.shape, one.device) == (other.kind, other.dtype, other.shape, other.device)
        if one.values is None or other.values is None:
            return alike and one.values is other.values
        return alike and one.values.dtype == other.values.dtype and np.array_equal(one.values, other.values, True)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


@pytest.mark.parametrize(
    "value",
    [
        torch.randn(2, 3),
        torch.randn(3, 2).T,
        torch.randn(4, dtype=torch.bfloat16),
        torch.tensor(1.5, dtype=torch.float64),
        torch.empty(0, 3),
        torch.tensor([True, False]),
        torch.arange(4, dtype=torch.uint8),
        torch.empty(2, 3, device="meta"),
        torch.tensor([1 + 2j, 3 - 1j]),
        torch.tensor([float("nan"), float("inf"), -0.0]),
        np.arange(6.0).reshape(2, 3)[:, ::2],
        np.array(3.0),
        np.array([2**62, -1]),
        np.ones((2, 2), np.float16),
        np.int32(4),
        float("nan"),
        float("-inf"),
        10**30,
        b"\x00\xff",
        "snow ☃ and half a surrogate \ud800",
        {"a": [1, 2.5, None, True, ("x", b"y")], "b": {}},
        Raised("ValueError", ("ValueError", "Exception"), "no", ("n",)),
        Opaque("Thing"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_observation_arrives_as_it_was(value: object):
    frozen = freeze(value)
    assert same(through(Outcome(frozen)).value, frozen)


TREES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text() | some.binary(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(TREES)
def test_any_tree_of_plain_values_arrives_as_it_was(tree: object):
    assert same(through(Outcome(tree)).value, tree)


def test_a_failure_arrives_with_the_places_that_exist():
    failure = Failure("raised", "ValueError", ("ValueError",), "no", (Place("mine", 3, "f"), Place("mine", 99, "g")))
    outcome = through(Outcome(failure=failure, printed="hello"), {"mine": 10})
    assert outcome.failure == Failure("raised", "ValueError", ("ValueError",), "no", (Place("mine", 3, "f"),))
    assert (outcome.printed, outcome.seconds) == ("hello", 0.25)


def array(**changes: Any) -> dict[str, Any]:
    """The description of the array `a0`, two by three, with something changed."""
    described = {"kind": "tensor", "dtype": "float32", "shape": [2, 3], "device": "cpu", "name": "a0"} | changes
    return {"array": list(described.values())}


ARRAYS: dict[str, np.ndarray] = {
    "a0": np.zeros((2, 3)),
    "whole": np.zeros((2, 3), np.int64),
    "small": np.zeros((2, 3), np.float32),
}
FALSE = {
    "an array without its numbers": array(name=None),
    "an array whose numbers are missing": array(name="a7"),
    "an array of another shape than it says": array(shape=[3, 2]),
    "an array of a shape that is none": array(shape=[2, -3]),
    "an array of a shape of truths": array(shape=[True, 3]),
    "a shape that is no list": array(shape="23"),
    "a number of another kind than it says": array(dtype="int64"),
    "numbers in a format that is not agreed": array(name="small"),
    "whole numbers as floats": array(name="whole"),
    "a dtype that does not exist": array(dtype="object"),
    "a kind that does not exist": array(kind="matrix"),
    "numbers on the meta device": array(device="meta"),
    "complex numbers that are no pairs": array(dtype="complex128", shape=[2]),
    "a tag that does not exist": {"lambda": "1"},
    "two tags": {"float": "nan", "bytes": ""},
    "no tag": {},
    "a float that is none": {"float": "1e400"},
    "bytes that are none": {"bytes": "☃"},
    "an error that is none": {"raised": [1, [], "", []]},
    "a type that has no name": {"opaque": None},
    "something very deep": json.loads("[" * 40 + "]" * 40),
}


@pytest.mark.parametrize("what", FALSE)
def test_a_false_observation_is_refused(what: str):
    with pytest.raises(wire.WireError):
        wire.decode(FALSE[what], ARRAYS)
    assert wire.decode(array(), ARRAYS).shape == (2, 3)


def test_without_that_check_an_array_without_numbers_would_pass_for_any_other():
    want = Array("tensor", "float32", (2, 3), "cpu", np.ones((2, 3)))
    forged = Array("tensor", "float32", (2, 3), "cpu", None)
    comparison = Comparison()
    assert comparison.structure(forged, want) is None
    assert comparison.values(forged, want) is None


def frame(head: bytes, block: bytes = b"", head_size: int | None = None, block_size: int | None = None) -> bytes:
    sizes = (len(head) if head_size is None else head_size, len(block) if block_size is None else block_size)
    return wire.HEADER.pack(wire.MAGIC, 5, *sizes) + head + block


def block(header: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


EMPTY = {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]}
FORGED = {
    "nonsense": b"x" * 100,
    "another magic": frame(b"{}").replace(b"SFW1", b"SFW2"),
    "a huge head": frame(b"", head_size=1 << 31),
    "a huge block": frame(b"{}", block_size=1 << 60),
    "no JSON": frame(b"{"),
    "no object": frame(b"[]"),
    "not ASCII": frame('{"a": "☃"}'.encode()),
    "a constant that JSON does not have": frame(b'{"value": NaN}'),
    "brackets without end": frame(b"[" * 200_000),
    "a number without end": frame(b'{"value": ' + b"9" * 10_000 + b"}"),
    "a block that is none": frame(b"{}", b"abc"),
    "a block with a huge header": frame(b"{}", struct.pack("<Q", 1 << 40) + b"{}"),
    "a block with two hundred thousand arrays": frame(b"{}", block({str(i): EMPTY for i in range(200_000)})),
    "a block of a type that does not exist": frame(b"{}", block({"a": EMPTY | {"dtype": "F99"}})),
    "a block with numbers that are not there": frame(b"{}", block({"a": EMPTY | {"shape": [1 << 40]}})),
    "a block whose arrays overlap": frame(
        b"{}",
        block(
            {
                "a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
                "b": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
            },
            bytes(8),
        ),
    ),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_frame_is_refused_at_once(what: str):
    with pytest.raises(wire.WireError):
        wire.read(reader(FORGED[what]))


HEADS: dict[str, dict[str, object]] = {
    "nothing": {},
    "too much": {"value": 1, "failure": None, "printed": "", "verdict": "pass"},
    "prints that are no text": {"value": 1, "failure": None, "printed": 3},
    "a failure of a kind that only the judge finds": {
        "value": None,
        "failure": ["timeout", "", [], "", [], "", 0],
        "printed": "",
    },
    "a failure without its parts": {"value": None, "failure": ["raised"], "printed": ""},
    "a place that is none": {"value": None, "failure": ["raised", "", [], "", [["a", "1", ""]], "", 0], "printed": ""},
}


@pytest.mark.parametrize("what", HEADS)
def test_a_forged_outcome_is_refused(what: str):
    with pytest.raises(wire.WireError):
        wire.unpack_outcome(wire.Frame(5, HEADS[what], {}), {"a": 10}, 0.0)


@pytest.mark.parametrize("value", ["x" * (2 << 20), [1] * (2 << 20), [np.zeros(1)] * 2000, np.zeros(9 << 20)])
def test_what_is_too_large_arrives_as_a_failure(value: object):
    failure = through(Outcome(freeze(value))).failure
    assert failure is not None
    assert failure.type == "TooLarge"
