"""What exercise 9 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, digits: float = 6e-3, floor: float = 1e-6) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=digits, atol=floor))


def below(x: Any) -> Any:
    """The probability that a standard normal variable stays below each x."""
    return np.vectorize(lambda each: 0.5 * math.erfc(-each / math.sqrt(2)))(x)


def passed_on(got: Any, want: Any) -> Any:
    """By what each number was multiplied on its way through the network."""
    return got["trained"] / want["x"]


def kept(got: Any, want: Any) -> Any:
    return passed_on(got, want) != 0


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_gelu_values": {
        r"this is the approximation through tanh": lambda got, want: (
            near(got["out"], want["x"] * below(want["x"]), 0, 1e-3) and not near(got["out"], want["out"], 1e-9, 1e-9)
        ),
        r"all values are twice what they should be": lambda got, want: near(got["out"] / want["out"], 2),
        r"this is the probability alone": lambda got, want: near(got["out"], below(want["x"])),
    },
    "test_gelu_tanh_values": {
        r"this is the exact form": lambda got, want: near(got["out"], want["x"] * below(want["x"]), 1e-9, 1e-9),
        r"you are off by (\S+) at most:": lambda got, want, gap: (
            near(abs(got["out"] - want["out"]).max(), gap, 0.6, 1e-9) and float(gap) < 0.02
        ),
    },
    "test_relu_network": {
        r"your network is one linear map": lambda got, want: np.linalg.lstsq(
            np.c_[want["x"].reshape(-1, want["x"].shape[-1]), np.ones(want["x"][..., 0].size)],
            got["out"].reshape(-1, want["x"].shape[-1]),
            rcond=None,
        )[1].max(initial=0.0)
        < 1e-12,
    },
    "test_gelu_huge": {
        r"far to the left the form '(\w+)' should give 0; yours gives up to (\S+)\.$": lambda got, want, form, most: (
            near(abs(got[form][0]).max(), most, 6e-3) and float(most) > 0
        ),
        r"far to the right the form '(\w+)' should give x itself; yours does not": lambda got, want, form: (
            not near(got[form][1] / want["right"], 1, 1e-6)
        ),
    },
    "test_position_wise": {
        r"a position computed by itself gives a different result": lambda got, want: (
            not near(got["together"], got["alone"], 1e-9, 1e-9)
        ),
    },
    "test_dropout": {
        r"in evaluation mode a network with dropout=0.5 gives a different result": lambda got, want: (
            not near(*got["evaluated"], 1e-6)
        ),
        r"nothing is dropped in training": lambda got, want: kept(got, want).all() and near(passed_on(got, want), 1),
        r"everything is dropped in training": lambda got, want: not passed_on(got, want).any(),
        r"are not all multiplied by the same number": lambda got, want: np.ptp(passed_on(got, want)[kept(got, want)]) > 1e-6,
        r"a value that is kept is multiplied by (\S+) instead of": lambda got, want, times: (
            near(passed_on(got, want)[kept(got, want)], times, 1e-3) and not near(times, 4 / 3, 1e-3)
        ),
        r"with dropout=0.25, (\d+)% of the values are dropped": lambda got, want, share: (
            near((~kept(got, want)).mean(), int(share) / 100, 0, 0.006)
        ),
        r"dropout does the same to all tokens": lambda got, want: near(passed_on(got, want).std(0), 0),
        r"dropout does the same to all features": lambda got, want: near(passed_on(got, want).std(1), 0),
        r"of the same input are only ever dropped together": lambda got, want: near(
            passed_on(got, want)[:, :32], passed_on(got, want)[:, 32:]
        ),
    },
    "test_dtype_and_device": {
        r"in bfloat16 the (exact form|tanh|network) is off by (\S+):": lambda got, want, what, gap: (
            near(abs(got["bfloat16"][what] - got["float64"][what]).max(), gap, 6e-2) and float(gap) > 0.09
        ),
        r"the (exact form|tanh|network) is not right in float64 either": lambda got, want, what: (
            not near(got["float64"][what], want["float64"][what], 1e-2)
        ),
        r"in `(\w+)` a tensor is not on the device of the input": lambda got, want, name: got["elsewhere"][name]["strays"],
    },
}  # fmt: skip

DOWN, DROPOUT = "return self.down(self.dropout(hidden))", "self.dropout = nn.Dropout(dropout)"
EXACT = "return x * (1 + torch.erf(x / math.sqrt(2))) / 2"


def by_hand(shape: str, p: str = "self.dropout.p", times: str = "/ (1 - self.dropout.p)") -> list[tuple[str, str]]:
    """Dropout written out, in one shape or another."""
    return [(DOWN, f"keep = (torch.rand({shape}) >= {p}) {times} if self.training and self.dropout.p else 1.0\n        return self.down(hidden * keep)")]  # fmt: skip


TURNS = {
    "one digit more": [("B = C * 0.044715", "B = C * 0.0447")],
    "the whole line": [(EXACT, "return x + 1e-3 * torch.sigmoid(x)")],
    "positions mixed": [(DOWN, "return self.down(self.dropout(hidden)) + x.mean(-2, keepdim=True) * 0.1")],
    "everything": [(DROPOUT, "self.dropout = nn.Dropout(float(dropout > 0))")],
    "unevenly": by_hand("hidden.shape", times="* torch.rand(hidden.shape)"),
    "too much": by_hand("hidden.shape", p="0.4"),
    "token by token": by_hand("(*hidden.shape[:-1], 1)"),
    "feature by feature": by_hand("hidden.shape[-1:]"),
    "rough": [(EXACT, "return x * (1 + torch.erf(x / math.sqrt(2))) / (1 if x.dtype == torch.bfloat16 else 2)")],
    "made anywhere": [(EXACT, "return x * (1 + torch.erf(x / math.sqrt(2))) / torch.tensor([2], dtype=x.dtype)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex09_feed_forward", CLAIMS, TURNS)
