"""Questions on exercise 16: your own GPT, from the text to the first line that it writes."""

from __future__ import annotations

import math

import numpy as np

from grader.learning.quiz import Ask, Exercise, Random, multiplications, question


@question("what is held out")
def split(ex: Exercise, rng: Random) -> Ask:
    length, share = 20 * rng.integers(5, 30), rng.pick([0.1, 0.2, 0.25])
    text = "abcd" * (length // 4)
    train, _ = ex.split_corpus(text, ex.of("ex02_tokenizers").CharTokenizer(text), share)
    return Ask(
        f"A corpus of {length} characters is split with val_fraction = {share}, one token for each character. How "
        "many tokens are left to learn from?",
        len(train),
        f"{length} - {share:g} * {length}. The last part of the text is held out, and in one piece: single lines "
        "picked from all over would be neighbours of what was learned.",
    )


@question("the size of the model")
def size(ex: Exercise, rng: Random) -> Ask:
    width, layers = rng.pick([64, 128, 256]), rng.pick([2, 4, 6])
    model = ex.build_model(65, d_model=width, n_heads=4, n_layers=layers)
    return Ask(
        f"Roughly how many parameters does a GPT with d_model = {width} and {layers} layers have, for 65 characters "
        "and a context of 64?",
        float(model.num_parameters()),
        f"12 * D^2 in each block (4 for attention, 8 for the feed-forward network): {layers} * 12 * {width}**2 = "
        f"{12 * layers * width**2}. Biases, norms and the two tables are the small rest.",
        tolerance=0.12,
    )


@question("perplexity from the loss")
def perplexity(ex: Exercise, rng: Random) -> Ask:
    loss = rng.pick([1.1, 1.4, 1.6, 1.9, 2.3])
    logits = np.zeros((1, 2))
    logits[0, 1] = math.log(math.exp(loss) - 1)  # the token that comes has the chance exp(-loss)
    value = ex.of("ex01_softmax").perplexity(logits, np.array([0]))
    return Ask(
        f"A character model has a held-out loss of {loss} nats per character. What is its perplexity? (e is about "
        "2.718.)",
        value,
        f"exp({loss}): at each character it is as unsure as if it had to pick among that many equally likely ones, "
        "out of 65.",
        tolerance=0.05,
    )


@question("bits for each character")
def bits(ex: Exercise, rng: Random) -> Ask:
    halvings = rng.integers(1, 5)
    chance = 2.0**-halvings
    loss = ex.of("ex01_softmax").cross_entropy(np.log(np.array([[chance, 1 - chance]])), np.array([0]))
    return Ask(
        f"A model's loss is {loss:.3f} nats per character. How many bits per character would a compressor need that "
        "uses its guesses? (ln 2 is about 0.693.)",
        loss / math.log(2),
        f"A bit is ln 2 nats: {loss:.3f} / 0.693. A language model and a compressor are the same thing seen from two "
        "sides.",
    )


@question("how often the corpus is read")
def epochs(ex: Exercise, rng: Random) -> Ask:
    steps, batch, corpus = rng.pick([1000, 2000, 5000]), rng.pick([12, 32]), rng.pick([200_000, 500_000, 1_000_000])
    config = ex.of("ex14_training").TrainConfig(steps=steps, batch_size=batch)
    context = ex.build_model(10).config.context_length
    return Ask(
        f"{steps} steps with batches of {batch} windows of {context} tokens, from {corpus} tokens. How many times "
        "over is the corpus read?",
        config.steps * config.batch_size * context / corpus,
        f"{steps} * {batch} * {context} tokens are seen, divided by {corpus}. Windows are drawn at random, so some "
        "places are read more often than others.",
        tolerance=0.03,
    )


@question("the work for one token")
def work(ex: Exercise, rng: Random) -> Ask:
    width, layers = rng.pick([32, 64]), rng.pick([1, 2, 3])
    model = ex.build_model(65, d_model=width, n_layers=layers)
    ids = rng.ids(65, 1, 8)
    blocks = sum(p.numel() for block in model.blocks for p in block.parameters() if p.ndim == 2)
    return Ask(
        f"A GPT has {blocks} weights in the matrices of its blocks, and its token table is 65 by {width}. Roughly how "
        "many multiplications does a forward pass take for each token of a short text?",
        multiplications(lambda: model(ids)) / 8,
        "One for each weight of a matrix, the head's included (only attention itself comes on top, and is small while "
        "the text is short). With the backward pass, three: hence the rule of thumb of 6 operations for each weight "
        "and token.",
        tolerance=0.1,
    )
