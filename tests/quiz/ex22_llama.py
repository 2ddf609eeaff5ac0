"""Questions on exercise 22: Llama, its sizes and its cache."""

from __future__ import annotations

from typing import Any

import torch

from grader.learning.quiz import Ask, Exercise, Random, question

SIZES = {
    "vocab_size": 11,
    "context_length": 16,
    "d_model": 16,
    "n_heads": 4,
    "n_kv_heads": 2,
    "n_layers": 2,
    "d_ff": 24,
}


def count(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


@question("the parameters of a block")
def block(ex: Exercise, rng: Random) -> Ask:
    d_model, d_ff = 16 * rng.integers(1, 5), 8 * rng.integers(2, 9)
    kv_heads = rng.pick([1, 2, 4])
    config = ex.LlamaConfig(11, 8, d_model=d_model, n_heads=4, n_kv_heads=kv_heads, n_layers=1, d_ff=d_ff)
    kv = d_model // 4 * kv_heads
    return Ask(
        f"d_model = {d_model}, four heads of which {kv_heads} {'has' if kv_heads == 1 else 'have'} keys and values, "
        f"d_ff = {d_ff}. How many parameters does a LlamaBlock have?",
        count(ex.LlamaBlock(config)),
        f"Attention: 2 * {d_model}^2 for queries and output, 2 * {d_model} * {kv} for keys and values. SwiGLU: "
        f"3 * {d_model} * {d_ff}. Norms: 2 * {d_model}. No biases.",
    )


@question("what untying the head costs")
def untied(ex: Exercise, rng: Random) -> Ask:
    vocab_size, d_model = rng.pick([65, 100, 1000, 5000]), rng.pick([16, 32, 64])
    sizes = SIZES | {"vocab_size": vocab_size, "d_model": d_model}
    tied, loose = (ex.Llama(ex.LlamaConfig(**sizes, tied=tied)) for tied in (True, False))
    return Ask(
        f"vocab_size = {vocab_size}, d_model = {d_model}. How many more parameters does a Llama with tied=False have?",
        count(loose) - count(tied),
        f"A second table: {vocab_size} * {d_model}.",
    )


@question("what a longer context costs")
def context(ex: Exercise, rng: Random) -> Ask:
    longer = 2 ** rng.integers(6, 14)
    short, long = (ex.Llama(ex.LlamaConfig(**(SIZES | {"context_length": c}))) for c in (16, longer))
    return Ask(
        f"A Llama with context_length = 16 gets context_length = {longer} instead. By how many parameters does it "
        "grow?",
        count(long) - count(short),
        "By none: no table of positions. (Training, the cache and the scores do grow with the context.)",
    )


@question("what a cache holds")
def held(ex: Exercise, rng: Random) -> Ask:
    cache = ex.of("ex17_kv_cache").KVCache()
    model = ex.Llama(ex.LlamaConfig(**SIZES))
    prompt, steps = rng.integers(3, 8), rng.integers(2, 6)
    with torch.no_grad():
        model(rng.ids(11, 1, prompt), cache=cache)
        for _ in range(steps):
            model(rng.ids(11, 1, 1), cache=cache)
    return Ask(
        f"A prompt of {prompt} tokens goes through a Llama of two blocks with an empty cache, then {steps} further "
        "tokens one at a time. How many tokens does layer 1 of the cache hold?",
        cache.held(1),
        "All that have passed: every block keeps the keys and values of every token, each under its own layer.",
    )


@question("the shape of the key projection")
def keys(ex: Exercise, rng: Random) -> Ask:
    heads, width = 2 * rng.integers(2, 7), 2 * rng.integers(2, 9)
    kv_heads = rng.pick([number for number in (1, 2, heads // 2, heads) if heads % number == 0])
    config = ex.LlamaConfig(11, 8, d_model=heads * width, n_heads=heads, n_kv_heads=kv_heads, n_layers=1, d_ff=8)
    return Ask(
        f"d_model = {heads * width}, {heads} query heads, {kv_heads} of keys and values. What is the shape of "
        "`self_attn.k_proj.weight` in a checkpoint?",
        tuple(ex.LlamaBlock(config).attention.k_proj.weight.shape),
        f"A head is {heads * width} / {heads} = {width} wide, so {kv_heads} of them have {kv_heads * width} rows. "
        "`nn.Linear` keeps (out, in).",
    )
