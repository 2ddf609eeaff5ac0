"""The judge finds every difference and says in words where it is: shape, then dtype, then NaN, then values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from grader.judging.comparison import Comparison
from grader.probing.observation import Raised, freeze, raised


def explain(got: object, want: object, tolerance: float | None = None, **axes: str) -> str | None:
    comparison = Comparison(tolerance, axes)
    mine, theirs = freeze(got), freeze(want)
    return comparison.structure(mine, theirs) or comparison.values(mine, theirs)


X = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4) + 1
BETTER = X.clone()
BETTER[1, 0, 2] = float("nan")
HIT = X.clone()
HIT[:, 2] += 0.5


@pytest.mark.parametrize(
    ("got", "want", "says"),
    [
        (X.transpose(1, 2), X, ["(2, 4, 3)", "(2, 3, 4)", "another order", "axis 1 (query) and axis 2 (key)"]),
        (X[:, :2], X, ["Axis 1 (query) has size 2 instead of 3"]),
        (X[0], X, ["2 axes where 3 are expected"]),
        (X.float(), X, ["dtype float32", "expected float64"]),
        (X.numpy(), X, ["a NumPy array", "expected a tensor"]),
        (X.to("meta"), X, ["device `meta`"]),
        (BETTER, X, ["`w[1, 0, 2]`", "(head 1, query 0, key 2)", "NaN", "1 of 24 elements is"]),
        (HIT, X, ["`w[0, 2, 0]`", "is 9.5", "expected 9", "off by 0.5", "allowed", "axis 1 (query) index 2"]),
        (2 * X, X, ["2 times what is expected, everywhere"]),
        (X + 3, X, ["3 more than expected, everywhere"]),
        (X * 0, X, ["zero everywhere"]),
        (None, X, ["is None", "a tensor of shape (2, 3, 4)"]),
        (X > 3, X, ["dtype bool"]),
    ],
)
def test_arrays(got: object, want: object, says: list[str]):
    message = explain({"w": got}, {"w": want}, w="head query key")
    assert message is not None
    for part in says:
        assert part in message, message


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(3e-7 * torch.cos(X), id="rounding"),
        pytest.param(1e-3 * (X % 3 == 0), id="at some places"),
        pytest.param(2e-4 * X + 1e-4 * torch.sin(X), id="about a factor"),
        pytest.param(1e-5 * (1 + 0.1 * torch.sin(X)), id="about a distance"),
    ],
)
def test_what_differs_by_more_or_less_is_not_said_to_differ_by_one_number(noise):
    message = explain(X + noise, X, tolerance=1e-10)
    assert message
    assert "everywhere" not in message


def test_a_small_distance_is_told_where_it_is_the_same():
    assert "1e-08 less than expected, everywhere" in explain(X - 1e-8, X, tolerance=1e-10)


def test_swapped_axes_of_one_size_are_named():
    square = torch.arange(9.0).reshape(3, 3) ** 2
    message = explain(square.T, square)
    assert message is not None
    assert "axis 0 and axis 1 swapped" in message


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_rounding_passes_and_a_little_more_does_not(dtype: torch.dtype):
    values = torch.linspace(-3, 3, 50, dtype=torch.float64)
    exact = values.to(dtype)
    assert explain((values * (1 + torch.finfo(dtype).eps)).to(dtype), exact) is None
    slightly = {torch.float64: 1e-5, torch.float32: 1e-3, torch.bfloat16: 0.2}[dtype]
    assert explain((values + slightly).to(dtype), exact) is not None


def test_the_tolerance_follows_the_size_of_what_is_expected():
    tiny = torch.tensor([1e-4, 2e-4, 3e-4], dtype=torch.float64)
    assert explain(tiny + 1e-9, tiny) is not None
    assert explain(tiny * 1e12 + 1e-3, tiny * 1e12) is None


def test_tolerance_zero_asks_for_equality():
    assert explain(X, X, tolerance=0) is None
    assert explain(X * (1 + 1e-15), X, tolerance=0) is not None


def test_expected_infinities_must_be_there():
    want = torch.tensor([0.0, -torch.inf, 2.0])
    assert explain(want.clone(), want) is None
    for got in ([0.0, -1e9, 2.0], [0.0, torch.inf, 2.0], [0.0, torch.nan, 2.0], [0.0, -torch.inf, -torch.inf]):
        assert explain(torch.tensor(got), want) is not None


@pytest.mark.parametrize(
    ("got", "want", "says"),
    [
        ([1, 2, 4], [1, 2, 3], "`result[2]` is 4; expected 3"),
        ([1, 2], [1, 2, 3], "has 2 items; expected 3"),
        ([1, 2, 3, 4], [1, 2, 3], "has 4 items; expected 3"),
        ([[1.0], [2.0]], [[1.0]], "2 items where 1"),
        ("hello", "help", "'hello'; expected 'help'"),
        ("a" * 50 + "x" + "b" * 50, "a" * 50 + "y" + "b" * 50, "from place 50 on"),
        (1.5, 1.25, "is 1.5; expected 1.25"),
        (float("nan"), 1.0, "is nan"),
        (float("inf"), 1.0, "is inf"),
        (3, True, "is an int (3); expected True"),
        (4.5, 4, "whole number"),
        (4, 5, "is 4; expected 5"),
        (torch.tensor(1.0), 1.0, ".item()"),
        (np.arange(3), [0, 1, 2], ".tolist()"),
        (object(), 1.0, "an object"),
        ({"a": 1}, {"a": 1, "b": 2}, "no entry 'b'"),
        ({"a": 1, "c": 2}, {"a": 1}, "'c' that should not be there"),
        ([], [1], "0 items"),
        ([None], [1.0], "is None"),
    ],
)
def test_other_values(got: object, want: object, says: str):
    message = explain(got, want)
    assert message is not None
    assert says in message


@pytest.mark.parametrize(
    "value", [X, 1, 1.5, "text", b"bytes", None, True, [1, 2], [X, 1.0], {"a": [X]}, [], np.eye(2)]
)
def test_everything_equals_itself(value: object):
    assert explain(value, value) is None


def test_lists_and_tuples_and_numpy_numbers_are_what_they_hold():
    assert explain((X, np.float64(2.0), np.int64(3)), [X, 2.0, 3]) is None


def fails(error: Exception) -> Raised:
    def call() -> None:
        raise error

    return raised(call, mentions=["d_model", 7])


def test_errors_are_compared_by_type_and_by_what_they_mention():
    want = fails(ValueError("d_model must be even; got 7"))
    assert explain(fails(ValueError("D_MODEL=7 is odd")), want) is None
    assert explain(fails(UnicodeError("d_model 7: a kind of ValueError")), want) is None
    assert "expected a ValueError" in str(explain(fails(TypeError("d_model 7")), want))
    assert "goes through" in str(explain(raised(lambda: None), want))
    assert "does not name `7`" in str(explain(fails(ValueError("d_model is odd")), want))
    nothing = raised(lambda: None, mentions=["x"])
    assert explain(nothing, nothing) is None
    assert "expected it to go through" in str(explain(want, raised(lambda: None)))


@pytest.mark.parametrize("situation", ["top_p = 0.75", "dropout 0.5 and 1.0"])
def test_a_number_in_the_name_of_a_situation_is_not_cut(situation: str):
    told = str(explain({situation: np.zeros(4)}, {situation: np.ones(4)}))
    assert told.startswith(f"{situation}: the result is 0") or told.startswith(f"{situation}: `result[0]` is 0")


def test_a_pair_is_not_called_a_list():
    told = str(explain((np.zeros(2), np.zeros(2)), np.zeros(2)))
    assert "is a list or a tuple; expected a NumPy array" in told


def test_a_factor_of_one_is_not_told():
    assert "times" not in str(explain(np.ones(9) * (1 + 1e-6), np.ones(9)))
    assert "Yours is 2 times" in str(explain(np.arange(9.0) * 2, np.arange(9.0)))


def test_float64_tensors_leave_room_for_a_constant_in_float32():
    exact = torch.linspace(1, 2, 9, dtype=torch.float64)
    assert explain(exact * torch.sqrt(torch.tensor(2.0)), exact * math.sqrt(2)) is None
    assert explain(exact * (1 + 1e-5), exact) is not None
    assert explain((exact * (1 + 1e-7)).numpy(), exact.numpy()) is not None


def test_a_call_whose_arguments_do_not_fit_is_no_error_that_was_expected():
    def narrow(x: int) -> None:
        raise TypeError(f"narrow() got {x}")

    with pytest.raises(TypeError, match="unexpected keyword"):
        raised(lambda: narrow(1, dropout=2.0))
    assert raised(lambda: narrow(1)).type == "TypeError"  # the exercise's own


def test_an_untouched_stub_is_no_error_that_was_expected():
    def stub() -> None:
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        raised(stub)


# ---- where values are not compared -----------------------------------------------------------------------------------

OUTLINE = freeze({"x": np.arange(6.0).reshape(2, 3), "ids": [1, 2, 3], "loss": 0.5, "name": "q", "none": None})


@pytest.mark.parametrize(
    "change",
    [
        {"ids": [1, 2]},
        {"ids": []},
        {"loss": math.nan},
        {"loss": "0.5"},
        {"name": ""},
        {"none": 0},
        {"x": np.arange(6.0)},
        {"x": np.full((2, 3), np.inf)},
        {"more": 1},
    ],
)
def test_an_outline_holds_keys_lengths_kinds_shapes_and_what_is_finite(change: dict[str, Any]):
    assert Comparison().outline(OUTLINE | freeze(change), OUTLINE)


def test_other_values_have_the_same_outline():
    other = freeze({"x": -np.arange(6.0).reshape(2, 3), "ids": [7, 7, 7], "loss": 3, "name": "k", "none": None})
    assert Comparison().outline(other, OUTLINE) is None


def test_what_is_free_may_have_another_outline_but_is_not_left_out():
    changed = OUTLINE | {"ids": [1], "more": 1, "none": [2]}
    assert Comparison().outline(changed, OUTLINE)
    assert Comparison(free=("ids", "none", "+")).outline(changed, OUTLINE) is None
    assert Comparison(free=("ids", "none", "+")).outline(changed | {"ids": []}, OUTLINE)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"x": np.zeros((2, 3))}, "`x` is the same all along axis 0"),
        ({"x": np.array([[1.0, 2, 3], [1, 2, 3]])}, "`x` is the same all along axis 0"),
        ({"y": np.arange(6.0).reshape(2, 3)}, "`x` and `y` are the same"),
        ({"ids": np.ones(9, int)}, "`ids` is the same number everywhere"),
        ({"losses": [1.0, 1.0, 1.0]}, "all numbers of `losses` are the same"),
    ],
)
def test_what_is_all_the_same_and_should_not_be(values: dict[str, Any], says: str):
    x = np.arange(6.0).reshape(2, 3)
    want = freeze({"x": x, "y": x + 1, "ids": np.arange(9), "losses": [1.0, 0.5, 0.2]})
    assert Comparison().alike(want, want) is None
    assert says in (Comparison().alike(want | freeze(values), want) or "")
    assert Comparison(free=(*values, "x")).alike(want | freeze(values), want) is None


def test_values_are_compared_exactly_where_that_is_asked_for_and_nowhere_else():
    want = freeze(
        {"runs": [{"start": np.arange(3.0), "end": np.arange(3.0)}], "calls": [{"ids": np.arange(2)}], "n": 2}
    )
    moved = freeze({"runs": [{"start": np.arange(3.0), "end": np.ones(3)}], "calls": [], "n": 3})
    comparison = Comparison(free=("calls",))
    assert comparison.exact(moved, want, ()) is None
    assert comparison.exact(moved, want, ("*.start",)) is None
    assert (comparison.exact(moved, want, ("*.end",)) or "").startswith("`runs[0].end[0]` is 1; expected 0")
    assert comparison.exact(moved, want, ("*.start", "n")) == "`n` is 3; expected 2."
