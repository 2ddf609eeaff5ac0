"""What exercise 23 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def times(got: Any, want: Any, factor: str) -> bool:
    """Whether one array is the other, times a factor that is not 1."""
    return bool(np.allclose(got, float(factor) * want, rtol=2e-2, atol=1e-9)) and abs(float(factor) - 1) > 1e-5


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_newton_schulz": {
        r"after one step your matrix is (\S+) times": lambda got, want, factor: times(
            got["one step"], want["one step"], factor
        ),
    },
    "test_muon": {
        r"the parameter is where it was": lambda got, want: np.allclose(got["after"][0]["w"], want["start"]),
        r"goes up the gradient instead of down": lambda got, want: np.allclose(
            got["after"][0]["w"] - want["start"], want["start"] - want["after"][0]["w"]
        ),
    },
    "test_shapes": {
        r"a matrix of shape \((\d+), (\d+)\) takes a step (\S+) times": lambda got, want, rows, columns, factor: any(
            start.shape == (int(rows), int(columns))
            and times(got["after"][0][name] - start, want["after"][0][name] - start, factor)
            for name, start in want["start"].items()
        ),
    },
    "test_device": {
        r"a tensor of yours is not on the device of the matrix": lambda got, want: got["strays"],
    },
}

TURNS = {
    "twice": [("return (x.T if tall else x).to(matrix.dtype)", "return 2 * (x.T if tall else x).to(matrix.dtype)")],
    "on a copy": [("parameter.sub_(newton_schulz(", "(parameter + 0).sub_(newton_schulz(")],
    "uphill": [("alpha=length)", "alpha=-length)")],
    "made on the CPU": [("x = matrix.to(torch.promote_types(matrix.dtype, torch.float32))", "x = matrix.to(torch.promote_types(matrix.dtype, torch.float32)) + torch.zeros(matrix.shape)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex23_muon", CLAIMS, TURNS)
