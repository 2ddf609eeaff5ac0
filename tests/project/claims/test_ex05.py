"""What exercise 5 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, digits: float = 6e-3) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=digits, atol=1e-6))


def spread(weights: Any) -> Any:
    """How far apart the scores of a row are."""
    return np.log(weights.max(-1) / weights.min(-1))


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_attend_equal_keys": {
        r"so are your weights, but they add up to (\S+) instead of 1": lambda got, want, total: (
            near(got["answer"], float(total) * want["values"].mean(0), 2e-2) and not near(total, 1)
        ),
        r"the values do not count the same in your answer": lambda got, want: (
            np.linalg.matrix_rank(np.stack([got["answer"], want["values"].mean(0)]), 1e-3) == 2
        ),
    },
    "test_attention_values": {
        r"weights of each key sum to 1 over the queries": lambda got, want: (
            near(got["weights"].sum(1), 1) and not near(got["weights"].sum(2), 1, 1e-4)
        ),
        r"too sharp: the scores behind them are (\S+) times": lambda got, want, times: (
            float(times) > 1 and near(spread(got["weights"]), float(times) * spread(want["weights"]), 2e-2)
        ),
        r"too flat: the scores behind them are (\S+) times": lambda got, want, times: (
            0 < float(times) < 1 and near(spread(got["weights"]), float(times) * spread(want["weights"]), 2e-2)
        ),
    },
    "test_weights_are_distributions": {
        r"a row of your weights sums to (\S+) instead of 1": lambda got, want, total: (
            np.isclose(got["weights"].sum(-1), float(total), rtol=6e-3).any() and not near(total, 1)
        ),
    },
    "test_mask": {
        r"zero exactly where the mask is True": lambda got, want: (
            not got["weights"][want["mask"]].any() and got["weights"][~want["mask"]].all()
        ),
        r"the hidden keys get no weight, but a row now sums to (\S+):": lambda got, want, total: (
            not got["weights"][~want["mask"]].any()
            and np.isclose(got["weights"].sum(-1), float(total), rtol=6e-3).any()
            and not near(total, 1)
        ),
        r"a hidden key still gets a weight of (\S+):": lambda got, want, weight: (
            np.isclose(got["weights"][~want["mask"]], float(weight), rtol=6e-2).any() and float(weight) > 0
        ),
    },
    "test_attend_arguments_unchanged": {
        r"the caller's `(\w+)` was written into": lambda got, want, name: (got[name] != want[name]).any(),
    },
    "test_hidden_keys_do_not_leak": {
        r"a weight that is not exactly zero": lambda got, want: (got["hidden"] != 0).any(),
        r"changing the key and the value at a hidden place changes the output": lambda got, want: (
            not np.array_equal(got["before"], got["after"])
        ),
    },
    "test_mask_and_huge_scores": {
        r"very low score here, and hidden ones take its weight": lambda got, want: (
            (got["weights"][:, 0] < want["weights"][:, 0]) & (got["weights"][:, 1:].sum(-1) > 0)
        ).any(),
    },
    "test_linear_in_values": {
        r"mixing 2 V1 - 3 V2 is not the same": lambda got, want: (
            abs(got["both"] - 2 * got["one"] + 3 * got["two"]).max() > 1e-6
        ),
    },
    "test_arguments_unchanged": {
        r"the caller's `(\w+)` is changed": lambda got, want, name: (got[name] != want[name]).any(),
    },
    "test_bfloat16": {
        r"in bfloat16 a weight is off by (\S+) from what it is in float64": lambda got, want, gap: (
            near(abs(got["rough"][1] - want["exact"][1]).max(), gap, 6e-2) and float(gap) > 0.09
        ),
        r"in bfloat16 the output is further away": lambda got, want: (
            abs(got["rough"][0] - want["exact"][0]).max() > 0.2 * abs(want["keys"]).max()
        ),
    },
    "test_device": {
        r"a tensor of yours is not on the device of the inputs": lambda got, want: got["strays"],
    },
}

SOFTMAX = "weights = torch.softmax(scores, dim=-1)"
RETURN = "return weights @ v, weights"
TURNS = {
    "shares by position": [("weights = softmax(scores)  # (T,)", "weights = np.arange(1.0, 1 + len(scores))"), ("import math\n", "import math\n\nimport numpy as np\n")],
    "twice as much": [(SOFTMAX, "weights = 2 * torch.softmax(scores, dim=-1)")],
    "hidden ones are low": [("masked_fill(~mask, -math.inf)", "masked_fill(~mask, -30.0)")],
    "shares of the queries' order": [(RETURN, "weights = weights * torch.arange(1, 1 + weights.size(-1)) / weights.size(-1)\n    return weights @ v, weights")],
    "hidden values are handed over": [(RETURN, "return weights @ v + v.mean(-2, keepdim=True), weights")],
    "values squared": [(RETURN, "return weights @ v**2, weights")],
    "rough": [(RETURN, "return (weights @ v * (2 if v.dtype == torch.bfloat16 else 1)), weights")],
    "rough weights": [(SOFTMAX, "weights = torch.softmax(scores / (3 if v.dtype == torch.bfloat16 else 1), dim=-1)")],
    "mask in place": [("masked_fill(~mask, -math.inf)", "masked_fill(~mask, -math.inf)\n        mask.fill_(True)")],
    "keys in place": [("weights = softmax(scores)  # (T,)", "keys *= 2\n    weights = softmax(scores)")],
    "values in place": [("weights = softmax(scores)  # (T,)", "values *= 2\n    weights = softmax(scores)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex05_attention", CLAIMS, TURNS)
