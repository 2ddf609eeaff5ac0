"""What exercise 22 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, share: float = 1e-4) -> bool:
    return bool(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=share, atol=share))


def surprise(logits: Any, targets: Any) -> Any:
    """-log of the probability of each target, entry by entry."""
    out = np.empty(np.shape(targets))
    for at in np.ndindex(*out.shape):
        row = [float(one) for one in logits[at]]
        out[at] = math.log(sum(math.exp(one - max(row)) for one in row)) + max(row) - row[targets[at]]
    return out


def spread(got: Any, _want: Any, name: str, found: str, expected: str) -> bool:
    values = matrix(got, name)
    return bool(np.isclose(values.std(), float(found), atol=6e-5) and abs(values.std() / float(expected) - 1) > 0.09)


def matrix(got: Any, name: str) -> Any:
    """The one that a message means: `name`, or "name` in a model of `L layers"."""
    part, _, rest = name.partition("` in a model of `")
    return np.asarray(got[f"{part} of {rest.removesuffix(' layers')}" if rest else part], dtype=float)


def sized(got: Any, _want: Any, which: str, at: str, name: str, found: str, expected: str) -> bool:
    values = matrix(got, name)
    line = values[int(at)] if which == "row" else values[:, int(at)]
    size = math.sqrt(float((line**2).mean()))
    return bool(np.isclose(size, float(found), atol=6e-5) and not 0.55 < size / float(expected) < 1.55)


NORMAL: dict[str, Callable[..., Any]] = {
    r"^`(.+)` starts with a standard deviation of (\S+); expected (\S+)\. Who": spread,
    r"^(row|column) (\d+) of `(.+)` starts with numbers of a size of (\S+); expected (\S+)\.$": sized,
    r"^row (\d+) of `(.+)` and row (\d+) of `(.+)` start with the same numbers": (
        lambda got, want, i, one, j, other: (matrix(got, one)[int(i)] == matrix(got, other)[int(j)]).all()
    ),
    r"^`(.+)` starts with a mean of (\S+); expected 0": lambda got, _want, name, mean: (
        np.isclose(matrix(got, name).mean(), float(mean), atol=6e-5) and abs(float(mean)) > 0.0004
    ),
    r"^(\S+)% of `(.+)` lies beyond two standard deviations": lambda got, _want, share, name: np.isclose(
        (abs(matrix(got, name)) > 2 * matrix(got, name).std()).mean(), float(share) / 100, atol=6e-4
    ),
}

CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_silent_block": {
        r"both sublayers add nothing, and still the output is not the input": lambda got, want: (
            abs(got["out"] - want["x"]).max() > 1e-10
        ),
    },
    "test_head": {
        r"with tied=True `lm_head.weight` and `token_embedding.weight` are two": lambda got, want: not got["tied: one"],
        r"with tied=False `lm_head.weight` is the token table": lambda got, want: got["untied: one"],
    },
    "test_loss": {
        r"the loss compares logits at t with the target at t \+ 1": lambda got, want: near(
            got["loss"], surprise(got["logits"][:, :-1], want["targets"][:, 1:]).mean()
        ),
        r"the loss is the sum over all (\d+) targets": lambda got, want, count: (
            int(count) == want["targets"].size and near(got["loss"], surprise(got["logits"], want["targets"]).sum())
        ),
    },
    "test_cache": {
        r"tokens 0 to 2 came first and are right; in the next pieces token (\d+) is the first": lambda got, want, first: (
            near(got["at once"], want["at once"], 2e-4)
            and int(first) > 2
            and near(got["logits"][:, : int(first)], want["logits"][:, : int(first)], 2e-4)
            and not near(got["logits"][:, int(first)], want["logits"][:, int(first)], 1e-5)
        ),
    },
    "test_load": {
        r"^`(\S+)` holds what belongs to `(\S+)`": lambda got, want, name, other: (
            near(got[name], want[other]) and not near(got[name], want[name])
        ),
        r"^`(\S+)` arrives transposed": lambda got, want, name: (
            near(got[name], want[name].T) and not near(got[name], want[name])
        ),
    },
    "test_initial_weights": {
        **NORMAL,
        r"`(\S+)` starts at (\S+) and so on; the weights of a norm start at 1": lambda got, want, name, first: (
            "norm" in name and near(got[name].flat[0], float(first), 6e-3) and (got[name] != 1).any()
        ),
    },
    "test_residual_projections": NORMAL,
    "test_initial_loss": {
        r"before any training the loss over 65 tokens is (\S+), and ln 65 is (\S+)\. How": lambda got, want, loss, level: (
            near(float(got["loss"]), float(loss), 6e-3)
            and near(math.log(65), float(level), 6e-3)
            and abs(float(got["loss"]) - math.log(65)) > 0.14
        ),
        r"the loss of a fresh model is not the mean cross-entropy": lambda got, want: not near(
            float(got["loss"]), surprise(got["logits"], want["targets"]).mean(), 1e-5
        ),
        r"the logits of a fresh model are all but equal": lambda got, want: got["logits"].std() < 0.011,
    },
    "test_causality": {
        r"logits at positions 0 to 4 changed": lambda got, want: abs(got["before"] - got["after"]).max() > 1e-7,
    },
    "test_dtype_and_device": {
        r"in float64 the logits are not what they should be": lambda got, want: not near(
            got["float64"]["logits"], want["float64"]["logits"], 1e-5
        ),
        r"in float64 the loss is not what it should be": lambda got, want: not near(
            got["float64"]["loss"], want["float64"]["loss"], 1e-5
        ),
        r"with all weights in (\S+), the logits are further from those in float64": lambda got, want, dtype: (
            np.sqrt(((got[dtype]["logits"] - want["float64"]["logits"]) ** 2).mean())
            > (0.15 if dtype == "bfloat16" else 9e-4) * np.sqrt((want["float64"]["logits"] ** 2).mean())
        ),
        r"with all weights in (\S+), the loss is further from that in float64": lambda got, want, dtype: (
            abs(float(got[dtype]["loss"]) - float(want["float64"]["loss"]))
            > (0.15 if dtype == "bfloat16" else 9e-4) * float(want["float64"]["loss"])
        ),
        r"with a block and its input on another device, a tensor is left behind": lambda got, want: got["moved"]["strays"],
    },
}  # fmt: skip

LOGITS, DRAWN = "logits = self.lm_head(self.final_norm(x))", "nn.init.normal_(parameter, std=0.02)"
LOSS = "return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
ADDED = "x = x + self.attention(self.attention_norm(x), cache, layer)"
NORMS = "elif parameter.ndim == 2:"


def only(dtype: str, line: str, put: str) -> list[tuple[str, str]]:
    """A line that goes wrong in one dtype alone."""
    return [(line, f"{line}\n        if logits.dtype == torch.{dtype}:\n            {put}")]


TURNS = {
    "norms drawn": [(NORMS, "elif parameter.ndim <= 2:")],
    "not centred": [(DRAWN, "nn.init.normal_(parameter, mean=0.005, std=0.0195)")],
    "uniform": [(DRAWN, "nn.init.uniform_(parameter, -0.02 * 3**0.5, 0.02 * 3**0.5)")],
    "a row of zeros": [(DRAWN, DRAWN + "\n                parameter.data[0] = 0.0")],
    "all the same": [(DRAWN, "parameter.data.normal_(std=0.02, generator=torch.Generator().manual_seed(1))")],
    "a row as it should not be": [("nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layers))", "nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layers))\n                parameter.data[1] = 0.0")],
    "large": [(DRAWN, "nn.init.normal_(parameter, std=1.0)")],
    "silent head": [(LOGITS, "logits = self.lm_head(self.final_norm(x)) * 1e-3")],
    "loss of another": [(LOSS, "return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten()) + 0.1")],
    "looks ahead": [(ADDED, "x = x + self.attention(self.attention_norm(x.flip(1)), cache, layer).flip(1)")],
    "made anywhere": [(ADDED, ADDED + " * torch.ones(1, dtype=x.dtype)")],
    "wrong in bfloat16": only("bfloat16", LOGITS, "logits = 2 * logits"),
    "wrong in float32": only("float32", LOGITS, "logits = 1.01 * logits"),
    "loss wrong in bfloat16": [(LOSS, "return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten()) * (2 if logits.dtype == torch.bfloat16 else 1)")],
    "loss wrong": [(LOSS, "return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten()) * 1.01")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex22_llama", CLAIMS, TURNS)
