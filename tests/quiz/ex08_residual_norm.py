"""Questions on exercise 8: the residual stream, and layer normalization."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, changed, question


@question("layer norm by hand")
def by_hand(ex: Exercise, rng: Random) -> Ask:
    middle, spread = rng.integers(-5, 9), rng.integers(1, 6)
    x = torch.tensor([middle - spread, middle + spread, middle + spread, middle - spread], dtype=torch.float64)
    index = rng.integers(0, 4)
    out = ex.LayerNorm(4).double()(x)
    return Ask(
        f"A fresh LayerNorm gets {x.int().tolist()}. What does it make of entry {index} (counted from 0)?",
        out[index].item(),
        f"The mean is {middle}, every entry is {spread} away from it, so the standard deviation is {spread} as well: "
        "each becomes 1 or -1 (a hair less, since eps stands under the root).",
    )


@question("how many means are taken")
def statistics(ex: Exercise, rng: Random) -> Ask:
    batch, length, width = rng.sizes(3)
    out = ex.LayerNorm(width).double()(rng.tensor(batch, length, width, dtype=torch.float64))
    assert out.mean(-1).abs().max() < 1e-9
    return Ask(
        f"x is ({batch}, {length}, {width}). How many means does LayerNorm({width}) take?",
        out.mean(-1).numel(),
        f"One for each token, over its {width} features: {batch} * {length}. No token looks at another one, nor at "
        "another sequence; that is what makes it work for any batch and any length.",
    )


@question("the parameters of a layer norm")
def parameters(ex: Exercise, rng: Random) -> Ask:
    width = rng.pick([16, 64, 128, 768])
    return Ask(
        f"How many parameters does LayerNorm({width}) have?",
        sum(p.numel() for p in ex.LayerNorm(width).parameters()),
        f"A weight and a bias for each feature: 2 * {width}. They let the model undo the normalization where that "
        "helps.",
    )


@question("scaling what goes in")
def scale_of_input(ex: Exercise, rng: Random) -> Ask:
    factor = rng.pick([2, 10, 100])
    norm, x = ex.LayerNorm(6).double(), rng.tensor(6, dtype=torch.float64, scale=5.0)
    before, after = norm(x), norm(factor * x + 3)
    return Ask(
        f"LayerNorm(x) starts with {before[0].item():.3f}. With what does LayerNorm({factor} * x + 3) start?",
        after[0].item(),
        "With the same. The mean takes the 3 away, the standard deviation the factor: a sublayer sees every token at "
        "the same level, however large the stream has grown.",
        tolerance=0.02,
    )


@question("a sublayer that says nothing")
def silent_sublayer(ex: Exercise, rng: Random) -> Ask:
    norm_first = bool(rng.integers(0, 2))
    width = rng.integers(3, 9)
    x = rng.tensor(2, width, scale=4.0)
    out = ex.Residual(width, norm_first=norm_first)(x, torch.zeros_like)
    same = torch.equal(out, x)
    where = "pre-norm" if norm_first else "post-norm"
    return Ask(
        f"In a {where} block of width {width} the sublayer returns zeros for every token. Does the block return its x "
        "unchanged?",
        same,
        "Yes: x + 0. The path from the first layer to the last is free, so a deep stack can begin as the identity."
        if norm_first
        else "No: norm(x + 0) is the normalized x. In post-norm the stream passes through every norm, which is one "
        "reason why deep ones need a warm-up.",
    )


@question("without the path that carries x on")
def without_path(ex: Exercise, rng: Random) -> Ask:
    depth, width = rng.integers(2, 7), 4
    find = "return x + self.dropout(sublayer(self.norm(x)))"
    x = rng.tensor(3, width, dtype=torch.float64, grad=True)
    with changed(ex, (find, "return self.dropout(sublayer(self.norm(x)))")) as bare:
        y = x
        for _ in range(depth):
            y = bare.Residual(width).double()(y, lambda h: 0 * h)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    return Ask(
        f"{depth} pre-norm blocks whose sublayers return 0 for every input stand in a row, and `x +` "
        "is left out of them. What is the gradient of the output's sum with respect to each number of the first x?",
        int(gradient.abs().max().item()),
        "0: nothing gets through a sublayer that returns 0, forwards or backwards. With `x +` it would be 1, at any "
        "depth: that path is why deep stacks can be trained.",
    )
