"""What exercise 1 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, digits: float = 2e-3) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=digits, atol=1e-9))


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_softmax_values": {
        r"^row (\d+) of your probabilities sums to (\S+) instead of 1$": lambda got, want, row, total: (
            near(got[int(row)].sum(), total, 6e-3) and not near(got[int(row)].sum(), 1, 1e-6)
        ),
        r"^row (\d+) .* (\S+) instead of 1; each column sums to 1$": lambda got, want, row, total: (
            near(got[int(row)].sum(), total, 6e-3) and near(got.sum(0), 1)
        ),
        r"^row (\d+) .* (\S+) instead of 1; the whole array sums to 1$": lambda got, want, row, total: (
            near(got[int(row)].sum(), total, 6e-3) and near(got.sum(), 1)
        ),
        r"the highest score of each row gets its smallest probability": lambda got, want: all(
            mine[np.argmax(right)] == min(mine) for mine, right in zip(got, want, strict=True)
        ),
    },
    "test_softmax_axis": {
        r"axis=(-?\d) the probabilities do not sum to 1 along that axis(?:; along axis (\d) they do)?$": (
            lambda got, want, axis, other: (
                not near(got[f"axis {axis}"].sum(int(axis)), 1, 1e-6)
                and (other is None or near(got[f"axis {axis}"].sum(int(other)), 1))
            )
        ),
    },
    "test_log_softmax_values": {
        r"probabilities that are (\S+) too large, all of them": lambda got, want, more: near(
            np.exp(got["last axis"]) - np.exp(want["last axis"]), float(more), 0.5
        ),
    },
    "test_cross_entropy_values": {
        r"your loss is (\S+), the right size with the wrong sign": lambda got, want, loss: (
            near(got, loss) and near(got, -want) and got < 0
        ),
        r"your loss is (\S+) bits; expected (\S+) nats": lambda got, want, bits, nats: (
            near(got, bits) and near(want, nats) and near(got * np.log(2), want)
        ),
        r"your loss is (\d+) times what it should be": lambda got, want, times: near(got, int(times) * want),
    },
    "test_ignore_index": {
        r"your loss is (\S+), 5/7 of what it should be": lambda got, want, loss: (
            near(got, loss) and near(7 * got, 5 * want)
        ),
    },
    "test_perplexity_values": {
        r"equal scores for (\d+) tokens your perplexity is (\S+):": lambda got, want, vocab, value: (
            near(want["equal scores"], vocab) and near(got["equal scores"], value) and not near(value, vocab)
        ),
    },
    "test_softmax_far_apart": {
        r"with 3 equal scores of enormous size each gets a probability of 1": lambda got, want: any(
            near(got[key][1], [1, 1, 1]) for key in ("float64", "float32")
        ),
        r"with 3 equal scores of enormous size the probabilities sum to (\S+); expected 1": lambda got, want, total: (
            any(near(got[key][1].sum(), total, 6e-3) and not near(total, 1) for key in ("float64", "float32"))
        ),
    },
    "test_minus_infinity": {
        r"a score of -inf gets a probability of (\S+); expected exactly 0": lambda got, want, probability: (
            near(got["softmax"][want["softmax"] == 0].max(), probability, 6e-3) and float(probability) != 0
        ),
        r"with a score of -inf in a row, the other probabilities no longer sum to 1": lambda got, want: (
            (got["softmax"][want["softmax"] == 0] == 0).all() and not near(got["softmax"].sum(-1), 1, 1e-6)
        ),
    },
    "test_types": {
        r"number of NumPy's or an array": lambda got, want: got["is a Python float"] != [True, True, True],
    },
    "test_sure_and_wrong": {
        r"your loss is (\S+); expected (\S+)\. The model was sure of the wrong token": lambda got, want, mine, right: (
            near(got["wrong"], mine) and near(want["wrong"], right) and got["wrong"] < want["wrong"]
        ),
    },
    "test_ignore_padding_id": {
        r"with an ignore_index of 0 all rows count, with another it works": lambda got, want: near(
            got["cross_entropy"], [got["none"], *want["cross_entropy"][1:]]
        ),
        r"your loss leaves the ignored rows out, but your perplexity counts them": lambda got, want: (
            near(got["cross_entropy"], want["cross_entropy"])
            and near(np.log(got["perplexity"]), [got["none"]] * 3)
            and not near(got["perplexity"], want["perplexity"])
        ),
    },
    "test_ignored_rows_hold_anything": {
        r"rows that are ignored make the loss NaN; without them it is right": lambda got, want: (
            np.isnan(got["in those rows alone"]) and near(got["without those rows"], want["without those rows"])
        ),
    },
    "test_nothing_kept": {
        r"with every row ignored your loss is NaN": lambda got, want: np.isnan(got),
    },
    "test_targets_out_of_range": {
        r"a target of -1 goes through": lambda got, want: got["negative"].type is None,
        r"a target of -100 goes through although no ignore_index is given": lambda got, want: (
            got["-100 with nothing to ignore"].type is None
            or got["-100 with nothing said of what to ignore"].type is None
        ),
    },
    "test_softmax_changes_nothing": {
        r"after softmax the caller's `x` is changed": lambda got, want: (got["x"] != want["x"]).any(),
    },
    "test_arguments_unchanged": {
        r"after (log_softmax|cross_entropy) the caller's `(\w+)` is changed": lambda got, want, call, name: (
            got[name] != want[name]
        ).any(),
    },
}

SOFTMAX = "return exps / np.sum(exps, axis=axis, keepdims=True)"
TURNS = {
    "log_softmax in place": [
        (
            "    shifted = x * 1.0 - np.max(x, axis=axis, keepdims=True)\n    return",
            "    x -= np.max(x, axis=axis, keepdims=True)\n    shifted = x\n    return",
        )
    ],
    "sums of columns": [(SOFTMAX, "return exps / np.sum(exps, axis=0)")],
    "twice as much": [(SOFTMAX, "return 2 * exps / np.sum(exps, axis=axis, keepdims=True)")],
    "the other way round": [
        ('''x * 1.0 - np.max(x, axis=axis, keepdims=True)  # "* 1.0"''', '''np.min(x, axis=axis, keepdims=True) - x  # "* 1.0"''')
    ],
    "from one log-sum-exp": [(SOFTMAX, "m = np.max(x * 1.0, axis=axis, keepdims=True)\n    return np.exp(x - (m + np.log(np.sum(exps, axis=axis, keepdims=True))))")],
    "-inf is a low score": [("exps = np.exp(shifted)", "exps = np.exp(np.maximum(shifted, -30.0))")],
    "-inf takes part": [("exps = np.exp(shifted)", "exps = np.exp(shifted) * np.where(np.isneginf(x).any(axis, keepdims=True), 2.0, 1.0)"), (SOFTMAX, "return exps / np.sum(np.exp(shifted), axis=axis, keepdims=True)")],
    "a number of NumPy's": [("float(-np.mean(log_softmax(logits)[rows, targets]))", "-np.mean(log_softmax(logits)[rows, targets])")],
    "clipped": [("log_softmax(logits)[rows, targets]", "np.maximum(log_softmax(logits)[rows, targets], -50.0)")],
    "targets written over": [("logits, targets = logits[kept], targets[kept]", "targets[~kept] = -1\n        logits, targets = logits[kept], targets[kept]")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex01_softmax", CLAIMS, TURNS)
