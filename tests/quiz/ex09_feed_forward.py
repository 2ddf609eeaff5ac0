"""Questions on exercise 9: what each token does for itself."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, changed, multiplications, question


@question("the parameters of the network")
def parameters(ex: Exercise, rng: Random) -> Ask:
    width = rng.pick([8, 16, 32, 64])
    inner = rng.pick([None, 2 * width, 3 * width])
    layer = ex.FeedForward(width, inner)
    hidden = 4 * width if inner is None else inner
    return Ask(
        f"How many parameters does FeedForward(d_model={width}, d_ff={inner}) have?",
        sum(p.numel() for p in layer.parameters()),
        f"up: {width} * {hidden} and a bias of {hidden}; down: {hidden} * {width} and a bias of {width}."
        + (" (None stands for 4 * d_model.)" if inner is None else ""),
    )


@question("feed-forward against attention")
def share(ex: Exercise, rng: Random) -> Ask:
    width, times = rng.pick([16, 32, 64]), rng.pick([2, 4, 8])
    up_and_down = sum(p.numel() for p in ex.FeedForward(width, times * width, bias=False).parameters())
    attention = sum(p.numel() for p in ex.of("ex07_multi_head").MultiHeadAttention(width, 2, bias=False).parameters())
    return Ask(
        f"Biases aside, how many times as many weights as the attention of its block does a feed-forward network with "
        f"d_ff = {times} * d_model have?",
        up_and_down / attention,
        f"Two matrices of {times} D^2 each against four of D^2: {2 * times} / 4. With the usual factor 4, two thirds "
        "of a block's weights are in here.",
    )


@question("who is affected by a change")
def position_wise(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(4, 9)
    moved = rng.integers(0, length)
    layer, x = ex.FeedForward(6), rng.tensor(length, 6)
    y = x.clone()
    y[moved] += 1.0
    affected = (layer(x) - layer(y)).abs().amax(-1) > 1e-6
    return Ask(
        f"{length} tokens (0 to {length - 1}) pass through a feed-forward network. Token {moved} is changed. Which "
        "outputs change?",
        frozenset(torch.nonzero(affected)[:, 0].tolist()),
        "Its own alone. The network is applied to each position by itself; tokens talk to each other in attention "
        "only.",
    )


@question("without the activation")
def without_activation(ex: Exercise, rng: Random) -> Ask:
    width = rng.pick([4, 8, 16])
    find = 'hidden = gelu(hidden, "tanh" if self.activation == "gelu_tanh" else "none")'
    with changed(ex, (find, "pass")) as bare:
        layer = bare.FeedForward(width).double()
        x, y = rng.tensor(width, dtype=torch.float64), rng.tensor(width, dtype=torch.float64)
        zero = layer(torch.zeros(width, dtype=torch.float64))
        linear = torch.allclose(layer(x + y), layer(x) + layer(y) - zero)
    assert linear
    return Ask(
        f"The activation is left out of FeedForward({width}). How many parameters would a single nn.Linear have that "
        "computes exactly the same?",
        sum(p.numel() for p in torch.nn.Linear(width, width).parameters()),
        f"down(up(x)) is one linear map with a bias: {width}**2 + {width} numbers, whatever d_ff is. Without a "
        "nonlinearity in between, two matrices are one.",
    )


@question("gelu far out")
def tails(ex: Exercise, rng: Random) -> Ask:
    x = float(rng.pick([-30, -20, 12, 25, 40, 0]))
    return Ask(
        f"What is gelu({x:g})?",
        ex.gelu(torch.tensor(x, dtype=torch.float64)).item() + 0.0,
        "gelu(x) is x times the probability that a standard normal number lies below x: far to the right that is 1, "
        "far to the left 0, and gelu(0) is 0.",
    )


@question("gelu near zero")
def negative(ex: Exercise, rng: Random) -> Ask:
    x = -rng.pick([0.3, 0.5, 0.8, 1.0])
    value = ex.gelu(torch.tensor(x, dtype=torch.float64)).item()
    return Ask(
        f"Is gelu({x:g}) below zero?",
        value < 0,
        f"It is {value:.3f}. Unlike relu it dips below zero before it rises, and it has a slope there, so a unit that "
        "is switched off can still learn.",
    )


@question("the work of the network")
def work(ex: Exercise, rng: Random) -> Ask:
    length, width = rng.pick([8, 16, 32]), rng.pick([8, 16])
    layer, x = ex.FeedForward(width), rng.tensor(length, width)
    return Ask(
        f"How many multiplications do the matrix products of FeedForward({width}) take for {length} tokens? (d_ff is "
        f"{4 * width}.)",
        multiplications(lambda: layer(x)),
        f"T * D * F on the way up and as many on the way down: 2 * {length} * {width} * {4 * width}. It grows with T, "
        "not with T squared as attention does.",
    )
