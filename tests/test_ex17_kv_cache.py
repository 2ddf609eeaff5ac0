"""What a KV cache must do: the checks of exercise 17. What counts as right is what the model says without a cache."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from grader.checks import Exercise, Random, check, close, filled, on_meta, parameters, raised

SMALL = {"vocab_size": 11, "context_length": 16, "d_model": 12, "n_heads": 3, "n_layers": 2}


def small_gpt(ex: Exercise, rng: Random, dtype: torch.dtype = torch.float64, **options):
    """A small GPT with given weights, in evaluation mode."""
    gpt = ex.of("ex13_gpt")
    return filled(gpt.GPT(gpt.GPTConfig(**(SMALL | options))), rng, dtype=dtype).eval()


def further(rng: Random, batch: int, length: int, width: int = 4, value_width: int = 4, heads: int = 3, **options):
    """Keys (B, H, T, d) and values (B, H, T, d_v) of some tokens."""
    return rng.tensor(batch, heads, length, width, **options), rng.tensor(batch, heads, length, value_width, **options)


def dropping_gpt(ex: Exercise, rng: Random):
    """The same with dropout at every place where a GPT of exercise 13 may have it."""
    model = small_gpt(ex, rng, dropout=0.5)
    for block in model.blocks:
        block.feed_forward = ex.of("ex09_feed_forward").FeedForward(12, None, "gelu_tanh", dropout=0.5)
    return filled(model, rng, dtype=torch.float64).eval()


class Rows(TorchDispatchMode):
    """Counts how many rows are multiplied by each of a model's matrices, and all multiplications in matrix products."""

    def __init__(self, model) -> None:
        super().__init__()
        matrices = {name: p for name, p in parameters(model).items() if p.ndim == 2 and "embedding" not in name}
        matrices["lm_head.weight"] = model.lm_head.weight
        self.named = {p.untyped_storage().data_ptr(): (name, p.size(1)) for name, p in matrices.items()}
        self.rows = dict.fromkeys(matrices, 0)
        self.multiplications = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        with self:
            parts = func.decompose(*args, **(kwargs or {}))
        if parts is not NotImplemented:
            return parts
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm, torch.ops.aten.baddbmm):
            left, right = args[-2:]
            self.multiplications += left.numel() * right.size(-1)
            for one, other in ((left, right), (right, left)):
                name, width = self.named.get(other.untyped_storage().data_ptr(), ("", 1))
                if name:
                    self.rows[name] += one.numel() // width
        return func(*args, **(kwargs or {}))

    def found(self) -> dict[str, Any]:
        """What was counted."""
        return {"rows": self.rows, "multiplications": self.multiplications}


@check("a cache gives back all keys and values of a layer, the new ones last, and says how many it holds", points=1)
def test_append(ex: Exercise, rng: Random):
    cache, found = ex.KVCache(), []
    for length in (3, 1, 2):
        keys, values = cache.append(0, *further(rng, 2, length))
        found.append({"keys": keys, "values": values, "held": cache.held(0)})
    return {"at first": ex.KVCache().held(0), "appended": found}


@test_append.explain
def _(got, want):
    for step, (mine, right) in enumerate(zip(got["appended"], want["appended"], strict=True)):
        for name in ("keys", "values"):
            if step == 1 and close(mine[name], np.roll(right[name], 1, axis=2)):  # three are held, one is new
                yield f"the new {name} come first. In which order do the tokens of a text stand?"


@check("each layer has keys and values of its own", points=1)
def test_layers_apart(ex: Exercise, rng: Random):
    cache, found = ex.KVCache(), {}
    for layer, length in ((0, 3), (1, 2), (0, 1), (1, 4), (5, 1)):
        found[f"layer {layer}, {length} more"] = cache.append(layer, *further(rng, 2, length))
    return found | {"held": [cache.held(layer) for layer in (0, 1, 2, 5)]}


@check(
    "with an empty cache the logits are those of the model",
    points=1,
    axes={"logits": "batch position vocabulary"},
)
def test_first_pass(ex: Exercise, rng: Random):
    model, cache = small_gpt(ex, rng), ex.KVCache()
    return {"logits": ex.forward_with_cache(model, rng.ids(11, 2, 6), cache)}


def one_by_one(ex: Exercise, rng: Random, pieces: tuple[int, ...], batch: int = 2, **options) -> dict[str, Any]:
    """The logits of a text that is read in pieces, one beside the other, and what is held after each."""
    model, cache = small_gpt(ex, rng, **options), ex.KVCache()
    logits, held = [], []
    for piece in rng.ids(11, batch, sum(pieces)).split(list(pieces), dim=1):
        logits.append(ex.forward_with_cache(model, piece, cache))
        held.append([cache.held(layer) for layer in range(model.config.n_layers)])
    return {"logits": torch.cat(logits, dim=1), "held": held}


@check(
    "token by token the logits are those that the model gives for the whole text",
    points=2,
    axes={"logits": "batch position vocabulary"},
    after=test_first_pass,
)
def test_one_by_one(ex: Exercise, rng: Random):
    return one_by_one(ex, rng, (3, 1, 1, 1))


@test_one_by_one.explain
def _(got, want):
    wrong = ~np.isclose(got["logits"], want["logits"], atol=1e-8).all((0, 2))
    if close(got["logits"][:, :3], want["logits"][:, :3], 1e-8) and wrong[3:].any():
        yield (
            f"the first three tokens, read at once, are right, and position {int(wrong.argmax())}, read with a cache, "
            "is not. At which position does a new token stand, and which keys does it see?"
        )


@check("at temperature 0 the text is the one that generate of exercise 15 writes", points=1, axes={"": "text position"})
def test_greedy(ex: Exercise, rng: Random):
    return ex.generate_cached(small_gpt(ex, rng), rng.ids(11, 3, 4), 9, temperature=0.0)


### BEGIN HIDDEN TESTS
@check(
    "a text may come in pieces of any length: the first, later ones and all at once",
    points=2,
    axes={"logits": "batch position vocabulary", "deep": "batch position vocabulary"},
    after=test_one_by_one,
)
def test_pieces(ex: Exercise, rng: Random):
    return one_by_one(ex, rng, (2, 5, 1, 4), n_layers=1) | {
        "deep": one_by_one(ex, rng, (1, 3, 2), n_layers=4)["logits"]
    }


@test_pieces.explain
def _(got, want):
    first = np.isclose(got["logits"], want["logits"], atol=1e-8).all((0, 2))
    if first[:2].all() and first[6] and not first[2:6].all():
        yield (
            "of five tokens that come at once after two others, the last one is right and an earlier one is not: does "
            "it see the tokens that come after it?"
        )


@check("the full context can be used, and a batch of one, token by token from the first on", points=1)
def test_whole_context(ex: Exercise, rng: Random):
    return one_by_one(ex, rng, (1,) * 16, batch=1, n_heads=2) | {"at once": one_by_one(ex, rng, (16,), batch=1)}


@check("what block i makes of the new tokens is kept in layer i", points=1, after=test_first_pass)
def test_layer_of_a_block(ex: Exercise, rng: Random):
    used: list[int] = []

    class Listening(ex.KVCache):
        def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            used.append(layer)
            return super().append(layer, keys, values)

    ex.forward_with_cache(small_gpt(ex, rng, n_layers=3), rng.ids(11, 2, 1), Listening())
    return {"layers, block by block": used or [0, 1, 2]}  # a cache that is filled in another way tells nothing


NEW, WRITTEN = 2 * 3, 2 * (5 + 8)  # how many rows a linear layer works on at most, in the two checks below


def too_many(mine: int, right: int):
    """A sentence on multiplications in all matrix products: about as many as the reference takes are needed."""
    if mine > 1.5 * right:
        yield (
            f"the matrix products take {mine} multiplications where {right} do. Is something computed for the old "
            "tokens again?"
        )
    elif mine < 0.6 * right:
        yield f"the matrix products take {mine} multiplications, and {right} are needed."


@check("every linear layer works on the new tokens alone", points=2, compare="structure", after=test_one_by_one)
def test_work(ex: Exercise, rng: Random):
    model, cache = small_gpt(ex, rng), ex.KVCache()
    ids = rng.ids(11, 2, 14)
    with torch.no_grad():
        ex.forward_with_cache(model, ids[:, :11], cache)
        with Rows(model) as counted:
            logits = ex.forward_with_cache(model, ids[:, 11:], cache)
    return {"logits": logits, **counted.found()}


@test_work.explain
def _(got, want):
    if not close(got["logits"], want["logits"]):
        yield "the logits are not those that the model gives."
    for name in want["rows"]:
        if got["rows"][name] > NEW:
            yield (
                f"`{name}` is multiplied by {got['rows'][name]} rows where {NEW} tokens are new (3 for each "
                "of 2 texts). What it makes of the old ones is the same as before."
            )
    yield from too_many(got["multiplications"], want["multiplications"])


@check("when it writes, each token goes through the model once", points=2, compare="structure", after=test_greedy)
def test_work_of_writing(ex: Exercise, rng: Random):
    model = small_gpt(ex, rng)
    with Rows(model) as counted:
        text = ex.generate_cached(model, rng.ids(11, 2, 5), 8, temperature=0.0)
    return {"text": text, **counted.found()}


@test_work_of_writing.explain
def _(got, want):
    if (got["text"] != want["text"]).any():
        yield "the text is not the one that generate of exercise 15 writes."
    for name in want["rows"]:
        if got["rows"][name] > WRITTEN:
            yield (
                f"`{name}` is multiplied by {got['rows'][name]} rows for 2 texts of 13 tokens, which are "
                f"{WRITTEN}. Which tokens does the model get in the second step?"
            )
    yield from too_many(got["multiplications"], want["multiplications"])


@check("what was returned or given does not change when more is appended", points=1, after=test_append)
def test_nothing_changes(ex: Exercise, rng: Random):
    cache = ex.KVCache()
    given = [further(rng, 2, length) for length in (2, 1, 3)]
    returned = [cache.append(0, *tensors) for tensors in given]
    ids, model = rng.ids(11, 2, 3), small_gpt(ex, rng)
    ex.forward_with_cache(model, ids, ex.KVCache())
    ex.generate_cached(model, ids, 4, temperature=0.0)
    return {"given": given, "returned": returned, "ids": ids}


@check("two caches know nothing of each other", points=1, after=test_append)
def test_two_caches(ex: Exercise, rng: Random):
    one, other = ex.KVCache(), ex.KVCache()
    one.append(0, *further(rng, 1, 3))
    model = small_gpt(ex, rng)
    texts = [ex.generate_cached(model, rng.ids(11, 2, 3), 5, temperature=0.0) for _ in range(2)]
    return {"held": [one.held(0), other.held(0)], "other": other.append(0, *further(rng, 1, 2)), "texts": texts}


@check("keys and values may differ in width, be tens of thousands, and keep their dtype", points=1, after=test_append)
def test_widths_and_dtypes(ex: Exercise, rng: Random):
    found = {}
    for dtype in (torch.float64, torch.bfloat16):
        cache = ex.KVCache()
        for length in (2, 1):
            found[f"{dtype}, {length}"] = cache.append(3, *further(rng, 1, length, width=5, value_width=2, dtype=dtype))
    long = ex.KVCache()
    for length in (40_000, 1):
        keys, values = long.append(0, *further(rng, 1, length, 1, 1, heads=1))
        ends = {"keys": keys[:, :, [0, 1, -2, -1]], "values": values[:, :, [0, 1, -2, -1]]}
        found[f"{length} more"] = {"tokens": [keys.size(2), values.size(2), long.held(0)], **ends}
    return found


@check("logits in float32 and bfloat16 weights come in their dtype, as near as rounding allows", points=1)
def test_dtypes(ex: Exercise, rng: Random):
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        model, cache, ids = small_gpt(ex, rng, dtype=dtype), ex.KVCache(), rng.ids(11, 2, 5)
        for piece in ids.split([3, 2], dim=1):
            found[f"{dtype}, {piece.size(1)}"] = ex.forward_with_cache(model, piece, cache)
    return found


@check("dropout never acts, and the model keeps its mode", points=1, after=test_one_by_one)
def test_dropout_and_mode(ex: Exercise, rng: Random):
    found = {}
    for training in (True, False):
        model, cache, ids = dropping_gpt(ex, rng).train(training), ex.KVCache(), rng.ids(11, 2, 6)
        logits, after = [], []
        for piece in ids.split([4, 2], dim=1):  # a mode that is turned over would be back after two calls
            logits.append(ex.forward_with_cache(model, piece, cache))
            after += [model.training, model.blocks[0].training]
        text = ex.generate_cached(model.train(training), ids, 3, temperature=0.0)
        found["training" if training else "evaluating"] = {
            "logits": logits,
            "after forward": after,
            "text": text,
            "after writing": [model.training, model.blocks[0].training],
        }
    return found | {"grad enabled": torch.is_grad_enabled()}


@test_dropout_and_mode.explain
def _(got, want):
    for name in ("training", "evaluating"):
        for when in ("forward", "writing"):
            if got[name][f"after {when}"] != want[name][f"after {when}"]:
                yield f"a model that was {name} is no longer so after {when}: `model.training` tells what to put back."
    dropped = [
        not close(mine, right)
        for mine, right in zip(got["training"]["logits"], want["training"]["logits"], strict=True)
    ]
    if any(dropped) and all(map(close, got["evaluating"]["logits"], want["evaluating"]["logits"])):
        yield "the logits are right for a model in evaluation mode, and others for one in training mode: dropout acts."


@check("more tokens than `context_length` in all are refused, and the cache is as it was", points=1)
def test_too_long(ex: Exercise, rng: Random):
    model, cache, ids = small_gpt(ex, rng).train(), ex.KVCache(), rng.ids(11, 2, 20)
    ex.forward_with_cache(model, ids[:, :14], cache)
    refused = [
        raised(lambda: ex.forward_with_cache(model, ids[:, 14:17], cache), mentions=[17]),
        raised(lambda: ex.forward_with_cache(model, ids[:, 14:20], cache), mentions=[20]),
        raised(lambda: ex.forward_with_cache(model, ids, ex.KVCache()), mentions=[20]),
    ]
    held = [cache.held(layer) for layer in range(2)]
    modes = [model.training, model.blocks[0].training]
    return {
        "refused": refused,
        "modes": modes,
        "held": held,
        "next": ex.forward_with_cache(model, ids[:, 14:16], cache),
    }


@check("a prompt with too many new tokens is refused", points=1)
def test_too_long_to_write(ex: Exercise, rng: Random):
    model, ids = small_gpt(ex, rng), rng.ids(11, 2, 9)
    return [
        raised(lambda: ex.generate_cached(model, ids, 7)),
        raised(lambda: ex.generate_cached(model, ids, 8), mentions=[17]),
        raised(lambda: ex.generate_cached(model, rng.ids(11, 1, 17), 0), mentions=[17]),
        raised(lambda: ex.generate_cached(model, ids, 30, temperature=0.0), mentions=[39]),
    ]


@check("prompts come back whole, with as many tokens as were asked for, none included", points=1)
def test_prompts(ex: Exercise, rng: Random):
    model = small_gpt(ex, rng)
    prompts = [rng.ids(11, batch, length) for batch, length in ((1, 1), (2, 5), (3, 2))]
    texts = [ex.generate_cached(model, ids, new, temperature=0.0) for ids, new in zip(prompts, (15, 0, 1), strict=True)]
    return {"prompts": prompts, "texts": texts}


OPTIONS: dict[str, dict[str, Any]] = {
    "no option": {},
    "temperature=0.5": {"temperature": 0.5},
    "top_k=2": {"top_k": 2},
    "top_p=0.8": {"top_p": 0.8},
}


@check("tokens are drawn as often as their probabilities say, with every option", points=2, compare="structure")
def test_frequencies(ex: Exercise, rng: Random):
    model, start, generator = small_gpt(ex, rng), rng.ids(11, 1, 2).expand(900, 2), rng.generator()
    found = {}
    for name, options in OPTIONS.items():
        text = ex.generate_cached(model, start, 2, generator=generator, **options)
        with torch.no_grad():
            probs = ex.of("ex15_sampling").next_token_probs(model(start[:1])[0][:, -1], **options)[0]
        found[name] = {"probs": probs, "drawn": text[:, 2], "alike": bool((text == text[:1]).all())}
    return found


@test_frequencies.explain
def _(got, want):
    for name in want:
        probs, drawn = want[name]["probs"], got[name]["drawn"]
        counts = np.array([(drawn == token).sum() for token in range(len(probs))])
        off = ~(np.abs(counts - probs * drawn.size) <= 6 * np.sqrt(probs * (1 - probs) * drawn.size) + 1e-6)
        if not close(got[name]["probs"], probs, 1e-6):
            yield f"with {name}, the probabilities of the first new token are not those of the model."
        elif got[name]["alike"]:
            yield f"with {name}, {drawn.size} texts of one batch get the same tokens: how many are drawn in a step?"
        elif off.any():
            token = int(np.flatnonzero(off)[0])
            yield (
                f"with {name}, a token of probability {probs[token]:.3f} is the first new one of {counts[token]} texts "
                f"in {drawn.size}."
            )


@check("the generator decides, and it alone: the same state gives the same text", points=1, compare="structure")
def test_generator(ex: Exercise, rng: Random):
    model, ids = small_gpt(ex, rng, vocab_size=60, dtype=torch.float32), rng.ids(60, 3, 2)
    seed = rng.integers(0, 2**31)
    torch.manual_seed(1)
    first = ex.generate_cached(model, ids, 14, 3.0, generator=torch.Generator().manual_seed(seed))
    torch.manual_seed(2)
    generator = torch.Generator().manual_seed(seed)
    again = ex.generate_cached(model, ids, 14, 3.0, generator=generator)
    more = ex.generate_cached(model, ids, 14, 3.0, generator=generator)
    torch.manual_seed(3)
    without = [ex.generate_cached(model, ids, 14, 3.0), ex.generate_cached(model, ids, 14, 3.0)]
    torch.manual_seed(3)
    repeated = ex.generate_cached(model, ids, 14, 3.0)
    return {"prompts": ids, "first": first, "again": again, "more": more, "without": without, "repeated": repeated}


@test_generator.explain
def _(got, want):
    for text in (got["first"], got["again"], got["more"], *got["without"], got["repeated"]):
        if not ((text >= 0) & (text < 60)).all():
            yield "some tokens are outside 0..V-1."
        elif (text[:, :2] != want["prompts"]).any():
            yield "the prompts do not come back."
    if (got["first"] != got["again"]).any():
        yield "two generators with the same seed give different texts: does the draw use the generator it was given?"
    if (got["again"] == got["more"]).all():
        yield "one generator gives the same text twice in a row: is it seeded again somewhere inside?"
    if (got["without"][0] == got["without"][1]).all():
        yield "without a generator, two calls give the same text: is something seeded inside?"
    if (got["without"][0] != got["repeated"]).any():
        yield "without a generator, `torch.manual_seed` does not make the text repeat: where does it draw from?"


@check("it writes without building a graph", points=1, after=test_greedy)
def test_no_graph(ex: Exercise, rng: Random):
    seen: list[bool] = []
    model = small_gpt(ex, rng)
    head = model.lm_head.forward

    def listening(x: Tensor) -> Tensor:
        seen.append(torch.is_grad_enabled() and x.requires_grad)
        return head(x)

    model.lm_head.forward = listening
    text = ex.generate_cached(model, rng.ids(11, 2, 3), 5, temperature=0.0)
    return {"text": text, "graph": any(seen), "grad enabled": torch.is_grad_enabled()}


@test_no_graph.explain
def _(got, want):
    if got["graph"]:
        yield "what reaches the head carries a graph for gradients that nobody asked for: it grows with every token."


@check("cache and logits are on the device of what came in", points=1, compare="structure")
def test_device(ex: Exercise, rng: Random):
    keys, values = further(rng, 2, 3)
    ids, model = rng.ids(11, 2, 5), small_gpt(ex, rng)
    model.token_embedding.forward = lambda ids: model.token_embedding.weight[ids]  # looks at no id

    def cached(device: str) -> list[Tensor]:
        cache = ex.KVCache()
        return [
            *cache.append(0, keys.to(device), values.to(device)),
            *cache.append(0, keys.to(device), values.to(device)),
        ]

    def logits(device: str) -> list[Tensor]:
        cache = ex.KVCache()
        return [ex.forward_with_cache(model.to(device), piece.to(device), cache) for piece in ids.split([3, 2], dim=1)]

    return {"cache": on_meta(cached), "model": on_meta(logits)}


@test_device.explain
def _(got, want):
    for what, where in (("cache", "the keys and values"), ("model", "the ids")):
        if got[what]["strays"]:
            yield f"a tensor is not on the device of {where}. Is a tensor made without `device=`?"


@check("scores of any size do no harm", points=1, after=test_one_by_one)
def test_huge_scores(ex: Exercise, rng: Random):
    model, cache, ids = small_gpt(ex, rng), ex.KVCache(), rng.ids(11, 2, 6)
    with torch.no_grad():
        for block in model.blocks:
            block.attention.q_proj.weight.mul_(math.sqrt(1e5))
            block.attention.k_proj.weight.mul_(math.sqrt(1e5))
    return [ex.forward_with_cache(model, piece, cache) for piece in ids.split([4, 1, 1], dim=1)]


### END HIDDEN TESTS
