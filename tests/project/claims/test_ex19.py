"""What exercise 19 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, share: float = 2e-3) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=share, atol=1e-3))


def normed(of: Callable[[Any], Any]) -> Callable[..., bool]:
    """Whether every token is what `of` makes of it."""

    def holds(got: Any, want: Any) -> bool:
        tokens, out = (part.reshape(-1, part.shape[-1]).astype(float) for part in (want["x"], got["out"]))
        return all(near(mine, of(token) * want["weight"]) for token, mine in zip(tokens, out, strict=True))

    return holds


def logistic(z: Any) -> Any:
    return np.vectorize(lambda one: 1 / (1 + math.exp(-one)))(z)


def network(between: Callable[[Any, Any], Any]) -> Callable[..., bool]:
    """Whether the result is `down` of what `between` makes of the two branches."""

    def holds(got: Any, want: Any) -> bool:
        gate, up, down = (np.asarray(want["weights"][name], dtype=float) for name in ("gate", "up", "down"))
        g, u = (np.einsum("btd,fd->btf", want["x"], matrix) for matrix in (gate, up))
        return near(got["out"], np.einsum("btf,df->btd", between(g, u), down))

    return holds


def length(token: Any) -> float:
    return math.sqrt(sum(float(one) ** 2 for one in token))


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_norm": {
        r"this is a layer norm without a shift": normed(lambda x: (x - x.mean()) / max(x.std(), 1e-9)),
        r"you divide by the root of the sum of the squares": normed(lambda x: x / length(x)),
        r"you divide by the mean square itself": normed(lambda x: x * len(x) / length(x) ** 2),
        r"the token is normalized, and the weight does nothing": lambda got, want: normed(
            lambda x: x * math.sqrt(len(x)) / length(x)
        )(got, {**want, "weight": np.ones_like(want["weight"])}),
    },
    "test_silu": {
        r"this is sigmoid\(x\) alone": lambda got, want: near(got["out"], logistic(want["x"])),
        r"this is x \* tanh\(x\)": lambda got, want: near(got["out"], want["x"] * (2 * logistic(2 * want["x"]) - 1)),
    },
    "test_swiglu": {
        r"`up` goes through silu and `gate` does not": network(lambda g, u: g * u * logistic(u)),
        r"gate and up are multiplied, and there is no nonlinearity": network(lambda g, u: g * u),
        r"the two branches are added": network(lambda g, u: g * logistic(g) + u),
        r"silu acts on the product": network(lambda g, u: g * u * logistic(g * u)),
        r"what `up` computes has no part in the result": network(lambda g, u: g * logistic(g)),
        r"the gate is sigmoid\(gate\(x\)\), as in a plain GLU": network(lambda g, u: logistic(g) * u),
    },
    "test_width": {
        r"swiglu_width\((\d+)\) is (\d+), less than 8 \* (\d+) / 3 = (\S+)\.$": lambda got, want, d, width, again, third: (
            d == again
            and got["by d_model"][d] == int(width)
            and int(width) < 8 * int(d) / 3
            and near(8 * int(d) / 3, float(third))
        ),
        r"with multiple_of=64 the width is (\d+), which is no multiple": lambda got, want, width: (
            got["multiples of 64"] == int(width) and int(width) % 64 != 0
        ),
    },
    "test_norm_eps": {
        r"with eps=0.1 the result is that of eps=1e-5": lambda got, want: (
            np.allclose(got["usual"], got["large"], atol=1e-4) and not np.allclose(want["usual"], want["large"], atol=1e-4)
        ),
    },
    "test_norm_low_precision": {
        r"in float16 a token with numbers of some thousands comes out as zeros": lambda got, want: (
            abs(got["float16"]).max() == 0
        ),
    },
    "test_swiglu_low_precision": {
        r"in float64 the SwiGLU is not right either": lambda got, want: abs(got["exact"] - want["exact"]).max() > 1e-5,
        r"in bfloat16 the SwiGLU is off by (\S+), more than rounding can do": lambda got, want, gap: (
            np.isclose(abs(got["rough"] - want["exact"]).max(), float(gap), rtol=6e-2)
            and float(gap) > 0.2 * abs(want["exact"]).max()
        ),
    },
    "test_device": {
        r"(RMSNorm|silu|SwiGLU): a tensor of yours is not on the device": lambda got, want, name: got[name]["strays"],
    },
}  # fmt: skip


PRODUCT, BACK = "return self.down(silu(self.gate(x)) * self.up(x))", "* self.weight).to(x.dtype)"

TURNS = {
    "bfloat16 is rough": [(PRODUCT, PRODUCT + " * (1.5 if x.dtype == torch.bfloat16 else 1)")],
    "made anywhere": [(PRODUCT, PRODUCT + " * torch.ones(1, dtype=x.dtype)")],
    "the norm made anywhere": [(BACK, "* self.weight * torch.ones(1, dtype=x.dtype)).to(x.dtype)")],
    "silu made anywhere": [("return x * torch.sigmoid(x)", "return x * torch.sigmoid(x) * torch.ones(1, dtype=x.dtype)")],
    "no multiple": [("return blocks * multiple_of", "return -(-8 * d_model // 3)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex19_rmsnorm_swiglu", CLAIMS, TURNS)
