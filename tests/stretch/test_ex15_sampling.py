"""What the stretch goals of exercise 15 must do."""

from __future__ import annotations

import math

import torch

from grader.checks import Exercise, Random, check, close


@check("the tokens that are likely enough beside the most likely one", axes={"": "text token"})
def test_min_p(ex: Exercise, rng: Random):
    return ex.min_p_probs(rng.tensor(4, 9, dtype=torch.float64, scale=2.0), 0.2)


@check("the temperature acts first; nothing or nearly all is cut; logits of -inf and huge ones", after=test_min_p)
def test_min_p_extremes(ex: Exercise, rng: Random):
    logits = rng.tensor(3, 7, dtype=torch.float64, scale=2.0)
    with_inf = logits.clone()
    with_inf[:, 2] = -math.inf
    return {
        "hot": ex.min_p_probs(logits, 0.3, 3.0),
        "cold": ex.min_p_probs(logits, 0.3, 0.25),
        "all": ex.min_p_probs(logits, 0.0),
        "one": ex.min_p_probs(logits, 1.0),
        "inf": ex.min_p_probs(with_inf, 0.05),
        "huge": ex.min_p_probs(1e4 * logits, 0.1),
    }


@check("a token that is drafted and accepted, or corrected, follows p")
def test_speculation(ex: Exercise, rng: Random):
    p, q = (rng.tensor(3, 6, dtype=torch.float64, scale=2.0).softmax(-1) for _ in range(2))
    accepted, corrected = ex.accept_and_correct(p, q)
    return {"accepted": accepted, "corrected": corrected, "p": p, "q": q}


@test_speculation.explain
def _(got, want):
    drafted = want["q"] * got["accepted"]
    comes_out = drafted + (1 - drafted.sum(-1, keepdims=True)) * got["corrected"]
    if not close(comes_out, want["p"]):
        yield "put together, the two steps give a token another probability than p."


@check("zeros in p and in q, and p equal to q", after=test_speculation)
def test_speculation_with_zeros(ex: Exercise, rng: Random):
    p = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 1.0, 0.0, 0.0]])
    q = torch.tensor([[0.0, 0.5, 0.5, 0.0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.25, 0.0, 0.25]])
    accepted, corrected = ex.accept_and_correct(p, q)
    return {"accepted": accepted, "corrected": corrected}
