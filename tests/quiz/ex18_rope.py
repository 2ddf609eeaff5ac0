"""Questions on exercise 18: positions by turning."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, question


@question("partners")
def partners(ex: Exercise, rng: Random) -> Ask:
    width = 2 * rng.integers(3, 9)
    index = rng.integers(0, width // 2)
    alone = torch.zeros(1, width)
    alone[0, index] = 1.0
    moved = ex.rotate(alone, torch.tensor([1]))[0].abs()
    moved[index] = 0.0
    return Ask(
        f"A head is {width} wide. With which coordinate does `rotate` mix coordinate {index}?",
        int(moved.argmax()),
        f"With the one half a width further on: {index} + {width // 2}. The first half holds the first members of all "
        "pairs, the second half the second ones.",
    )


@question("the same distance")
def same_distance(ex: Exercise, rng: Random) -> Ask:
    t, gap, by = rng.integers(2, 9), rng.integers(2, 7), 10 * rng.integers(1, 9)
    q, k = rng.tensor(1, 8), rng.tensor(1, 8)

    def score(one: int, other: int) -> float:
        return (ex.rotate(q, torch.tensor([one])) @ ex.rotate(k, torch.tensor([other])).T).item()

    return Ask(
        f"A query at position {t} and a key at position {t + gap} have the dot product {score(t, t + gap):.3f} after "
        f"turning. What is it when the same two stand at {t + by} and {t + by + gap}?",
        score(t + by, t + by + gap),
        "The same. Both are turned by the same further angle, which changes no dot product: only the distance is left.",
        tolerance=0.02,
    )


@question("how long a turned vector is")
def length(ex: Exercise, rng: Random) -> Ask:
    position = rng.integers(5, 500)
    x = torch.tensor([[float(rng.pick([3, -3])), 0.0, float(rng.pick([4, -4])), 0.0]])
    return Ask(
        f"The vector {x[0].int().tolist()} is turned as it should be at position {position}. How long is the result?",
        ex.rotate(x, torch.tensor([position])).norm().item(),
        "As long as before, 5: turning a pair keeps its length, and so the length of the whole. Positions make no "
        "score larger than it could have been without them.",
        tolerance=0.02,
    )


@question("a quarter of a turn")
def quarter(ex: Exercise, rng: Random) -> Ask:
    a, b = rng.integers(1, 9), rng.integers(1, 9)
    x = torch.tensor([[float(a), float(b)]], dtype=torch.float64)
    out = ex.rotate(x, torch.tensor([torch.pi / 2], dtype=torch.float64))
    return Ask(
        f"The pair ({a}, {b}) is turned counter-clockwise by a right angle. What is its first number then?",
        round(out[0, 0].item()),
        f"cos is 0 and sin is 1: ({a}, {b}) becomes (-{b}, {a}).",
    )


@question("where a row of an interleaved projection goes")
def reordered(ex: Exercise, rng: Random) -> Ask:
    heads, width = rng.integers(2, 5), 2 * rng.integers(2, 5)
    row = rng.integers(0, heads * width)
    order = ex.halves_from_interleaved(torch.arange(heads * width), heads).tolist()
    head, inside = divmod(row, width)
    return Ask(
        f"A query projection has {heads} heads of width {width} and pairs neighbours. To which row does "
        f"`halves_from_interleaved` move row {row}? (Rows are counted from 0.)",
        order.index(row),
        f"It is row {inside} of head {head}: the {'second' if inside % 2 else 'first'} member of pair {inside // 2}. "
        f"First members go to the first half of their head, second ones to the second.",
    )


@question("parameters for positions")
def parameters(ex: Exercise, rng: Random) -> Ask:
    d_model = 8 * rng.integers(2, 9)
    count = sum(p.numel() for p in ex.RotaryAttention(d_model, 4).parameters())
    return Ask(
        f"RotaryAttention({d_model}, n_heads=4) has four matrices of {d_model} by {d_model} and no bias. How many "
        "parameters does it have beyond these?",
        count - 4 * d_model**2,
        "None: angles are computed, not learned. A table of positions would cost context length times width.",
    )
