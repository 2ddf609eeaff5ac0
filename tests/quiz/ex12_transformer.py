"""Questions on exercise 12: the original transformer, from source ids to a translation."""

from __future__ import annotations

import math

import torch

from grader.learning.quiz import Ask, Exercise, Random, question


@question("what the decoder is fed")
def shifted(ex: Exercise, rng: Random) -> Ask:
    target = torch.from_numpy(rng.numpy.permutation(range(3, 12))[None, :5])
    return Ask(
        f"The target is {target[0].tolist()}, and BOS is 1. What does shift_right make of it for the decoder to read?",
        ex.shift_right(target, 1)[0].tolist(),
        "At each position the decoder sees what came before and has to predict the target there: BOS comes first, "
        "and the last token, which is never an input, falls off.",
    )


@question("the shape of the logits")
def logits_shape(ex: Exercise, rng: Random) -> Ask:
    batch, source, target, vocab_size = rng.sizes(4, 3, 12)
    model = ex.Transformer(20, vocab_size, d_model=8, n_heads=2, n_layers=1, d_ff=8)
    logits = model(torch.ones(batch, source, dtype=torch.long), torch.ones(batch, target, dtype=torch.long))
    return Ask(
        f"src is ({batch}, {source}), tgt_in is ({batch}, {target}); the source vocabulary has 20 tokens, the target's "
        f"{vocab_size}. What is the shape of the logits?",
        tuple(logits.shape),
        "For each target position a score for each token of the target vocabulary. The source is only read.",
    )


@question("the learning rate of the paper")
def noam(ex: Exercise, rng: Random) -> Ask:
    width, warmup = rng.pick([64, 256]), rng.pick([100, 400])
    return Ask(
        f"noam_lr with d_model = {width} and warmup = {warmup}: at which step is the learning rate largest?",
        max(range(1, 3 * warmup), key=lambda step: ex.noam_lr(step, width, warmup)),
        f"Up to step {warmup} it rises in a straight line, step * {warmup}**-1.5; after that it falls as step**-0.5. "
        "They meet at the end of the warm-up.",
    )


@question("the learning rate at its peak")
def peak(ex: Exercise, rng: Random) -> Ask:
    width, warmup = rng.pick([(64, 100), (100, 400), (256, 100), (64, 400)])
    return Ask(
        f"How large is noam_lr(step={warmup}, d_model={width}, warmup={warmup})?",
        ex.noam_lr(warmup, width, warmup),
        f"1/sqrt({width}) * 1/sqrt({warmup}) = 1/{math.isqrt(width)} * 1/{math.isqrt(warmup)}. Wider models get "
        "smaller steps.",
        tolerance=0.02,
    )


@question("label smoothing")
def smoothing(ex: Exercise, rng: Random) -> Ask:
    vocab_size, amount = rng.pick([5, 10, 20]), rng.pick([0.1, 0.2])
    # With one log probability for the right token and one for all others, the loss tells the two weights apart.
    logits = torch.zeros(1, 1, vocab_size, dtype=torch.float64)
    logits[0, 0, 0] = 1.0
    log_probs = torch.log_softmax(logits, -1)[0, 0]
    loss = ex.label_smoothed_cross_entropy(logits, torch.zeros(1, 1, dtype=torch.long), smoothing=amount)
    weight = ((-loss - log_probs[1]) / (log_probs[0] - log_probs[1])).item()
    return Ask(
        f"Label smoothing of {amount} over {vocab_size} tokens: what probability is the model told to give the right "
        "token?",
        weight,
        f"1 - {amount}, and its share of the {amount} that is spread evenly over all {vocab_size}: {1 - amount:g} + "
        f"{amount}/{vocab_size}. It is never told to be certain.",
    )


@question("an untrained model's loss")
def first_loss(ex: Exercise, rng: Random) -> Ask:
    vocab_size = rng.pick([10, 20, 50, 100])
    loss = ex.label_smoothed_cross_entropy(
        torch.zeros(2, 3, vocab_size), torch.ones(2, 3, dtype=torch.long), smoothing=0.1
    )
    return Ask(
        f"All logits are equal, {vocab_size} tokens, label smoothing 0.1. What is the loss?",
        loss.item(),
        f"ln {vocab_size}: every token has the same log probability, so it does not matter how the target is spread.",
    )
