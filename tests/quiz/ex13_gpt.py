"""Questions on exercise 13: GPT, from ids to logits."""

from __future__ import annotations

import math
from typing import Any

import torch

from grader.learning.quiz import Ask, Exercise, Random, changed, question


def small(ex: Exercise, rng: Random, **options: Any) -> Any:
    """A small GPT with weights large enough that every part of it can be felt."""
    torch.manual_seed(rng.integers(0, 2**31))
    settings = dict(vocab_size=11, context_length=8, d_model=12, n_heads=2, n_layers=2) | options
    model = ex.GPT(ex.GPTConfig(**settings)).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.3)
    return model


@question("the shape of the logits")
def logits_shape(ex: Exercise, rng: Random) -> Ask:
    batch, length, vocab_size = rng.sizes(3)
    config = ex.GPTConfig(vocab_size=vocab_size, context_length=16, d_model=8, n_heads=2, n_layers=1)
    logits, _ = ex.GPT(config)(rng.ids(vocab_size, batch, length))
    return Ask(
        f"A GPT with vocab_size={vocab_size}, d_model=8 reads ids of shape ({batch}, {length}). What is the shape of "
        "its logits?",
        tuple(logits.shape),
        f"At every position one score for each of {vocab_size} tokens: what comes next, after all that stands up to "
        "there.",
    )


@question("the parameters of a GPT")
def parameters(ex: Exercise, rng: Random) -> Ask:
    vocab_size, context, width, layers = (
        rng.pick([50, 65, 100]),
        rng.pick([16, 32, 64]),
        rng.pick([16, 32]),
        rng.integers(1, 5),
    )
    config = ex.GPTConfig(vocab_size, context, width, 2, layers, bias=False)
    return Ask(
        f"GPTConfig(vocab_size={vocab_size}, context_length={context}, d_model={width}, n_heads=2, n_layers={layers}, "
        "bias=False): how many parameters? (The head is tied; the norms keep their biases.)",
        ex.GPT(config).num_parameters(),
        f"Tokens {vocab_size} * {width}, positions {context} * {width}; each block 4 D^2 for attention, 8 D^2 for the "
        f"feed-forward network, 4 D for two norms, which makes 12 * {width}**2 + 4 * {width}, times {layers}; the "
        f"last norm 2 * {width}; the head nothing, since it is the token table.",
    )


@question("an untied head")
def untied(ex: Exercise, rng: Random) -> Ask:
    vocab_size, width = rng.pick([65, 100, 1000]), rng.pick([16, 32, 64])
    config = ex.GPTConfig(vocab_size, 8, width, 2, 1)
    find = "self.lm_head.weight = self.token_embedding.weight  # one parameter, two names"
    with changed(ex, (find, "pass")) as bare:
        more = bare.GPT(config).num_parameters() - ex.GPT(config).num_parameters()
    return Ask(
        f"vocab_size = {vocab_size}, d_model = {width}. The head gets a matrix of its own instead of sharing the "
        "token table. How many parameters come on top?",
        more,
        f"Another {vocab_size} * {width}. Sharing says that a token which is read like another should be predicted "
        "like it, too.",
    )


@question("the loss before training")
def first_loss(ex: Exercise, rng: Random) -> Ask:
    vocab_size = rng.pick([27, 65, 100, 500, 2000])
    torch.manual_seed(rng.integers(0, 2**31))
    model = ex.GPT(ex.GPTConfig(vocab_size, 32, 32, 4, 2))
    ids = rng.ids(vocab_size, 4, 33)
    with torch.no_grad():
        _, loss = model(ids[:, :-1], ids[:, 1:])
    return Ask(
        f"A fresh GPT with {vocab_size} tokens has not seen any text yet. What is its loss, roughly?",
        loss.item(),
        f"Its weights are small, so its logits are nearly equal and every token gets about 1/{vocab_size}: the loss "
        f"is near ln {vocab_size} = {math.log(vocab_size):.2f}. If yours starts far above, look at the initial "
        "weights.",
        tolerance=0.05,
    )


@question("what a changed token can reach")
def causal_reach(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(5, 9)
    moved = rng.integers(1, length)
    model, ids = small(ex, rng), rng.ids(11, 1, length)
    other = ids.clone()
    other[0, moved] = (ids[0, moved] + 1) % 11
    with torch.no_grad():
        gap = (model(ids)[0] - model(other)[0]).abs().amax(-1)[0]
    return Ask(
        f"A GPT reads {length} tokens, numbered from 0. Token {moved} is replaced by another one. At which positions "
        "do the logits change?",
        frozenset(torch.nonzero(gap > 1e-9)[:, 0].tolist()),
        "At its own and at all later ones. Earlier positions can't see it, in any layer: that is what lets one pass "
        "train every position at once.",
    )


@question("without the causal mask")
def without_mask(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(4, 8)
    moved = rng.integers(1, length)
    with changed(ex, ("self.attention(self.norm1(x), mask=mask)", "self.attention(self.norm1(x))")) as bare:
        model, ids = small(bare, rng), rng.ids(11, 1, length)
        other = ids.clone()
        other[0, moved] = (ids[0, moved] + 1) % 11
        with torch.no_grad():
            gap = (model(ids)[0] - model(other)[0]).abs().amax(-1)[0]
    return Ask(
        f"The causal mask is left out of a GPT that reads {length} tokens. Token {moved} is replaced. At how many "
        "positions do the logits change?",
        int((gap > 1e-9).sum()),
        "At all of them. In training each position could then read the very token that it has to predict; the loss "
        "would fall to almost nothing, and the model would be useless for writing.",
    )


@question("without positions")
def without_positions(ex: Exercise, rng: Random) -> Ask:
    with_positions = bool(rng.integers(0, 2))
    find = "self.position_embedding(self.token_embedding(ids))"
    with changed(ex, (find, "self.token_embedding(ids)")) as bare:
        model = small(ex if with_positions else bare, rng, n_layers=1)
        ids = torch.from_numpy(rng.numpy.permutation(11)[None, :4])
        with torch.no_grad():
            gap = (model(ids)[0][0, -1] - model(ids[:, [2, 0, 1, 3]])[0][0, -1]).abs().max().item()
    first, second = (" ".join(map(str, ids[0, order].tolist())) for order in ([0, 1, 2, 3], [2, 0, 1, 3]))
    kind = "A GPT of one layer" if with_positions else "A GPT of one layer, with its position embedding left out,"
    return Ask(
        f"{kind} reads the tokens {first}, and then {second}. Does its guess after the last token change?",
        gap > 1e-9,
        "Yes: each token carries the mark of its place, so the same words in another order are another text."
        if with_positions
        else "No: attention is a weighted sum over a set of keys, and a sum knows no order. Without positions the "
        "last token sees the same bag of tokens.",
    )


@question("a text that is too long")
def too_long(ex: Exercise, rng: Random) -> Ask:
    context = rng.integers(4, 9)
    length = context + rng.integers(-1, 2)
    model = small(ex, rng, context_length=context)
    try:
        model(rng.ids(11, 1, length))
        works = True
    except ValueError:
        works = False
    return Ask(
        f"context_length is {context}. Can the model read {length} tokens at once?",
        works,
        f"There are {context} rows in its table of positions, so up to {context} tokens fit; one more is a "
        "ValueError. That is why generating crops the text to its last tokens.",
    )
