"""Questions on exercise 19: RMSNorm and SwiGLU."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, question


@question("RMSNorm by hand")
def by_hand(ex: Exercise, rng: Random) -> Ask:
    size = rng.integers(2, 8)
    x = torch.tensor([7.0 * size, size, -size, -7.0 * size], dtype=torch.float64)
    out = ex.RMSNorm(4).double()(x)
    return Ask(
        f"A fresh RMSNorm gets {x.int().tolist()}. What does it make of the first entry?",
        out[0].item(),
        f"The squares are {49 * size**2}, {size**2}, {size**2} and {49 * size**2}; their mean is {25 * size**2}, its "
        f"root {5 * size}. 7 / 5 is left.",
        tolerance=0.01,
    )


@question("a vector whose entries are all the same")
def constant(ex: Exercise, rng: Random) -> Ask:
    value, width = rng.pick([-4, -3, 3, 5, 20]), rng.integers(3, 9)
    out = ex.RMSNorm(width).double()(torch.full((width,), float(value), dtype=torch.float64))
    return Ask(
        f"Each of the {width} features is {value}. What does a fresh RMSNorm make of every one? (Layer norm makes 0.)",
        round(out[0].item()),
        "Its sign: the root mean square is the number without its sign. The mean is not taken away.",
    )


@question("parameters of a norm")
def parameters(ex: Exercise, rng: Random) -> Ask:
    width = rng.pick([64, 128, 576, 4096])
    return Ask(
        f"How many parameters does RMSNorm({width}) have?",
        sum(p.numel() for p in ex.RMSNorm(width).parameters()),
        "One scale for each feature, and no shift. A layer norm has twice as many.",
    )


@question("a gate that is shut")
def shut(ex: Exercise, rng: Random) -> Ask:
    through = rng.integers(2, 100)
    network = ex.SwiGLU(1, 1)
    with torch.no_grad():
        network.gate.weight.fill_(-100.0)
        network.up.weight.fill_(float(through))
        network.down.weight.fill_(1.0)
    return Ask(
        f"A SwiGLU with one feature and one hidden unit has gate = -100, up = {through} and down = 1. What does it "
        "make of x = 1, to one digit?",
        round(abs(network(torch.ones(1, 1)).item()), 1),
        "silu(-100) is 0 to forty digits, so nothing gets through, however large the other branch is.",
    )


@question("the width of a SwiGLU")
def width(ex: Exercise, rng: Random) -> Ask:
    d_model, multiple = 3 * rng.integers(4, 60), rng.pick([8, 16, 32])
    return Ask(
        f"d_model = {d_model}, and the width has to be a multiple of {multiple}. How wide is a SwiGLU that weighs what "
        "a feed-forward network of width 4 D does?",
        ex.swiglu_width(d_model, multiple),
        f"8 * {d_model} / 3 = {8 * d_model // 3}, and the least multiple of {multiple} that is not below it.",
    )


@question("how many numbers three matrices hold")
def weight(ex: Exercise, rng: Random) -> Ask:
    d_model = 3 * rng.integers(2, 12)
    d_ff = ex.swiglu_width(d_model)
    return Ask(
        f"How many numbers do the three matrices of SwiGLU({d_model}, {d_ff}) hold in total?",
        sum(p.numel() for p in ex.SwiGLU(d_model, d_ff).parameters()),
        f"3 * {d_model} * {d_ff}, which is 8 D^2: as many as two matrices of {d_model} by {4 * d_model}.",
    )
