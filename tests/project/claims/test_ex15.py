"""What exercise 15 says of wrong code is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, room: float = 6e-3) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=0, atol=room))


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    powers = np.exp(logits / temperature)
    return powers / powers.sum(-1, keepdims=True)


def nucleus(probs: np.ndarray, p: float) -> np.ndarray:
    """The smallest sets that reach p, by definition."""
    kept = np.zeros(probs.shape, dtype=bool)
    for row, order in enumerate(np.argsort(-probs, axis=-1)):
        mass = 0.0
        for token in order:
            if mass < p:
                kept[row, token] = True
            mass += probs[row, token]
    return kept


def best(logits: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(np.argsort(-logits, axis=-1), axis=-1) < k


def of_top_p(got: Any, want: Any, p: str, row: str, count: str) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of the tokens that a row keeps, and of those that it does not."""
    probs, kept = softmax(want["logits"])[int(row)], got[f"top_p={p}"][int(row)] > 0
    assert kept.sum() == int(count)
    return probs[kept], probs[~kept]


def tied(want: Any, row: str) -> int:
    scores = sorted(want["logits"][int(row)])
    return scores.count(scores[-1])


TOP_P = r"^for top_p=(\S+) and the probabilities .*, row (\d+) keeps (\d+) of them, "
CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_temperature": {
        r"at a temperature of 0.5 your distribution is flatter than at 2": lambda got, want: (
            got["half"].max(-1).mean() < got["double"].max(-1).mean()
        ),
    },
    "test_top_k": {
        r"row (\d+) has (\d+) tokens above zero\.( Has each row its own)?": lambda got, want, row, count, own: (
            (got[int(row)] > 0).sum() == int(count) != 3 and bool(own) == (len(set((got > 0).sum(-1))) > 1)
        ),
        r"^row (\d+) of your probabilities sums to (\S+) instead of 1": lambda got, want, row, total: (
            near(got[int(row)].sum(), total) and not near(got[int(row)].sum(), 1, 1e-3)
        ),
    },
    "test_top_p": {
        TOP_P + r"(\S+) in all: top_p is not reached": lambda got, want, p, row, count, mass: (
            near(of_top_p(got, want, p, row, count)[0].sum(), mass) and float(mass) < float(p)
        ),
        TOP_P + r"(\S+) in all: without the least of them": lambda got, want, p, row, count, mass: (
            near(of_top_p(got, want, p, row, count)[0].sum(), mass)
            and np.sort(of_top_p(got, want, p, row, count)[0])[1:].sum() > float(p)
        ),
        TOP_P + r"and not the likeliest": lambda got, want, p, row, count: (
            of_top_p(got, want, p, row, count)[0].min() < of_top_p(got, want, p, row, count)[1].max()
        ),
        r"^row (\d+) of your probabilities sums to (\S+) instead of 1": lambda got, want, row, total: any(
            near(probs[int(row)].sum(), total) for name, probs in got.items() if name != "logits"
        ),
    },
    "test_greedy_continuation": {
        r"differ at position (\d+): \[(.*)\], where \[(.*)\] are the most likely": lambda got, want, at, mine, right: (
            str(got["text"][:, int(at)].tolist()) == f"[{mine}]"
            and str(want["text"][:, int(at)].tolist()) == f"[{right}]"
            and (got["text"][:, : int(at)] == want["text"][:, : int(at)]).all()
        ),
    },
    "test_ties": {
        r"^row (\d+), in which (\d+) tokens tie for the most likely, sums to (\S+) instead of 1": (
            lambda got, want, row, count, total: (
                near(got["probs"][int(row)].sum(), total) and int(count) == tied(want, row)
            )
        ),
        r"^in row (\d+), (\d+) tokens tie for the most likely, and (\d+) share": lambda got, want, row, count, mine: (
            int(mine) == np.count_nonzero(got["probs"][int(row)]) and int(count) == tied(want, row)
        ),
        r"^in row (\d+), one token is the most likely, and everything is on another": lambda got, want, row: (
            got["probs"][int(row)].argmax() != want["logits"][int(row)].argmax() and tied(want, row) == 1
        ),
    },
    "test_order": {
        r"with top-k and top-p together you keep the tokens that the probabilities of all": lambda got, want: (
            (got["top-k and top-p"] > 0) == (nucleus(softmax(want["logits"]), 0.7) & best(want["logits"], 3))
        ).all(),
        r"with a temperature and top-p together you keep the tokens that a temperature of 1": lambda got, want: (
            (got["temperature 2 and top-p"] > 0) == nucleus(softmax(want["logits"]), 0.6)
        ).all(),
    },
    "test_crops": {
        r"a text is right as long as it fits into the window": lambda got, want: (
            (got["grown"][:, : want["window"] + 1] == want["grown"][:, : want["window"] + 1]).all()
            and (got["grown"] != want["grown"]).any()
        ),
    },
    "test_dtypes": {
        r"in (float64|float64, greedy), a probability is off by (\S+);": lambda got, want, name, off: near(
            np.abs(got[name] - want[name]).max(), off, 0.06 * float(off)
        ),
    },
    "test_device": {
        r"with (\{.*?\}) a tensor is not on the device of the logits": lambda got, want, option: got[option]["strays"],
    },
    "test_frequencies": {
        r"40 texts of one batch all get the same 100 tokens": lambda got, want: (
            got["one text for all"]["plain"] or got["one text for all"]["cut"]
        ),
        r"40 texts were to get 100 tokens each; without the prompts they are (\[.*\])": lambda got, want, mine: (
            mine in map(str, got["draws"].values()) and mine != "[40, 100]"
        ),
    },
    "test_generator": {
        r"two generators with the same seed give different texts": lambda got, want: (
            got["first"] != got["again"]
        ).any(),
        r"one generator gives the same text twice in a row": lambda got, want: (got["again"] == got["further"]).all(),
        r"without a generator, two calls give the same text": lambda got, want: (
            got["without"][0] == got["without"][1]
        ).all(),
    },
    "test_mode": {
        r"while it generates, the model is in training mode": lambda got, want: got["training"]["seen"]["training"],
        r"carry a graph for gradients": lambda got, want: any(got[name]["seen"]["graph"] for name in want),
        r"a model that was (training|evaluating) is no longer so": lambda got, want, was: (
            got[was]["modes after"] != [was == "training"] * 2
        ),
    },
}


TURNS = {"the least likely token": [("best = logits.argmax(", "best = logits.argmin(")]}


def test_what_is_said_is_true(hold):
    hold("ex15_sampling", CLAIMS, TURNS)
