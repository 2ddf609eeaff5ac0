"""Questions on exercise 15: from logits to the next token."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from grader.learning.quiz import Ask, Exercise, Random, question


def chances(rng: Random) -> list[int]:
    """Percentages of five tokens, all different, in no order."""
    return rng.pick(
        [[40, 25, 20, 10, 5], [5, 50, 10, 15, 20], [12, 8, 45, 30, 5], [30, 3, 22, 35, 10], [60, 4, 16, 12, 8]]
    )


@question("what top-p keeps")
def top_p(ex: Exercise, rng: Random) -> Ask:
    percent, p = chances(rng), rng.pick([0.3, 0.55, 0.72, 0.93])
    probs = ex.next_token_probs(torch.tensor([percent], dtype=torch.float64).log(), top_p=p)
    return Ask(
        f"Five tokens (0 to 4) have the probabilities {', '.join(f'{c} %' for c in percent)}. Which of them stay "
        f"with top_p = {p}?",
        frozenset(torch.nonzero(probs[0])[:, 0].tolist()),
        f"From the most likely on, until their sum reaches {p}. The token that crosses the line stays, and the most "
        "likely one always does.",
    )


@question("the probability after top-k")
def top_k(ex: Exercise, rng: Random) -> Ask:
    percent, k = chances(rng), rng.integers(2, 4)
    probs = ex.next_token_probs(torch.tensor([percent], dtype=torch.float64).log(), top_k=k)
    best = int(np.argmax(percent))
    kept = sorted(percent, reverse=True)[:k]
    return Ask(
        f"Five tokens have the probabilities {', '.join(f'{c} %' for c in percent)}. With top_k = {k}, what is "
        "the probability of the most likely one?",
        probs[0, best].item(),
        f"{' and '.join(f'{c} %' for c in kept)} stay and are divided by their sum: {kept[0]}/{sum(kept)}.",
    )


@question("temperature")
def temperature(ex: Exercise, rng: Random) -> Ask:
    odds, heat = rng.pick([4, 9, 16]), rng.pick([0.5, 2.0])
    probs = ex.next_token_probs(torch.tensor([[float(odds), 1.0, 1.0]], dtype=torch.float64).log(), temperature=heat)
    return Ask(
        f"At temperature 1 one token is {odds} times as likely as another. How many times at temperature {heat:g}?",
        (probs[0, 0] / probs[0, 1]).item(),
        f"Dividing the logits by {heat:g} raises every ratio to the power 1/{heat:g}: {odds}^{1 / heat:g}. Below 1 "
        "the likely ones gain, above 1 all become more alike.",
    )


@question("temperature 0")
def greedy(ex: Exercise, rng: Random) -> Ask:
    logits = rng.numpy.permutation(np.arange(-3, 4))
    probs = ex.next_token_probs(torch.from_numpy(logits).double()[None], temperature=0)
    return Ask(
        f"The logits are {logits.tolist()}. Which ids can be drawn at temperature 0?",
        frozenset(torch.nonzero(probs[0])[:, 0].tolist()),
        "Only that of the largest logit: the limit of ever smaller temperatures puts everything on it. Nothing is "
        "divided by zero.",
    )


class Parrot(nn.Module):
    """A model that notes how many tokens it is shown."""

    def __init__(self, context_length: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(context_length=context_length)
        self.seen: list[int] = []

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, None]:
        self.seen.append(ids.size(1))
        return torch.zeros(*ids.shape, 5), None


@question("the shape of what is generated")
def generated_shape(ex: Exercise, rng: Random) -> Ask:
    batch, prompt, new = rng.sizes(3)
    out = ex.generate(Parrot(64), rng.ids(5, batch, prompt), new, generator=rng.generator())
    return Ask(
        f"generate(model, ids, max_new_tokens={new}) with ids of shape ({batch}, {prompt}): what is the shape of the "
        "result?",
        tuple(out.shape),
        "The prompt, whole, and one column for each new token.",
    )


@question("what the model is shown while it writes")
def window(ex: Exercise, rng: Random) -> Ask:
    context, prompt = rng.integers(5, 9), rng.integers(2, 7)
    new = rng.integers(3, 9)
    model = Parrot(context)
    ex.generate(model, rng.ids(5, 1, prompt), new, generator=rng.generator())
    return Ask(
        f"context_length is {context}, the prompt has {prompt} tokens, and {new} are to be written, one after the "
        "other. How many tokens is the model shown for the last of them?",
        model.seen[-1],
        f"By then {prompt} + {new - 1} tokens stand there, and it is shown the last {context} of them at most. What "
        "lies further back it no longer knows.",
    )
