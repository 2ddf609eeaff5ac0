"""What exercise 20 says of wrong code is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def same(a: Any, b: Any) -> bool:
    return bool(np.allclose(a, b, rtol=1e-7, atol=1e-7))


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_repeat_heads": {
        r"your heads come in the order 0, 1, 2, 0, 1, 2": lambda got, want: all(
            same(got[:, place], want[:, 2 * (place % 3)]) for place in range(6)
        ),
    },
    "test_one_by_one": {
        r"the first three tokens, given at once, are right, and position (\d+), given alone": lambda got, want, at: (
            same(got["out"][:, : int(at)], want["out"][:, : int(at)])
            and int(at) >= 3
            and not same(got["out"][:, int(at)], want["out"][:, int(at)])
        ),
    },
    "test_cache_bytes": {
        r"the bytes are half as many as they should be": lambda got, want: 2 * got["one text"] == want["one text"],
    },
    "test_causality": {
        r"the output at position (\d+) changes when only positions from 4 on": lambda got, want, at: (
            int(at) < 4 and not same(got["before"][:, int(at)], got["after"][:, int(at)])
        ),
    },
    "test_dtypes": {
        r"in (\w+), (at once|pieces), the output is off by (\S+) of its size": lambda got, want, dtype, how, off: (
            abs(
                np.linalg.norm(got[dtype][how] - want["float64"]["at once"])
                / np.linalg.norm(want["float64"]["at once"])
                - float(off)
            )
            < 0.06 * float(off)
        ),
    },
    "test_device": {
        r"in repeat_heads a tensor is not on the device": lambda got, want: got["heads"]["strays"],
        r"in the layer a tensor is not on the device": lambda got, want: got["layer"]["strays"],
        r"in the layer with a cache a tensor is not on the device": lambda got, want: got["pieces"]["strays"],
    },
}

TURNS = {
    "heads on the cpu": [
        (
            "return x.repeat_interleave(times, dim=1)",
            "return x.repeat_interleave(times, 1) + torch.zeros(1, dtype=x.dtype)",
        )
    ],
    "a mask left behind with a cache": [
        ("causal_mask(stop, x.device)[start:]", "causal_mask(stop, x.device if cache is None else None)[start:]")
    ],
}


def test_what_is_said_is_true(hold):
    hold("ex20_grouped_query", CLAIMS, TURNS)
