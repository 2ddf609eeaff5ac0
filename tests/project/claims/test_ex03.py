"""What exercise 3 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, share: float = 6e-3) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=share, atol=1e-9))


def row_two(got: Any, want: Any) -> tuple[np.ndarray, np.ndarray]:
    """What arrived in row 2 of the gradient, and the gradients of the three places that read it."""
    return got["grad"][2], want["grad_out"][[0, 2, 4]]


def table_of(got: Any, name: str) -> list[np.ndarray]:
    return [got["scaled" if "scale" in name else "plain"]]


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_grad_of_repeated_ids": {
        r"token 2 was read three times, but only the last of its gradients arrived": lambda got, want: near(
            row_two(got, want)[0], row_two(got, want)[1][-1]
        ),
        r"token 2 was read three times, and row 2 got the mean": lambda got, want: near(
            row_two(got, want)[0], row_two(got, want)[1].mean(0)
        ),
    },
    "test_lookup_refuses_ids": {
        r"an id of -1 goes through": lambda got, want: got["negative"].type is None,
    },
    "test_grad_refuses_ids": {
        r"a negative id goes through": lambda got, want: got["negative"].type is None,
    },
    "test_layer_refuses_ids": {
        r"a negative id goes through": lambda got, want: got["negative"].type is None,
    },
    "test_weight_is_a_parameter": {
        r"an optimi[sz]er would leave `weight` as it is": lambda got, want: got["learned"] is False,
    },
    "test_scale": {
        r"you multiply by (\S+); the width is (\d+), and its square root (\S+)\.$": lambda got, want, by, width, root: (
            near(got["out"] / want["weight"][want["ids"]], float(by), 2e-2)
            and int(width) == want["weight"].shape[1]
            and near(float(root) ** 2, int(width), 2e-2)
        ),
    },
    "test_initial_weights": {
        r"many entries of (a new table.*) are the same": lambda got, want, name: any(
            len(np.unique(table)) < table.size for table in table_of(got, name)
        ),
        r"entries of (a new table.*) have a standard deviation of (\S+); expected 0.02\. (?!None lies)": (
            lambda got, want, name, spread: any(near(table.std(), spread) for table in table_of(got, name))
        ),
        r"entries of (a new table.*) have a standard deviation of (\S+); expected 0.02\. None lies beyond 0.02": (
            lambda got, want, name, spread: any(
                near(table.std(), spread) and abs(table).max() <= 0.02 for table in table_of(got, name)
            )
        ),
        r"entries of (a new table.*) have a mean of (\S+); expected 0": lambda got, want, name, mean: any(
            near(table.mean(), mean) for table in table_of(got, name)
        ),
        r"(\S+)% of the entries of (a new table.*) are more than two standard deviations": (
            lambda got, want, share, name: any(
                near((abs(table) > 0.04).mean() * 100, share, 3e-2) for table in table_of(got, name)
            )
        ),
        r"row (\d+) of (a new table.*) has a mean of (\S+) and a standard deviation of (\S+):": (
            lambda got, want, row, name, mean, spread: any(
                near(table[int(row)].mean(), mean) and near(table[int(row)].std(), spread)
                for table in table_of(got, name)
            )
        ),
        r"column (\d+) of (a new table.*) has a mean of (\S+) and a standard deviation of (\S+):": (
            lambda got, want, column, name, mean, spread: any(
                near(table[:, int(column)].mean(), mean) and near(table[:, int(column)].std(), spread)
                for table in table_of(got, name)
            )
        ),
    },
    "test_layers_differ": {
        r"two new layers have the same table": lambda got, want: (
            near(got["one"], got["another"]) or near(got["one"], got["scaled"]) or near(got["another"], got["scaled"])
        ),
    },
    "test_layer_changes_nothing": {
        r"calling the layer changes its table": lambda got, want: (got["weight"] != want["weight"]).any(),
    },
}

DRAWN = "torch.randn(vocab_size, d_model) * 0.02"
TURNS = {
    "one number for all": [(DRAWN, "torch.randn(1, d_model).expand(vocab_size, d_model) * 0.02")],
    "a mean of one": [(DRAWN, "torch.randn(vocab_size, d_model) * 0.02 + 1.0")],
    "three values": [(DRAWN, "torch.rand(vocab_size, d_model).sub(0.5) * 0.02 * 12**0.5")],
    "a column of small ones": [(DRAWN, "torch.randn(vocab_size, d_model) * 0.02 * torch.where(torch.arange(d_model) == 5, 0.1, 1.0)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex03_embeddings", CLAIMS, TURNS)
