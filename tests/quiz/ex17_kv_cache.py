"""Questions on exercise 17: what is kept, what is computed, what it costs."""

from __future__ import annotations

import torch

from grader.learning.quiz import Ask, Exercise, Random, changed, question


def small(ex: Exercise, rng: Random, context_length: int = 32, n_layers: int = 2, n_heads: int = 2, d_model: int = 8):
    """A GPT with random weights, in evaluation mode."""
    gpt = ex.of("ex13_gpt")
    torch.manual_seed(rng.integers(0, 2**31))
    config = gpt.GPTConfig(7, context_length, d_model=d_model, n_heads=n_heads, n_layers=n_layers)
    return gpt.GPT(config).eval()


def rows_through(model, call) -> int:
    """How many tokens pass the first query projection during a call."""
    seen: list[int] = []
    hook = model.blocks[0].attention.q_proj.register_forward_hook(
        lambda module, given, out: seen.append(given[0].size(1))
    )
    call()
    hook.remove()
    return sum(seen)


@question("the shape of what a layer holds")
def kept_shape(ex: Exercise, rng: Random) -> Ask:
    batch, heads, tokens = rng.sizes(3, low=2, high=6)
    width = rng.pick([4, 8, 16])
    cache = ex.KVCache()
    for length in (tokens, 1):
        keys, _ = cache.append(0, *(rng.tensor(batch, heads, length, width) for _ in range(2)))
    return Ask(
        f"{batch} texts, {heads} heads of width {width}. A prompt of {tokens} tokens has gone through, and one token "
        "more. What is the shape of the keys that a layer holds?",
        tuple(keys.shape),
        "A key for each text, each head and each token so far.",
    )


@question("tokens that pass a layer, without a cache")
def rows_without(ex: Exercise, rng: Random) -> Ask:
    prompt, new = rng.integers(3, 7), rng.integers(3, 6)
    model, ids = small(ex, rng), rng.ids(7, 1, prompt)
    return Ask(
        f"`generate` of exercise 15 writes {new} tokens after a prompt of {prompt}, and the context is long enough. "
        "How many tokens pass a linear layer of the model in all?",
        rows_through(model, lambda: ex.of("ex15_sampling").generate(model, ids, new)),
        f"{prompt} in the first step and one more in each that follows: "
        f"{' + '.join(str(prompt + i) for i in range(new))}.",
    )


@question("tokens that pass a layer, with a cache")
def rows_with(ex: Exercise, rng: Random) -> Ask:
    prompt, new = rng.integers(3, 20), rng.integers(4, 12)
    model, ids = small(ex, rng), rng.ids(7, 1, prompt)
    return Ask(
        f"`generate_cached` writes {new} tokens after a prompt of {prompt}. The last one is not sent through the model "
        "again. How many tokens pass a linear layer in all?",
        rows_through(model, lambda: ex.generate_cached(model, ids, new)),
        f"The prompt once, and each new token but the last: {prompt} + {new - 1}.",
    )


@question("the numbers in a cache")
def numbers_held(ex: Exercise, rng: Random) -> Ask:
    layers, heads, tokens = rng.integers(2, 5), rng.pick([2, 4]), rng.integers(5, 30)
    width = heads * rng.pick([2, 4, 8])
    model, cache = small(ex, rng, n_layers=layers, n_heads=heads, d_model=width), ex.KVCache()
    with torch.no_grad():
        ex.forward_with_cache(model, rng.ids(7, 1, tokens), cache)
        one = rng.tensor(1, heads, 1, width // heads)
        held = sum(sum(kept[:, :, :-1].numel() for kept in cache.append(i, one, one)) for i in range(layers))
    return Ask(
        f"{layers} layers, D = {width}, {heads} heads. A text of {tokens} tokens has gone through. How many numbers "
        "does the cache hold?",
        held,
        f"Two rows of D numbers for each token in each layer: 2 * {layers} * {tokens} * {width}. The number of heads "
        "does not matter: together they are D wide.",
    )


@question("the mask of a piece")
def visible(ex: Exercise, rng: Random) -> Ask:
    held, new = rng.integers(2, 9), rng.integers(2, 5)
    mask = ex.of("ex06_masks").causal_mask(held + new)[held:]
    return Ask(
        f"The cache holds {held} tokens, and {new} come at once. How many pairs of a query and a key that it may see "
        "are there in a layer?",
        int(mask.sum()),
        f"The first of them sees {held + 1} keys, each later one sees one more: "
        f"{' + '.join(str(held + 1 + i) for i in range(new))}.",
    )


@question("positions that begin anew")
def positions(ex: Exercise, rng: Random) -> Ask:
    prompt = rng.integers(3, 8)
    ids = rng.ids(7, 1, prompt + 1)
    edit = ("position_embedding.weight[start:stop]", "position_embedding.weight[: stop - start]")
    with changed(ex, edit) as broken, torch.no_grad():
        cache = broken.KVCache()
        model = small(broken, rng)
        whole = model(ids)[0]
        pieces = [broken.forward_with_cache(model, piece, cache) for piece in ids.split([prompt, 1], dim=1)]
        right = torch.isclose(torch.cat(pieces, 1), whole, atol=1e-5).all(-1)[0]
    return Ask(
        f"Somebody lets the positions begin at 0 in each call. A prompt of {prompt} tokens is read at once, then one "
        "token more. At how many of the positions are the logits still right?",
        int(right.sum()),
        "The prompt begins at 0 anyway. The token after it is read as if it were the first of a text.",
    )
