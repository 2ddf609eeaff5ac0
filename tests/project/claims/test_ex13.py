"""What exercise 13 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, digits: float = 1e-6) -> bool:
    if np.ndim(a) == np.ndim(b) and np.shape(a) != np.shape(b):
        return False
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=digits, atol=digits))


def moved(before: str, after: str) -> Callable[..., bool]:
    """The claim that a position has changed with what comes after it."""
    return lambda got, want, at, cut: int(at) < int(cut) and not near(got[before][:, int(at)], got[after][:, int(at)])


def surprise(logits: Any, targets: Any) -> Any:
    rows = logits - logits.max(-1, keepdims=True)
    return np.take_along_axis(np.log(np.exp(rows).sum(-1, keepdims=True)) - rows, targets[..., None], -1)[..., 0]


def row_of(got: Any, at: str, name: str) -> Any:
    return got[name][int(at)]


def rounds(a: float, told: str) -> bool:
    return abs(a - float(told)) <= 0.51 * 10.0 ** -len(told.partition(".")[2])


def block_of(got: Any, layers: str, i: str, part: str) -> Any:
    return got[f"{part} of {layers}"][int(i)]


AHEAD = r"the output at position (\d+) changed when only positions from (\d+) on were replaced"
SPREAD = r"in a model of (\d) layers `blocks.(\d).(\S+).weight` starts with a standard deviation of (\S+); expected (\d\.\d+)\."


def both(got: Any, i: str, part: str) -> list[Any]:
    """The same weight in both models, as far as the smaller one has it."""
    return [got[f"{part} of {layers}"][int(i)] for layers in ("2", "8") if int(i) < int(layers)]


def spread(got: Any, _: Any, layers: str, i: str, part: str, told: str, *__: str) -> bool:
    return rounds(block_of(got, layers, i, part).std(), told)


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_silent_block": {
        r"both sublayers add nothing, and still the output is not the input": lambda got, want: not near(got["out"], want["x"]),
    },
    "test_block_values": {AHEAD: moved("out", "other end")},
    "test_causality": {AHEAD: moved("before", "after")},
    "test_tied_head": {
        r"hold the same memory, but are two parameters": lambda got, want: got["one memory"] and not got["one"],
        r"`lm_head.weight` and `token_embedding.weight` are two parameters": lambda got, want: not got["one memory"] and not got["one"],
        r"`lm_head` has a bias": lambda got, want: not got["no bias"],
    },
    "test_loss": {
        r"the loss is the sum over all (\d+) targets": lambda got, want, count: (
            near(got["loss"], surprise(got["logits"], want["targets"]).sum()) and int(count) == want["targets"].size
        ),
        r"the loss compares logits at t with the target at t \+ 1": lambda got, want: near(
            got["loss"], surprise(got["logits"][:, :-1], want["targets"][:, 1:]).mean()
        ),
        r"the loss takes the softmax of a softmax": lambda got, want: near(
            got["loss"], surprise(softmax(got["logits"]), want["targets"]).mean()
        ),
        r"the loss counts the last position only": lambda got, want: near(
            got["loss"], surprise(got["logits"], want["targets"])[:, -1].mean()
        ),
        r"the loss is (\S+), but the mean cross-entropy of your logits is (\d+\.\d+)": lambda got, want, mine, right: (
            rounds(got["loss"], mine) and rounds(surprise(got["logits"], want["targets"]).mean(), right) and mine != right
        ),
    },
    "test_initial_weights": {
        r"`(\S+)` starts at (\S+) and so on; biases start at 0": lambda got, want, name, _: got[name].any(),
        r"`(\S+)` starts at (\S+) and so on; the weights of a norm": lambda got, want, name, _: (got[name] != 1).any(),
        r"`(\S+)` starts with a standard deviation of (\S+); expected": lambda got, want, name, told: rounds(got[name].std(), told),
        r"`(\S+)` starts with a mean of (\S+); expected 0": lambda got, want, name, told: rounds(got[name].mean(), told),
        r"(\S+)% of `(\S+)` lies beyond two standard deviations": lambda got, want, share, name: rounds(
            100 * (abs(got[name]) > 2 * got[name].std()).mean(), share
        ),
        r"row (\d+) of `(\S+)` starts with numbers of a size of (\S+); expected": lambda got, want, at, name, told: rounds(
            math.sqrt((row_of(got, at, name) ** 2).mean()), told
        ),
        r"column (\d+) of `(\S+)` starts with numbers of a size of (\S+); expected": lambda got, want, at, name, told: rounds(
            math.sqrt((got[name][:, int(at)] ** 2).mean()), told
        ),
        r"row (\d+) of `(\S+)` and row (\d+) of `(\S+)` start with the same numbers": lambda got, want, at, one, there, other: (
            np.array_equal(row_of(got, at, one), row_of(got, there, other)) and (at, one) != (there, other)
        ),
    },
    "test_num_parameters": {
        r"you count (\d+) parameters, 132 too many": lambda got, want, told: got["at first"] == int(told) == want["at first"] + 132,
    },
    "test_load_gpt2": {
        r"`(\S+)` arrives transposed": lambda got, want, name: near(got[name], want[name].T) and not near(got[name], want[name]),
        r"`(\S+)` holds what belongs to `(\S+)`\.": lambda got, want, one, other: near(got[one], want[other]),
    },
    "test_initial_loss": {
        r"before any training the loss over 65 tokens is (\S+), and ln 65 is 4.17": lambda got, want, told: (
            rounds(float(got["loss"]), told) and abs(float(got["loss"]) - math.log(65)) > 0.1
        ),
        r"the loss of a fresh model is not the mean cross-entropy": lambda got, want: not near(
            got["loss"], surprise(got["logits"], want["targets"]).mean(), 1e-4
        ),
        r"the logits of a fresh model are all but equal": lambda got, want: got["logits"].std() < 0.011,
    },
    "test_residual_projections": {
        SPREAD + r" How many": lambda got, want, layers, *rest: (
            spread(got, want, layers, *rest) and near(float(rest[2]) / float(rest[3]), math.sqrt(2), 0.11)
        ),
        SPREAD + r" That is what all other weights": lambda got, want, layers, *rest: (
            spread(got, want, layers, *rest) and near(float(rest[2]), 0.02, 0.003)
        ),
        SPREAD + r" It does not write": lambda got, want, layers, *rest: (
            spread(got, want, layers, *rest) and rest[1] in ("attention.v_proj", "feed_forward.up")
        ),
        SPREAD + r"$": spread,
        r"(\S+)% of `blocks.(\d).(\S+).weight` lies beyond": lambda got, want, share, i, part: any(
            rounds(100 * (abs(each) > 2 * each.std()).mean(), share) for each in both(got, i, part)
        ),
        r"`blocks.(\d).(\S+).weight` starts with a mean of (\S+); expected": lambda got, want, i, part, told: any(
            rounds(each.mean(), told) for each in both(got, i, part)
        ),
        r"column (\d+) of `blocks.(\d).(\S+).weight` starts with numbers of a size of (\S+);": lambda got, want, at, i, part, told: any(
            rounds(math.sqrt((each[:, int(at)] ** 2).mean()), told) for each in both(got, i, part)
        ),
        r"row (\d+) of `blocks.(\d).(\S+).weight` and row (\d+) of `blocks.(\d)": lambda got, want, at, i, part, there, k: any(
            np.array_equal(block_of(got, layers, i, part)[int(at)], block_of(got, layers, k, part)[int(there)])
            for layers in ("2", "8")
        ),
    },
    "test_dtype_and_device": {
        r"in float64 the logits are not what they should be": lambda got, want: not near(
            got["float64"]["logits"], want["float64"]["logits"], 1e-4
        ),
        r"in float64 the loss is not what it should be": lambda got, want: not near(got["float64"]["loss"], want["float64"]["loss"], 1e-4),
        r"not as exact as float64 is": lambda got, want: (
            1e-6 < abs(got["float64"]["logits"] - want["float64"]["logits"]).max() < 1e-3
        ),
        r"with all weights in bfloat16, the logits are further": lambda got, want: (
            abs(got["bfloat16"]["logits"] - want["float64"]["logits"]).max() > 0.1
        ),
        r"a tensor is left behind on the CPU": lambda got, want: got["moved"]["strays"],
    },
    "test_arguments_unchanged": {
        r"`(\S+)` was changed by the call": lambda got, want, name: not np.array_equal(got["given"][name], want["given"][name]),
    },
    "test_dropout": {
        r"a model without dropout does not give the logits": lambda got, want: abs(got["plain"] - want["plain"]).max() > 1e-6,
        r"the same ids give the same logits twice while training": lambda got, want: near(*got["training"]),
        r"in evaluation mode the same ids give other logits the second time": lambda got, want: not near(*got["evaluation"]),
        r"with a dropout of nearly 1 all that is dropped at all should be gone": lambda got, want: (
            not near(*got["nothing left"]) and near(*want["nothing left"])
        ),
    },
}  # fmt: skip


def softmax(logits: Any) -> Any:
    rows = np.exp(logits - logits.max(-1, keepdims=True))
    return rows / rows.sum(-1, keepdims=True)


DRAWN = "                nn.init.normal_(parameter, std=0.02)\n"
HEAD = "logits = self.lm_head(self.final_norm(x))"
TURNS = {
    "head with a bias": [("nn.Linear(config.d_model, config.vocab_size, bias=False)", "nn.Linear(config.d_model, config.vocab_size)")],
    "last position": [("F.cross_entropy(logits.flatten(0, 1), targets.flatten())", "F.cross_entropy(logits[:, -1], targets[:, -1])")],
    "half the loss": [("F.cross_entropy(logits.flatten(0, 1), targets.flatten())", "F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / 2")],
    "uniform": [(DRAWN, "                nn.init.uniform_(parameter, -0.0346, 0.0346)\n")],
    "off centre": [(DRAWN, "                nn.init.normal_(parameter, mean=0.01, std=0.02)\n")],
    "a column of zeros": [(DRAWN, DRAWN + "                with torch.no_grad():\n                    parameter[:, 0] = 0.0\n")],
    "norms of two": [(DRAWN, DRAWN + "            else:\n                nn.init.constant_(parameter, 2.0)\n")],
    "all smaller": [(DRAWN, "                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layers))\n")],
    "ten times as large": [(DRAWN, "                nn.init.normal_(parameter, std=0.2)\n")],
    "always float32": [(HEAD, HEAD + "\n        logits = logits.float().to(logits.dtype)")],
    "bfloat16 is rough": [(HEAD, HEAD + "\n        logits = logits * (2 if logits.dtype == torch.bfloat16 else 1)")],
    "half the dropout": [("        self.dropout = nn.Dropout(config.dropout)\n        ### END", "        self.dropout = nn.Dropout(config.dropout / 2)\n        ### END")],
    "drops in evaluation": [("x = self.dropout(self.position_embedding", "x = F.dropout(self.position_embedding"), ("self.token_embedding(ids)))  # (B, T, D)", "self.token_embedding(ids)), self.config.dropout)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex13_gpt", CLAIMS, TURNS)
