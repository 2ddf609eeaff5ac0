"""What exercise 11 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.project.claims.test_ex10 import DROPOUT, FINAL, WORKS, called, near, normed, runs_in, shared

SUBLAYERS = ("self_attention", "cross_attention", "feed_forward")
SINGULAR = {"queries": "query", "keys": "key", "values": "value"}


def made_from(got: Any, name: str, part: str) -> Any:
    """What an attention has made its queries, keys or values from, by the defaults of `MultiHeadAttention`."""
    call = next(call for call in got["heard"] if call["name"] == name)
    key = call["query"] if call["key"] is None else call["key"]
    return {"query": call["query"], "key": key, "value": key if call["value"] is None else call["value"]}[
        SINGULAR[part]
    ]


def mask_of(got: Any, name: str, which: str = "with") -> Any:
    return next(call["mask"] for call in got[which] if call["name"] == name)


def equal(a: Any, b: Any) -> bool:
    return a is not None and np.shape(a) == np.shape(b) and bool(np.array_equal(a, b))


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_parameters": {
        r"`(\S+)` is the same parameter as `(\S+)`:": lambda got, want, one, other: shared(got, one, other),
    },
    "test_order": {
        r"your layer calls (.*); expected": lambda got, want, order: called(got, SUBLAYERS) == re.findall(r"`(\S+)`", order),
        r"`(\S+)` runs in `(\S+)`, which is the frame of another": lambda got, want, name, frame: runs_in(got, name, frame),
    },
    "test_norm_first": WORKS,
    "test_stack_norm_first": WORKS,
    "test_sides": {
        r"your layer calls its attentions in the order (.*); expected": lambda got, want, order: (
            [call["name"] for call in got["heard"]] == order.split(", ")
        ),
        r"`(\S+)` makes its (\S+) from the memory; the target": lambda got, want, name, part: near(made_from(got, name, part), want["memory"]),
        r"`cross_attention` gets a memory that was normalized once more": lambda got, want: near(
            made_from(got, "cross_attention", "keys"), want["memory, normed"]
        ),
        r"`(\S+)` makes its (keys|values) from the target, so": lambda got, want, name, part: any(
            near(made_from(got, name, part), each) for each in (want["heard"][1]["query"], want["x"])
        ),
        r"`(\S+)` makes its (\S+) from something other than the memory as it is": lambda got, want, name, part: not near(
            made_from(got, name, part), want["memory"]
        ),
        r"`(\S+)` makes its (\S+) from something other than the norm of the target's": lambda got, want, name, part: not near(
            made_from(got, name, part), next(call["query"] for call in want["heard"] if call["name"] == name)
        ),
    },
    "test_masks": {
        r"in two calls, your layer calls its attentions in the order (.*); expected": lambda got, want, order: (
            [call["name"] for call in (*got["with"], *got["without"])] == order.split(", ")
        ),
        r"`(\S+)` gets no mask although": lambda got, want, name: mask_of(got, name) is None,
        r"`(\S+)` gets `(\S+)`, which belongs to the other": lambda got, want, name, mask: equal(mask_of(got, name), want[mask]),
        r"no mask was given, and `(\S+)` hides something": lambda got, want, name: not np.all(mask_of(got, name, "without")),
        r"with masks, the queries of `(\S+)` are not made from": lambda got, want, name: not near(
            next(call["query"] for call in got["with"] if call["name"] == name),
            next(call["query"] for call in want["with"] if call["name"] == name),
        ),
    },
    "test_relu": {
        r"out of (\S+) the hidden layer makes (\S+), which is what gelu does": lambda got, want, before, after: (
            near((got["out"] - want["x"])[np.isclose(normed(want["x"]), float(before), atol=6e-3)].mean(), float(after), 6e-3)
        ),
        r"what came in stands eight times in what comes out": lambda got, want: near(
            got["out"] - np.maximum(normed(want["x"]), 0), 8 * want["x"], 1e-2
        ),
    },
    "test_causality": {
        r"its output at position (\d+) changes when only positions from (\d+) on": lambda got, want, at, cut: (
            int(at) < int(cut) == want["cut"] and not near(got["as it is"][:, int(at)], got["end replaced"][:, int(at)])
        ),
    },
    "test_own_parameters": {
        r"layers (\d) and (\d) share `(\S+)`:": lambda got, want, one, other, part: (
            got["layer"][f"layers.{other}.{part}"] == got["layer"][f"layers.{one}.{part}"] == one != other
        ),
        r"`(\S+)` was given numbers, and holds others": lambda got, want, name: not near(got["numbers"][name], want["numbers"][name]),
    },
    "test_chain": {
        r"a stack of 3 layers calls its layers (.*); expected": lambda got, want, order: (
            [call["name"] for call in got["heard"]] == order.split(", ")
        ),
        r"layer (\d) does not get the `(\S+)` that the stack was given, but `(\S+)`": lambda got, want, at, one, other: equal(
            got["heard"][int(at)][one], want["given"][other]
        ),
        r"layer (\d) does not get the memory as the encoder returned it, but the target's": lambda got, want, at: near(
            got["heard"][int(at)]["memory"], got["heard"][int(at)]["x"]
        ),
        r"the stack was given a `(\S+)`, and layer (\d) gets none": lambda got, want, name, at: got["heard"][int(at)][name] is None,
    },
    "test_decoder": {r"a post-norm stack has a `norm`": lambda got, want: not got["no norm"]},
    "test_source_padding": {
        r"changes when only the padding of the memory is replaced": lambda got, want: not near(got["as it is"], got["padding replaced"]),
        r"does not change when all words of the memory are replaced": lambda got, want: near(got["as it is"], got["words replaced"]),
    },
    "test_memory_order": {
        r"the output depends on the order": lambda got, want: not near(got["as it is"], got["reordered"]),
    },
    "test_target_order": {
        r"words in another order come out as other vectors": lambda got, want: not near(got["out"][:, got["order"]], got["reordered"]),
    },
    "test_final_norm": FINAL,
    "test_dropout_of_a_layer": DROPOUT,
    "test_dropout_everywhere": DROPOUT,
    "test_dropout_share": {
        r"`(\S+)` drops a fraction of (\S+)\.": lambda got, want, frame, share: (
            abs((got["out"][frame] == want["given"][frame]).mean() - float(share)) < 0.01 and abs(float(share) - 0.25) > 0.04
        ),
    },
    "test_dtypes": {
        r"in float64 the output is not what it should be": lambda got, want: not near(got["float64"], want["float64"], 1e-4),
        r"in bfloat16 the output is further": lambda got, want: abs(got["bfloat16"] - want["float64"]).max() > 0.1,
    },
    "test_device": {
        r"(\S+): with layers and inputs on another device": lambda got, want, order: got[f"{order}, moved"]["strays"],
    },
    "test_arguments_unchanged": {
        r"`(\S+)` holds something else": lambda got, want, name: not np.array_equal(got["given"][name], want["given"][name]),
    },
    "test_evaluation": {
        r"the same input gives two outputs": lambda got, want: not near(got["first"], got["second"]),
    },
}  # fmt: skip

RETURN = "return self.feed_forward_residual(x, self.feed_forward)"
BACK = "        x = self.attention_residual(x, lambda"
TURNS = {
    "bfloat16 is rough": [(RETURN, "out = self.feed_forward_residual(x, self.feed_forward)\n        return out * (1.5 if str(out.dtype).endswith('bfloat16') else 1)")],
    "in place": [(BACK, "        memory *= 2\n" + BACK)],
    "drops in evaluation": [(RETURN, "return self.feed_forward_residual(x, lambda h: nn.functional.dropout(self.feed_forward(h), self.cross_residual.dropout.p))")],
    "mask on the cpu": [(BACK, "        import torch\n\n        everything = torch.ones(x.size(1), x.size(1), dtype=torch.bool)\n        self_mask = everything if self_mask is None else self_mask & everything\n" + BACK)],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex11_decoder", CLAIMS, TURNS)
