"""What exercise 4 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, share: float = 6e-3) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=share, atol=2e-3))


def encoding(length: int, width: int, base: float = 10000.0) -> np.ndarray:
    """The formula, entry by entry."""
    angles = [[t / base ** ((j - j % 2) / width) for j in range(width)] for t in range(length)]
    return np.array([[math.sin(a) if j % 2 == 0 else math.cos(a) for j, a in enumerate(row)] for row in angles])


def shows(got: Any, clock: int, turn: float) -> bool:
    """Whether a clock's two columns show an angle that grows by `turn` at each position."""
    pair = [[math.sin(t * turn), math.cos(t * turn)] for t in range(len(got))]
    return near(got[:, 2 * clock : 2 * clock + 2], pair, 2e-2)


def has(table: np.ndarray, mean: str, spread: str) -> bool:
    return bool(np.isclose(table.mean(), float(mean), rtol=6e-3) and np.isclose(table.std(), float(spread), rtol=6e-3))


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_encoding_values": {
        r"all your sines stand on the left and all cosines on the right": lambda got, want: (
            near(got[:, : got.shape[1] // 2], encoding(*got.shape)[:, ::2])
            and near(got[:, got.shape[1] // 2 :], encoding(*got.shape)[:, 1::2])
        ),
        r"the cosine stands before the sine": lambda got, want: (
            near(got[:, ::2], encoding(*got.shape)[:, 1::2]) and near(got[:, 1::2], encoding(*got.shape)[:, ::2])
        ),
        r"your row 0 is the encoding of position 1": lambda got, want: near(got[0], encoding(2, got.shape[1])[1]),
        r"with D = (\d+), your clock (\d+) .* turns by (\S+) in a step, whole turns aside; expected (\S+)\.": (
            lambda got, want, width, clock, turn, expected: (
                int(width) == got.shape[1]
                and shows(got, int(clock), float(turn))
                and near(float(expected), 10000 ** (-2 * int(clock) / int(width)))
                and not shows(got, int(clock), float(expected))
            )
        ),
        r"your clock (\d+) .* a sine and a cosine whose squares sum to (\S+) at position 1": (
            lambda got, want, clock, total: near((got[1, 2 * int(clock) : 2 * int(clock) + 2] ** 2).sum(), total)
        ),
    },
    "test_encoding_with_another_base": {
        r"with another base you get what 10000 gives": lambda got, want: near(
            got["another base"], encoding(*got["another base"].shape)
        ),
    },
    "test_shift_matrix": {
        r"your matrix is made for sines on the left": lambda got, want: near(
            got["matrix"] @ np.r_[encoding(9, len(got["matrix"]))[4, ::2], encoding(9, len(got["matrix"]))[4, 1::2]],
            np.r_[
                encoding(40, len(got["matrix"]))[4 + want["offset"], ::2],
                encoding(40, len(got["matrix"]))[4 + want["offset"], 1::2],
            ],
        ),
        r"your matrix works from the right, .* M @ pe\[0\] is not pe\[(\d+)\]": lambda got, want, offset: (
            near(encoding(9, len(got["matrix"]))[4] @ got["matrix"], encoding(40, len(got["matrix"]))[4 + int(offset)])
            and not near(
                got["matrix"] @ encoding(1, len(got["matrix"]))[0], encoding(40, len(got["matrix"]))[int(offset)]
            )
        ),
        r"M @ pe\[0\] is pe\[(\d+)\], but M @ pe\[1\] is not pe\[(\d+)\]": lambda got, want, offset, next_: (
            near(got["matrix"] @ encoding(1, len(got["matrix"]))[0], encoding(40, len(got["matrix"]))[int(offset)])
            and not near(
                got["matrix"] @ encoding(2, len(got["matrix"]))[1], encoding(40, len(got["matrix"]))[int(next_)]
            )
        ),
    },
    "test_sinusoidal_layer": {
        r"every position of a sequence gets the same vector": lambda got, want: near(
            np.ptp(got["out"] - want["x"], axis=1), 0
        ),
        r"the first position gets row 1 of the table": lambda got, want: near(
            (got["out"] - want["x"])[0, 0], encoding(2, want["x"].shape[-1])[1]
        ),
    },
    "test_learned_layer": {
        r"an optimi[sz]er would leave `weight` as it is": lambda got, want: got["learned"] is False,
    },
    "test_table_is_a_buffer": {
        r"the layer has parameters": lambda got, want: got["parameters"] > 0,
        r"the layer has no buffer": lambda got, want: not got["a table among the buffers"],
        r"the table is in `state_dict\(\)`": lambda got, want: got["a table in state_dict()"],
    },
    "test_device": {
        r"on a device other than the CPU, a tensor is not on the device of x": lambda got, want: got["strays"] is True,
    },
    "test_sinusoidal_changes_nothing": {
        r"after the call the caller's x is another": lambda got, want: (got["x"] != want["x"]).any(),
        r"a second call with the same x gives something other than": lambda got, want: (
            (got["first call"] != got["second call"]).any() and (got["x"] == want["x"]).all()
        ),
    },
    "test_learned_changes_nothing": {
        r"after the call the caller's x is another": lambda got, want: (got["x"] != want["x"]).any(),
    },
    "test_initial_weights": {
        r"a new table is zero everywhere": lambda got, want: not got["one"].any(),
        r"many entries of a new table are the same": lambda got, want: len(np.unique(got["one"])) < got["one"].size,
        r"have a standard deviation of (\S+); expected 0.02\. (?!None lies)": lambda got, want, spread: np.isclose(
            got["one"].std(), float(spread), rtol=6e-3
        ),
        r"have a standard deviation of (\S+); expected 0.02\. None lies beyond 0.02": lambda got, want, spread: (
            np.isclose(got["one"].std(), float(spread), rtol=6e-3) and abs(got["one"]).max() <= 0.02
        ),
        r"have a mean of (\S+); expected 0": lambda got, want, mean: np.isclose(
            got["one"].mean(), float(mean), rtol=6e-3
        ),
        r"(\S+)% of the entries of a new table are more": lambda got, want, share: np.isclose(
            (abs(got["one"]) > 0.04).mean() * 100, float(share), atol=0.06
        ),
        r"row (\d+) of a new table has a mean of (\S+) and a standard deviation of (\S+):": (
            lambda got, want, row, mean, spread: has(got["one"][int(row)], mean, spread)
        ),
        r"column (\d+) of a new table has a mean of (\S+) and a standard deviation of (\S+):": (
            lambda got, want, column, mean, spread: has(got["one"][:, int(column)], mean, spread)
        ),
        r"two new layers have the same table": lambda got, want: (got["one"] == got["another"]).all(),
    },
}

DRAWN = "torch.randn(max_len, d_model) * 0.02"
ANGLES = "angles = times[:, None] * speeds  # (T, D/2)"
TURNS = {
    "stepped twice, cosines apart": [
        ("encoding = torch.stack([angles.sin(), angles.cos()], dim=-1)", "encoding = torch.stack([(times[:, None] * speeds**2).sin(), (times[:, None] * (speeds * base ** (-1 / d_model)) ** 2).cos()], dim=-1)")
    ],
    "faster and faster": [(ANGLES, "angles = times[:, None] / speeds")],
    "from pe[0] alone": [("return torch.block_diag(*blocks).float()", "blocks = blocks * torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=blocks.dtype)\n    return torch.block_diag(*blocks).float()")],
    "rows from 1": [("x + self.pe[:length]", "x + sinusoidal_encoding(length + 1, x.size(-1))[1:]")],
    "counting calls": [("return x + self.pe[:length]", "self.pe = self.pe + 1.0\n        return x + self.pe[:length]")],
    "a mean of one": [(DRAWN, f"{DRAWN} + 1.0")],
    "a number per row": [(DRAWN, "torch.randn(max_len, 1).expand(-1, d_model) * 0.02")],
    "uniform": [(DRAWN, "(2 * torch.rand(max_len, d_model) - 1) * 0.02")],
    "uniform, of the right spread": [(DRAWN, "torch.rand(max_len, d_model).sub(0.5) * 0.02 * 12**0.5")],
    "one small column": [(DRAWN, f"{DRAWN} * torch.where(torch.arange(d_model) == 5, 0.1, 1.0)")],
    "frozen": [("nn.Parameter(torch.randn(max_len, d_model) * 0.02)", "nn.Parameter(torch.randn(max_len, d_model) * 0.02, requires_grad=False)")],
    "a seed": [(DRAWN, "torch.randn(max_len, d_model, generator=torch.Generator().manual_seed(1)) * 0.02")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex04_positions", CLAIMS, TURNS)
