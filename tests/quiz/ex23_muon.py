"""Questions on exercise 23: Muon and the speedrun."""

from __future__ import annotations

import torch
from torch import nn

from grader.learning.quiz import Ask, Exercise, Random, changed, multiplications, question


@question("the polynomial, once")
def once(ex: Exercise, rng: Random) -> Ask:
    value = rng.pick([0.1, 0.2, 0.5])
    other = (1 - value**2) ** 0.5  # together they have the norm 1
    out = ex.newton_schulz(torch.diag(torch.tensor([value, other], dtype=torch.float64)), steps=1)
    return Ask(
        f"A singular value is {value} after the division by the norm. What is it after one step? (a, b, c are 3.4445, "
        "-4.7750 and 2.0315; two digits will do.)",
        round(out[0, 0].item(), 2),
        f"3.4445 * {value} - 4.7750 * {value}^3 + 2.0315 * {value}^5.",
    )


@question("how long a step is")
def length(ex: Exercise, rng: Random) -> Ask:
    rows, columns = rng.pick([(4, 1), (9, 1), (8, 2), (2, 8), (3, 12)])
    gradient = rng.tensor(rows, columns, dtype=torch.float64)
    w = nn.Parameter(torch.zeros(rows, columns, dtype=torch.float64))
    w.grad = gradient
    ex.Muon([w], lr=1.0, nesterov=False).step()
    factor = -(w.detach() / ex.newton_schulz(gradient)).mean().item()
    return Ask(
        f"A weight is {rows} x {columns}, lr is 1. By which factor is the orthogonalized direction multiplied?",
        round(factor, 9),
        f"sqrt(max(1, {rows} / {columns})): more outputs than inputs make the step longer, never shorter.",
    )


@question("the buffer")
def buffer(ex: Exercise, rng: Random) -> Ask:
    one, two = (float(x) for x in rng.sizes(2, 1, 9))
    momentum = rng.pick([0.5, 0.25])
    signs = []
    for gradient in (one, two):
        w = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
        optimizer = ex.Muon([w], momentum=momentum, nesterov=False)
        w.grad = torch.tensor([[one]], dtype=torch.float64)
        optimizer.step()
        w.grad = torch.tensor([[gradient]], dtype=torch.float64)
        optimizer.step()
        (tensor,) = (value for value in optimizer.state[w].values() if torch.is_tensor(value))
        signs.append(tensor.item())
    return Ask(
        f"momentum = {momentum}, and a parameter of one number has the gradients {one:g} and then {two:g}. What is in "
        "the buffer after the second step?",
        signs[-1],
        f"{momentum} * {one:g} + {two:g}: a sum, not an average.",
    )


@question("the work of one step")
def work(ex: Exercise, rng: Random) -> Ask:
    rows, columns = rng.pick([(2, 5), (3, 4), (5, 2), (4, 3)])
    small, large = min(rows, columns), max(rows, columns)
    return Ask(
        f"How many multiplications do the matrix products of one step of newton_schulz take for a {rows} x {columns} "
        "matrix?",
        multiplications(lambda: ex.newton_schulz(rng.tensor(rows, columns), steps=1)),
        f"X X^T takes {small}^2 * {large}, its square {small}^3, and the last product {small}^2 * {large} again: on "
        "the side with fewer rows.",
    )


@question("without the division")
def undivided(ex: Exercise, rng: Random) -> Ask:
    value = rng.pick([2, 3])
    with changed(ex, ("x = x / (torch.linalg.vector_norm(x) + 1e-7)", "x = x + 0")) as broken:
        out = broken.newton_schulz(torch.tensor([[float(value)]], dtype=torch.float64), steps=1).item()
    return Ask(
        f"The division by the norm is left out. A matrix of the single number {value}: what is it after one step? (To "
        "the nearest whole number.)",
        round(out),
        f"3.4445 * {value} - 4.7750 * {value}^3 + 2.0315 * {value}^5, and the next step would explode.",
    )


@question("who gets Muon")
def who(ex: Exercise, rng: Random) -> Ask:
    gpt, layers = ex.of("ex13_gpt"), rng.integers(1, 6)
    model = gpt.GPT(gpt.GPTConfig(7, 5, d_model=4, n_heads=2, n_layers=layers))
    matrices, _ = ex.split_parameters(model)
    return Ask(
        f"A GPT of exercise 13 has {layers} block{'s' if layers > 1 else ''}. How many tensors go to Muon?",
        len(matrices),
        "Six for each block: four projections of the attention, two of the feed-forward network.",
    )
