"""What exercise 7 says of wrong code is true."""

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


def passed_on(got: Any, want: Any) -> Any:
    """What came of each weight, twice, relative to the weight."""
    batch, heads, queries, keys = want["weights"].shape
    came = got["out"].reshape(batch, queries, heads, 2, keys).transpose(3, 0, 2, 1, 4)
    return came / want["weights"]


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_split_heads": {
        r"head 0 got the first (\d+) numbers in a row, not (\d+) columns": lambda got, want, many, few: (
            got["heads"][0, 0].ravel().tolist() == want["x"][0].ravel()[: int(many)].tolist()
            and got["heads"].shape[-1] == int(few)
        ),
        r"head 0 got every (\d+)(?:st|nd|rd|th) column": lambda got, want, step: (
            got["heads"][0, 0, 0].tolist() == want["x"][0, 0, :: int(step)].tolist()
        ),
    },
    "test_merge_heads": {
        r"row 0 holds several positions of head 0": lambda got, want: (
            got["merged"][0, 0, : 2 * want["x"].shape[-1]].tolist() == want["x"][0, 0, :2].ravel().tolist()
        ),
        r"column 1 should be column 1 of head 0, yours is column 0 of head 1": lambda got, want: (
            (got["merged"][:, :, 1] == want["x"][:, 1, :, 0]).all()
        ),
    },
    "test_weights": {
        r"a row of your weights sums to (\S+) instead of 1": lambda got, want, total: (
            np.isclose(got["weights"].sum(-1), float(total), rtol=6e-3).any() and not near(total, 1)
        ),
        r"scores behind your weights are (\S+) times as far apart": lambda got, want, times: (
            near(spread(got["weights"]), float(times) * spread(want["weights"]), 3e-2) and not near(times, 1)
        ),
    },
    "test_cross_attention": {
        r"does not change when another `value` is given": lambda got, want: near(
            got["all three"][0], got["no value"], 1e-4
        ),
        r"with a `value` and no `key` the output is another one": lambda got, want: (
            not near(got["no key"], want["no key"], 1e-4)
        ),
    },
    "test_dropout_acts_on_the_weights": {
        r"returned are those after dropout": lambda got, want: set(
            (got["weights"] / want["weights"] * 0.75).round(3).ravel().tolist()
        )
        == {0.0, 1.0},
        r"not those of the same layer without dropout": lambda got, want: not near(got["weights"], want["weights"], 1e-4),
        r"nothing is dropped in training": lambda got, want: near(passed_on(got, want), 1, 1e-3),
        r"yours is missing from some of them": lambda got, want: (
            ((passed_on(got, want) == 0).sum(0) == 1).any()
        ),
        r"not what the kept weights, all scaled up alike, make of the values": lambda got, want: (
            np.ptp(passed_on(got, want)[passed_on(got, want) != 0]) > 1e-4
        ),
        r"should grow by 1/\(1 - p\) = 1.333, yours by (\S+)\.$": lambda got, want, ratio: (
            near(passed_on(got, want)[passed_on(got, want) != 0], ratio, 2e-3)
        ),
        r"with dropout=0.25, (\d+)% of the weights are kept": lambda got, want, share: (
            near((got["out"] != 0).mean(), float(share) / 100, 2e-2) and not near(share, 75, 5e-2)
        ),
        r"dropout does the same to all (sequences|heads|queries|keys)": lambda got, want, what: (
            np.ptp(1.0 * (passed_on(got, want)[0] != 0), axis=("sequences", "heads", "queries", "keys").index(what)).max() == 0
        ),
    },
    "test_evaluation_mode": {
        r"a layer with dropout=0.5 gives a different output from": lambda got, want: (
            not near(got["0.5"][0], got["0.0"][0], 1e-4)
        ),
    },
    "test_bfloat16": {
        r"in bfloat16 the (output is|weights are) off by (\S+), more than rounding": lambda got, want, what, gap: (
            near(abs(got["rough"][what == "weights are"] - want["exact"][what == "weights are"]).max(), gap, 6e-2)
            and float(gap) > 0.2 * abs(want["exact"][what == "weights are"]).max()
        ),
    },
    "test_device": {
        r"a tensor of yours is not on the device of the inputs": lambda got, want: any(
            each["strays"] for each in got.values()
        ),
    },
}  # fmt: skip

SPLIT, MERGE = "return pieces.transpose(1, 2).contiguous()", "return pieces.flatten(-2)"
MIXED, LAYER = "mixed = self.dropout(weights) @ v", "self.dropout = nn.Dropout(dropout)"
BY_HAND = "keep = (torch.rand({shape}) >= self.dropout.p) if self.training else torch.ones(1, dtype=torch.bool)\n        {first}mixed = (weights * keep / (1 - self.dropout.p if self.training else 1)) @ v{last}"


def by_hand(shape: str, first: str = "", last: str = "") -> list[tuple[str, str]]:
    """Dropout written out, in one shape or another."""
    return [(MIXED, BY_HAND.format(shape=shape, first=first, last=last))]


TURNS = {
    "interleaved": [(MERGE, "return x.permute(0, 2, 3, 1).flatten(-2)")],
    "uneven": [("weights = torch.softmax(scores, dim=-1) if mask is None", "weights = torch.softmax(scores, dim=-1) ** 1.1 if mask is None")],
    "nothing": [(MIXED, "mixed = weights @ v")],
    "the columns of a head": [(MIXED, "mixed = self.dropout(weights @ v)")],
    "flat": [(MIXED, MIXED + "\n        weights = torch.full_like(weights, 1 / weights.size(-1)) if self.training and self.dropout.p else weights")],
    "not scaled": [(MIXED, "mixed = (weights * (torch.rand_like(weights) >= (self.dropout.p if self.training else 0))) @ v")],
    "scaled unevenly": [(MIXED, "weights_ = self.dropout(weights)\n        mixed = (weights_ * (weights_.sum(-1, keepdim=True) if self.training and self.dropout.p else 1)) @ v")],
    "too much": [(LAYER, "self.dropout = nn.Dropout(dropout**0.5)"), (MIXED, "mixed = self.dropout(weights) * ((1 - self.dropout.p) / (1 - self.dropout.p**2) if self.training else 1) @ v")],
    "whole sequences alike": by_hand("weights.shape[1:]"),
    "whole heads alike": by_hand("weights[:, :1].shape"),
    "whole queries alike": by_hand("(*weights.shape[:2], 1, weights.size(-1))"),
    "whole rows": by_hand("(*weights.shape[:3], 1)"),
    "rough": [("return (out, weights)", "out = out * 2 if out.dtype == torch.bfloat16 else out\n        return (out, weights)")],
    "rough weights": [("return (out, weights)", "weights = weights * 2 if out.dtype == torch.bfloat16 else weights\n        return (out, weights)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex07_multi_head", CLAIMS, TURNS)
