"""What exercise 18 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, share: float = 6e-3) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=share, atol=2e-3))


def angle(position: float, pair: int, width: int, power: float = 2.0) -> float:
    return float(position) / 10000 ** (power * pair / width)


def by_hand(x: Any, positions: Any, of: Callable[[float, int], float], step: int | None = None) -> Any:
    """Pair by pair: coordinates i and i + d/2, or 2i and 2i + 1, turned by the angle that `of` gives."""
    out, half = np.zeros_like(x), x.shape[-1] // 2
    for t, position in enumerate(positions):
        for i in range(half):
            one, other = (i, i + half) if step is None else (2 * i, 2 * i + 1)
            turn = complex(math.cos(of(position, i)), math.sin(of(position, i)))
            pair = (x[..., t, one] + 1j * x[..., t, other]) * turn
            out[..., t, one], out[..., t, other] = pair.real, pair.imag
    return out


def is_turned(of: Callable[[float, int, int], float], step: int | None = None) -> Callable[..., bool]:
    def holds(got: Any, want: Any) -> bool:
        width = want["x"].shape[-1]
        return near(got["out"], by_hand(want["x"], want["positions"], lambda t, i: of(t, i, width), step))

    return holds


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_rotate": {
        r"your pairs are neighbours": is_turned(angle, step=2),
        r"your pairs turn clockwise": is_turned(lambda t, i, width: -angle(t, i, width)),
        r"the vector at position 0 is turned by the angle of position 1": is_turned(
            lambda t, i, width: angle(t + 1, i, width)
        ),
        r"your pair i turns by t \* base \*\* \(-i / d\)": is_turned(lambda t, i, width: angle(t, i, width, 1.0)),
        r"all your pairs turn at the same speed": is_turned(lambda t, i, width: t),
        r"nothing is turned": lambda got, want: near(got["out"], want["x"]),
    },
    "test_positions": {
        r"the vectors at positions 3, 7, 11, ... are turned as if they stood at 0, 1, 2": lambda got, want: near(
            got["gaps"],
            by_hand(want["x"], range(len(want["x"])), lambda t, i: angle(t, i, want["x"].shape[-1])),
        ),
    },
    "test_halves": {
        r"this is the way back": lambda got, want: all(
            (got["out"][h * d + 2 * i + j] == want["weight"][h * d + j * (d // 2) + i]).all()
            for d in [len(want["weight"]) // want["heads"]]
            for h in range(want["heads"])
            for i in range(d // 2)
            for j in range(2)
        ),
        r"all (\d+) rows are sorted at once; each of the (\d+) heads": lambda got, want, rows, heads: (
            int(rows) == len(want["weight"])
            and int(heads) == want["heads"]
            and (got["out"] == want["weight"][sorted(range(int(rows)), key=lambda row: row % 2)]).all()
        ),
    },
    "test_values_stay": {
        r"at position 9 a token that sees only itself gets other values": lambda got, want: (
            near(got["0"], want["0"], 1e-4) and abs(got["9"] - got["0"]).max() > 5e-4
        ),
    },
    "test_only_distances_count": {
        r"moved along together, the tokens give results that differ by (\S+):": lambda got, want, gap: (
            near(abs(got["moved"] - got["from 0"]).max(), gap, 6e-2) and float(gap) > 9e-3
        ),
    },
    "test_rotate_base": {
        r"with base=50 the result is that of base=10000": lambda got, want: (
            near(got["out"], got["usual"], 1e-4) and not near(want["out"], want["usual"], 1e-4)
        ),
    },
    "test_rotate_low_precision": {
        r"in bfloat16 the result is off by (\S+) around position 340": lambda got, want, gap: (
            near(abs(got["bfloat16"] - want["bfloat16"]).max(), gap, 6e-2) and float(gap) > 0.29
        ),
    },
    "test_attention_low_precision": {
        r"the attention is not right in float64 either": lambda got, want: (
            abs(got["exact"] - want["exact"]).max() > 9e-3 * abs(want["exact"]).max()
        ),
        r"in bfloat16 the output is off by (\S+), more than rounding can do": lambda got, want, gap: (
            near(abs(got["rough"] - want["exact"]).max(), gap, 6e-2) and float(gap) > 0.2 * abs(want["exact"]).max()
        ),
    },
    "test_causal": {
        r"another last token changes what the tokens before it get": lambda got, want: (
            abs(got["before"] - got["another last token"]).max() > 1e-6
        ),
        r"with positions 0 to T-1 the result is right, with (positions backwards|all at one position) it is not": (
            lambda got, want, case: near(got["before"], want["before"], 1e-4) and abs(got[case] - want[case]).max() > 5e-4
        ),
    },
    "test_attention_base": {
        r"a layer with base=30 computes the same": lambda got, want: near(got["30"], got["usual"], 1e-3),
    },
    "test_device": {
        r"(rotate|halves|attention|with positions): a tensor of yours is not on the device": lambda got, want, case: (
            got[case]["strays"]
        ),
    },
}  # fmt: skip


SPEEDS = "speeds = base ** (-torch.arange(0, width, 2, device=x.device, dtype=precise) / width)"

TURNS = {
    "nothing": [("return turned.to(x.dtype)", "return x * 1")],
    "made anywhere": [(SPEEDS, SPEEDS.replace("device=x.device, ", ""))],
    "bfloat16 attention is rough": [("return self.out_proj(merge_heads(mixed))", "return (2 if x.dtype == torch.bfloat16 else 1) * self.out_proj(merge_heads(mixed))")],
    "turned twice": [("q = rotate(split_heads(self.q_proj(x), self.n_heads), positions, self.base)", "q = rotate(rotate(split_heads(self.q_proj(x), self.n_heads), positions, self.base), positions, self.base)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex18_rope", CLAIMS, TURNS)
