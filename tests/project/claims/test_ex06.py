"""What exercise 6 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, digits: float = 6e-3) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=digits, atol=1e-6))


def equal_and_visible(want: Any) -> Any:
    """The entries of "low" whose score is -1e12: those that have a weight."""
    return want["low"] > 0


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_causal_mask": {
        r"True exactly where it should be False": lambda got, want: np.array_equal(got, np.triu(np.ones_like(want), 1)),
        r"query 0 sees every key and the last query only its own": lambda got, want: (
            got[0].all() and got[-1].tolist() == [False] * (len(got) - 1) + [True]
        ),
        r"no query sees its own position": lambda got, want: not any(got[i, i] for i in range(len(got))),
        r"query 0 sees key 1,": lambda got, want: got[0, 1],
    },
    "test_padding_mask": {
        r"True at the padding and False at the tokens": lambda got, want: not (got ^ ~want).any(),
        r"the real tokens stand at the beginning of a sequence": lambda got, want: (
            all(row.tolist() == sorted(row.tolist()) for row in got) and (got.sum(-1) == want.sum(-1)).all()
        ),
        r"a sequence of length (\d+) has (\d+) True entries": lambda got, want, length, count: any(
            (right.sum(), mine.sum()) == (int(length), int(count)) and length != count
            for mine, right in zip(got, want, strict=True)
        ),
    },
    "test_combine_masks": {
        r"query (\d+) may attend to key (\d+) in your mask, although it lies in the future": lambda got, want, q, k: (
            int(k) > int(q) and got[:, 0, int(q), int(k)].any()
        ),
        r"query (\d+) may attend to key (\d+) in your mask, although it is padding": lambda got, want, q, k: (
            int(k) <= int(q) and (got & ~want)[:, 0, int(q), int(k)].any()
        ),
        r"query (\d+) may not attend to key (\d+) in your mask, although both": lambda got, want, q, k: (
            (want & ~got)[:, 0, int(q), int(k)].any()
        ),
    },
    "test_masked_softmax": {
        r"zero exactly where the mask is True": lambda got, want: not got[want > 0].any() and got[want == 0].all(),
        r"the hidden keys get no weight, but a row sums to (\S+)\.": lambda got, want, total: (
            not got[want == 0].any()
            and np.isclose(got.sum(-1), float(total), rtol=6e-3).any()
            and not near(total, 1)
        ),
        r"a hidden key gets a weight of (\S+):": lambda got, want, weight: (
            np.isclose(abs(got[want == 0]), float(weight), rtol=6e-2).any() and float(weight) > 0
        ),
    },
    "test_nothing_to_attend_to": {
        r"still has weights that sum to 1; its first key gets (\S+)\.$": lambda got, want, first: (
            near(got["weights"][0, 1].sum(), 1) and near(got["weights"][0, 1, 0], first, 5e-2)
        ),
    },
    "test_causal_mask_device": {
        r"not on the `device` that is asked for": lambda got, want: any(each["strays"] for each in got.values()),
    },
    "test_huge_scores": {
        r"a huge score at a hidden place takes the weight away": lambda got, want: (
            got["below a hidden one"].sum(-1) < got["beside a hidden one"].sum(-1) - 1e-4
        ).any(),
        r"equal scores of -1e12 get a weight of 1 each, so a row sums to (\S+):": lambda got, want, total: (
            (got["low"][equal_and_visible(want)] == 1).all() and near(got["low"].sum(-1).max(), total)
        ),
        r"a key with a very low score loses against a hidden one": lambda got, want: (
            (got["lower than what is hidden"] * ~want["mask"]).sum(-1)
            > (got["lower than what is hidden"] * want["mask"]).sum(-1)
        )[want["mask"].any(-1)].any(),
        r"the lowest score that float32 has get 1/(\d+) each, as if the hidden": lambda got, want, keys: (
            want["mask"].shape[-1] == int(keys)
            and near(got["lowest of all"][want["mask"]], 1 / int(keys))
            and not want["mask"].all(-1).any()
        ),
    },
    "test_low_precision": {
        r"in (\S+) a hidden entry has a weight that is not exactly zero": lambda got, want, dtype: any(
            (got[dtype][key] * ~want["mask"]).any() for key in ("weights", "far apart")
        ),
        r"in (\S+) the gradient of a row that may see nothing is not zero": lambda got, want, dtype: (
            not want["mask"][1].any() and (got[dtype]["scores"][1] != 0).any()
        ),
        r"in (\S+) the weights of a row sum to less than one half": lambda got, want, dtype: (
            (got[dtype]["far apart"].sum(-1) < 0.5)[want["mask"].any(-1)].any()
        ),
        r"in (\S+) a weight is off by (\S+):": lambda got, want, dtype, gap: (
            near(abs(got[dtype]["weights"] - want[dtype]["exact"]).max(), gap, 6e-2) and float(gap) > 0.09
        ),
    },
    "test_other_axes": {
        r"with dim=(\d) your weights do not sum to one along that axis": lambda got, want, axis: (
            not near(got[("first", "middle")[int(axis)]].sum(int(axis)), want[("first", "middle")[int(axis)]].sum(int(axis)), 1e-4)
        ),
    },
    "test_arguments_unchanged": {
        r"the caller's `(\w+)` is changed": lambda got, want, name: (got[name] != want[name]).any(),
    },
    "test_device": {
        r"in `(\w+)` a tensor is not on the device of the inputs": lambda got, want, name: got[name]["strays"],
    },
}  # fmt: skip

RETURN = "return torch.softmax(scores + hidden, dim) * some"
CAUSAL = "torch.ones(length, length, dtype=torch.bool, device=device).tril()"
TURNS = {
    "no padding": [("return causal & padding[:, None, None, :]", "return (causal & padding[:, None, None, :]) | (padding[:, None, None, :] < causal.tril())")],
    "low, not hidden": [(RETURN, "return torch.softmax(scores.masked_fill(~mask, -1e9), dim) * some")],
    "half as much": [(RETURN, "return torch.softmax(scores + hidden, dim) * some / 2")],
    "a trace of it": [(RETURN, "return torch.softmax(scores + hidden, dim) * some + (1e-4 if scores.dtype == torch.float16 else 0) * ~mask")],
    "a gradient for nobody": [(RETURN, "return torch.softmax(scores + hidden, dim) * some + (scores - scores.detach()) * (~some)")],
    "off where far apart": [(RETURN, "return torch.softmax(scores + hidden, dim) * some * (0.25 if scores.abs().max() > 1000 and scores.dtype == torch.bfloat16 else 1)")],
    "rough": [(RETURN, "return torch.softmax(scores / (2 if scores.dtype == torch.bfloat16 else 1) + hidden, dim) * some")],
    "mask in place": [(RETURN, "mask.logical_not_()\n    return torch.softmax(scores + hidden, dim) * some")],
    "made anywhere": [("torch.arange(max_len, device=lengths.device)", "torch.arange(max_len)")],
    "two devices": [(CAUSAL, "torch.ones(length, length, dtype=torch.bool).tril() & torch.ones(length, length, dtype=torch.bool, device=device)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex06_masks", CLAIMS, TURNS)
