"""Questions on exercise 20: who reads which head, and what a cache weighs."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, changed, question


@question("which head a query reads")
def which_head(ex: Exercise, rng: Random) -> Ask:
    kv_heads, times = rng.integers(2, 5), rng.integers(2, 5)
    query = rng.integers(0, kv_heads * times)
    numbered = torch.arange(kv_heads).float().view(1, -1, 1, 1)
    return Ask(
        f"{kv_heads * times} query heads share {kv_heads} heads of keys. Which head (from 0 on) does query head "
        f"{query} read?",
        int(ex.repeat_heads(numbered, times)[0, query, 0, 0]),
        f"Neighbours form a group of {times}: {query} // {times}.",
    )


@question("the parameters of a layer")
def parameters(ex: Exercise, rng: Random) -> Ask:
    heads, kv_heads = rng.pick([(4, 1), (4, 2), (8, 2), (6, 3)])
    width = heads * rng.pick([4, 8])
    layer = ex.GroupedQueryAttention(width, heads, kv_heads)
    return Ask(
        f"GroupedQueryAttention with D = {width}, {heads} query heads and {kv_heads} heads of keys and values, no "
        "biases. How many parameters does it have?",
        sum(parameter.numel() for parameter in layer.parameters()),
        f"Queries and the output {width} * {width} each, keys and values {width} * {width * kv_heads // heads} each.",
    )


@question("the bytes of a cache")
def bytes_of_a_cache(ex: Exercise, rng: Random) -> Ask:
    layers, kv_heads, width = rng.pick([(10, 2, 64), (4, 1, 100), (20, 4, 50), (8, 8, 10)])
    length = rng.pick([100, 500, 1000])
    return Ask(
        f"A model has {layers} layers with {kv_heads} heads of keys and values, each {width} wide. A text of {length} "
        "tokens is held, two bytes for each number. How many bytes are that?",
        ex.cache_bytes(layers, kv_heads, width, length),
        f"2 * {layers} * {kv_heads} * {width} * {length} numbers, keys and values, and 2 bytes for each.",
    )


@question("how much smaller")
def how_much_smaller(ex: Exercise, rng: Random) -> Ask:
    heads, kv_heads = rng.pick([(32, 8), (64, 8), (32, 2), (12, 4), (48, 1)])
    many, few = (ex.cache_bytes(10, h, 64, 100) for h in (heads, kv_heads))
    return Ask(
        f"A model has {heads} query heads. How many times as small does its cache get if {kv_heads} heads of keys and "
        f"values take the place of {heads}?",
        many / few,
        f"{heads} / {kv_heads}: nothing else in the formula changes.",
    )


@question("the shape that is kept")
def kept_shape(ex: Exercise, rng: Random) -> Ask:
    heads, kv_heads = rng.pick([(4, 2), (6, 2), (6, 3), (8, 2)])
    batch, length, width = rng.integers(2, 5), rng.integers(3, 9), rng.pick([4, 8])
    cache = ex.of("ex17_kv_cache").KVCache()
    with torch.no_grad():
        ex.GroupedQueryAttention(heads * width, heads, kv_heads)(rng.tensor(batch, length, heads * width), cache)
    one = torch.zeros(batch, kv_heads, 1, width)
    keys, _ = cache.append(0, one, one)
    return Ask(
        f"D = {heads * width}, {heads} query heads, {kv_heads} heads of keys and values. {batch} texts of {length} "
        "tokens go through with a cache. What is the shape of the keys that it holds?",
        tuple(keys[:, :, :-1].shape),
        f"{kv_heads} heads, since they are repeated only afterwards, each {heads * width} / {heads} = {width} wide.",
    )


@question("a tiled order")
def tiled(ex: Exercise, rng: Random) -> Ask:
    kv_heads, times = rng.integers(2, 5), rng.integers(2, 4)
    numbered = torch.arange(kv_heads).float().view(1, -1, 1, 1)
    right = ex.repeat_heads(numbered, times).flatten()
    edit = ("return x.repeat_interleave(times, dim=1)", "return x.repeat(1, times, 1, 1)")
    with changed(ex, edit) as broken:
        wrong = broken.repeat_heads(numbered, times).flatten()
    return Ask(
        f"{kv_heads * times} query heads share {kv_heads} heads of keys. Somebody repeats them as a whole (0, 1, ..., "
        "0, 1, ...). How many query heads still read the right one?",
        int((right == wrong).sum()),
        f"Right is {right.int().tolist()}, they have {wrong.int().tolist()}.",
    )
