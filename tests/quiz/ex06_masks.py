"""Questions on exercise 6: who may look at whom. True means "may attend"."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, question


@question("the open cells of a causal mask")
def causal_count(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(4, 20)
    return Ask(
        f"How many of the {length} x {length} cells of a causal mask are True?",
        int(ex.causal_mask(length).sum()),
        f"Query i sees keys 0 to i, so the rows have 1, 2, ..., {length} open cells: {length} * {length + 1} / 2.",
    )


@question("one row of a causal mask")
def causal_row(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(5, 9)
    query = rng.integers(0, length)
    return Ask(
        f"{length} positions, numbered from 0, with a causal mask. Which keys may query {query} attend to?",
        frozenset(torch.nonzero(ex.causal_mask(length)[query])[:, 0].tolist()),
        "Those before it and its own: a position has read itself, and has to guess the next one.",
    )


@question("causal and padded")
def combined_row(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(5, 8)
    real = rng.integers(2, length)
    query = rng.integers(1, length)
    mask = ex.combine_masks(ex.causal_mask(length), ex.padding_mask(torch.tensor([real]), length))
    return Ask(
        f"A sequence has {real} real tokens and is padded to {length}. With the causal and the padding mask combined, "
        f"which keys may query {query} attend to?",
        frozenset(torch.nonzero(mask[0, 0, query])[:, 0].tolist()),
        f"Keys up to {query}, as far as they are real: keys from {real} on are padding and hidden. (If query {query} "
        "is padding itself, nobody minds: nobody reads its answer.)",
    )


@question("the shape of a combined mask")
def combined_shape(ex: Exercise, rng: Random) -> Ask:
    batch, length = rng.sizes(2)
    mask = ex.combine_masks(ex.causal_mask(length), torch.ones(batch, length, dtype=torch.bool))
    return Ask(
        f"A causal mask is ({length}, {length}), a padding mask ({batch}, {length}). What shape does their "
        "combination have?",
        tuple(mask.shape),
        "One (T, T) mask for each sequence, and an axis of size 1 in between, which broadcasts over the heads.",
    )


@question("a masked softmax by hand")
def by_hand(ex: Exercise, rng: Random) -> Ask:
    parts = rng.sizes(3, 1, 9)
    hidden = rng.integers(0, 3)
    asked = rng.pick([i for i in range(3) if i != hidden])
    mask = torch.tensor([i != hidden for i in range(3)])
    weights = ex.masked_softmax(torch.tensor(parts, dtype=torch.float64).log(), mask)
    total = sum(part for i, part in enumerate(parts) if i != hidden)
    return Ask(
        f"Scores are ln {parts[0]}, ln {parts[1]}, ln {parts[2]}, and key {hidden} is hidden (keys count from 0). "
        f"What is the weight of key {asked}?",
        weights[asked].item(),
        f"The hidden key has no part in the sum: {parts[asked]} of {total}.",
    )


@question("a mask that comes too late")
def after_the_softmax(ex: Exercise, rng: Random) -> Ask:
    parts = rng.sizes(3, 1, 9)
    scores, mask = torch.tensor(parts, dtype=torch.float64).log(), torch.tensor([True, True, False])
    late = torch.softmax(scores, -1) * mask
    assert abs(ex.masked_softmax(scores, mask).sum().item() - 1) < 1e-9
    return Ask(
        f"Scores are ln {parts[0]}, ln {parts[1]}, ln {parts[2]}. Somebody takes the softmax first and then sets the "
        "weight of the last key to 0. What do the weights sum to?",
        late.sum().item(),
        f"To ({parts[0]} + {parts[1]}) / {sum(parts)}, and not to 1: the hidden key still stood in the sum that the "
        "others were divided by, so the future can be felt. The mask belongs before the softmax.",
    )


@question("a query that may see nothing")
def nothing_to_see(ex: Exercise, rng: Random) -> Ask:
    length = rng.integers(2, 9)
    weights = ex.masked_softmax(rng.tensor(length), torch.zeros(length, dtype=torch.bool))
    return Ask(
        f"All {length} keys are hidden from a query. What do its weights from `masked_softmax` sum to?",
        int(weights.sum().item()),
        "To 0: who may look at nothing receives nothing. The plain formula would compute -inf - (-inf), which is NaN, "
        "and one NaN in a gradient spoils every weight of the model.",
    )
