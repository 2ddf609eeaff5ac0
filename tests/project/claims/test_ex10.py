"""What exercise 10 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, digits: float = 1e-6) -> bool:
    if np.ndim(a) == np.ndim(b) and np.shape(a) != np.shape(b):
        return False
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=digits, atol=digits))


def shared(got: Any, one: str, other: str) -> bool:
    return got["found"][one]["is"] == got["found"][other]["is"]


def called(got: Any, sublayers: tuple[str, ...]) -> list[str]:
    return [call["name"] for call in got["calls"] if call["name"] in sublayers]


def runs_in(got: Any, sublayer: str, frame: str) -> bool:
    return {"name": sublayer, "inside": frame} in got["calls"]


def works_in(got: Any, want: Any, order: str, frame: str, found: str) -> bool:
    """Whether a frame with nothing to add hands x on (pre-norm), or norms it and then scales and shifts (post-norm)."""
    x, out = want["seen"]["pre-norm"][frame], got["seen"][order][frame]
    if found == "pre-norm":
        return near(out, x)
    normed = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    slope = np.stack([np.polyfit(normed[..., i].ravel(), out[..., i].ravel(), 1) for i in range(x.shape[-1])])
    return near(normed * slope[:, 0] + slope[:, 1], out, 1e-4)  # an affine function of each normed feature


def order_of(given: str) -> str:
    return "pre-norm" if "True" in given else "post-norm"


def layer_norm(x: Any, norm: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * norm["weight"] + norm["bias"]


def drops_nothing(got: Any, _: Any, order: str, part: str) -> bool:
    return near(got[order][part], got[order]["in evaluation"])


def something_else_drops(got: Any, want: Any, order: str) -> bool:
    parts = [part for part in want[order] if part != "in training"]
    return all(near(got[order][part], want[order][part]) for part in parts) and not near(
        got[order]["in training"], want[order]["in training"]
    )


WORKS = {
    r"with (no `norm_first`|`norm_first=True`), `(\S+)` works in (\S+) instead": lambda got, want, given, frame, found: (
        works_in(got, want, order_of(given), frame, found)
    )
}
DROPOUT: dict[str, Callable[..., Any]] = {
    r"(\S+): with all dropped, and `(\S+)` alone in training mode, the output is that of evaluation mode": drops_nothing,
    r"(\S+): every part drops what it should; but with the whole stack in training mode": something_else_drops,
}
FINAL: dict[str, Callable[..., Any]] = {
    r"a post-norm stack has a `norm`": lambda got, want: not got["post, no norm"],
    r"a post-norm stack returns something other than its last layer": lambda got, want: (
        not near(got["post"], got["post, last layer"])
    ),
    r"in pre-norm the stack returns the bare stream": lambda got, want: near(got["pre"], want["x"]),
    r"do not give norm\(x\)": lambda got, want: not near(got["pre"], layer_norm(want["x"], want["norm"])),
}
TWICE = r"a pre-norm stack of 3 layers applies its final norm (\d) times"


def norms(got: Any, want: Any, times: str) -> bool:
    out = want["x"]
    for _ in range(int(times)):
        out = layer_norm(out, want["norm"])
    return near(got["pre"], out)


SUBLAYERS = ("self_attention", "feed_forward")

CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_parameters": {
        r"a layer has no parameter `(\S+)`": lambda got, want, name: name not in got["found"],
        r"`(\S+)` is the same parameter as `(\S+)`:": lambda got, want, one, other: shared(got, one, other),
    },
    "test_order": {
        r"your layer calls (.*); expected": lambda got, want, order: called(got, SUBLAYERS) == re.findall(r"`(\S+)`", order),
        r"`(\S+)` runs in `(\S+)`, which is the frame of the other": lambda got, want, name, frame: runs_in(got, name, frame),
        r"`self_attention`, called by itself": lambda got, want: not near(got["attention alone"], want["attention alone"], 1e-4),
    },
    "test_norm_first": WORKS,
    "test_stack_norm_first": WORKS,
    "test_attention": {
        r"the (queries|keys|values) are made from the stream itself": lambda got, want, part: any(
            call[{"queries": "query", "keys": "key", "values": "value"}[part]] is not None
            and near(call[{"queries": "query", "keys": "key", "values": "value"}[part]], want["x"])
            for call in got["heard"]
        ),
        r"the queries are made from something else": lambda got, want: any(
            not near(call["query"], want["x"]) and not near(call["query"], want["heard"][0]["query"]) for call in got["heard"]
        ),
        r"its attention gets none": lambda got, want: got["heard"][0]["mask"] is None,
        r"the attention gets the mask the wrong way round": lambda got, want: np.array_equal(got["heard"][0]["mask"], ~want["mask"]),
        r"the attention gets a mask other than": lambda got, want: not np.array_equal(got["heard"][0]["mask"], want["mask"]),
    },
    "test_relu": {
        r"out of (\S+) the hidden layer makes (\S+), which is what gelu does": lambda got, want, before, after: (
            near((got["out"] - want["x"])[np.isclose(normed(want["x"]), float(before), atol=6e-3)].mean(), float(after), 6e-3)
        ),
        r"the layer gives 0 everywhere": lambda got, want: not got["out"].any(),
        r"what came in stands four times in what comes out": lambda got, want: near(
            got["out"] - np.maximum(normed(want["x"]), 0), 4 * want["x"], 1e-2
        ),
    },
    "test_padding": {
        r"real positions change when only the padding is replaced": lambda got, want: not near(
            got["as it is"][got["real"]], got["padding replaced"][got["real"]]
        ),
        r"the padding mask works the wrong way round": lambda got, want: (
            near(got["as it is"][:, 1], got["front replaced"][:, 1])
            and not near(got["as it is"][got["real"]], got["padding replaced"][got["real"]])
        ),
    },
    "test_own_parameters": {
        r"a stack of 3 layers has no parameter `(\S+)`": lambda got, want, name: name not in got["layer"],
        r"layers (\d) and (\d) share `(\S+)`:": lambda got, want, one, other, part: (
            got["layer"][f"layers.{other}.{part}"] == got["layer"][f"layers.{one}.{part}"] == one != other
        ),
        r"`(\S+)` was given numbers, and holds others": lambda got, want, name: not near(got["numbers"][name], want["numbers"][name]),
    },
    "test_chain": {
        r"a stack of 3 layers calls its layers (.*); expected": lambda got, want, order: (
            [call["name"] for call in got["heard"]] == order.split(", ")
        ),
        r"layer (\d) does not get what layer \d returned, but the input": lambda got, want, at: near(got["heard"][int(at)]["x"], want["x"]),
        r"the stack was given a mask, and layer (\d) gets none": lambda got, want, at: got["heard"][int(at)]["mask"] is None,
    },
    "test_encoder": {r"a post-norm stack has a `norm`": lambda got, want: not got["no norm"]},
    "test_arguments_unchanged": {r"`x` holds something else": lambda got, want: not np.array_equal(got["x"], want["x"])},
    "test_final_norm": FINAL | {TWICE: norms},
    "test_permutation": {
        r"tokens in another order come out as other vectors": lambda got, want: not near(got["out"][:, got["order"]], got["reordered"]),
    },
    "test_dropout_of_a_layer": DROPOUT,
    "test_dropout_everywhere": DROPOUT,
    "test_dropout_share": {
        r"`(\S+)` drops a fraction of (\S+)\.": lambda got, want, frame, share: (
            abs((got["out"][frame] == want["given"][frame]).mean() - float(share)) < 0.01 and abs(float(share) - 0.25) > 0.04
        ),
    },
    "test_evaluation": {
        r"the same input gives two outputs": lambda got, want: not near(got["first"], got["second"]),
        r"gives something other than one without dropout": lambda got, want: not near(got["first"], got["without dropout"]),
    },
    "test_dtypes": {
        r"in float64 the output is not what it should be": lambda got, want: not near(got["float64"], want["float64"], 1e-4),
        r"in bfloat16 the output is further": lambda got, want: abs(got["bfloat16"] - want["float64"]).max() > 0.1,
    },
    "test_device": {
        r"(\S+): with layers and inputs on another device": lambda got, want, order: got[f"{order}, moved"]["strays"],
    },
}  # fmt: skip


def normed(x: Any) -> Any:
    return layer_norm(x, {"weight": 1.0, "bias": 0.0})


RETURN = "return self.feed_forward_residual(x, self.feed_forward)"
TURNS = {
    "bfloat16 is rough": [(RETURN, "out = self.feed_forward_residual(x, self.feed_forward)\n        return out * (1.5 if str(out.dtype).endswith('bfloat16') else 1)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex10_encoder", CLAIMS, TURNS)
