"""What grouped-query attention must do: the checks of exercise 20.

Weights may be computed in float32, whatever comes in: tolerances leave room for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from grader.checks import Exercise, Random, check, close, filled, gradients, on_meta, raised

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def small(ex: Exercise, rng: Random, heads: int = 6, kv_heads: int = 2, dtype: torch.dtype = torch.float64, **options):
    """A layer of width 24 with given weights, large enough that scores differ."""
    layer = ex.GroupedQueryAttention(24, heads, kv_heads, **options)
    return filled(layer, rng, dtype=dtype, scale=0.5)


def cache(ex: Exercise):
    return ex.of("ex17_kv_cache").KVCache()


def noting(ex: Exercise, noted: list[dict[str, Any]]):
    """A cache that notes what it is given."""

    class Noting(ex.of("ex17_kv_cache").KVCache):
        def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            noted.append({"layer": layer, "keys": keys, "values": values})
            both: tuple[Tensor, Tensor] = super().append(layer, keys, values)
            return both

    return Noting()


@check("each head stands as often in a row as query heads read it", points=1, axes={"": "batch head position column"})
def test_repeat_heads(ex: Exercise, rng: Random):
    batch, length, width = rng.sizes(3)
    return ex.repeat_heads(rng.tensor(batch, 3, length, width), 2)


@test_repeat_heads.explain
def _(got, want):
    tiled = want[:, [0, 2, 4, 0, 2, 4]]
    if got.shape == want.shape and close(got, tiled):
        yield (
            "your heads come in the order 0, 1, 2, 0, 1, 2. Query heads 0 and 1 are to read head 0, so it stands twice "
            "in a row."
        )


@check("keys and values have fewer heads: the projections have these shapes, and no bias", points=1)
def test_parameters(ex: Exercise, rng: Random):
    found = {}
    for heads, kv_heads in ((6, 2), (6, 6), (4, 1)):
        layer = ex.GroupedQueryAttention(24, heads, kv_heads)
        for name in PROJECTIONS:
            part = getattr(layer, name)
            found[f"{name}, {kv_heads} of {heads}"] = {"weight": part.weight, "bias": part.bias is not None}
    shapes = {name: {**one, "weight": list(one["weight"].shape)} for name, one in found.items()}
    with_bias = ex.GroupedQueryAttention(24, 6, 2, bias=True)
    biases = {name: getattr(with_bias, name).bias for name in PROJECTIONS}
    return shapes | {"biases": {name: None if bias is None else list(bias.shape) for name, bias in biases.items()}}


@check(
    "given weights and inputs give these outputs",
    points=2,
    axes={"out": "batch position width"},
    after=test_repeat_heads,
)
def test_values(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 3, 7)
    return {"out": small(ex, rng)(rng.tensor(batch, length, 24, dtype=torch.float64))}


@check(
    "with a cache, token by token, the output is that of all tokens at once",
    points=2,
    axes={"out": "batch position width"},
    after=test_values,
)
def test_one_by_one(ex: Exercise, rng: Random):
    layer, one, x = small(ex, rng), cache(ex), rng.tensor(2, 6, 24, dtype=torch.float64)
    return {"out": torch.cat([layer(piece, one) for piece in x.split([3, 1, 1, 1], dim=1)], dim=1), "held": one.held(0)}


@test_one_by_one.explain
def _(got, want):
    wrong = ~np.isclose(got["out"], want["out"], atol=1e-8).all((0, 2))
    if not wrong[:3].any() and wrong.any():
        yield (
            f"the first three tokens, given at once, are right, and position {int(wrong.argmax())}, given alone with "
            "the cache, is not. By which position is its query turned, and by which its key?"
        )


@check("a cache takes two numbers for each layer, head, column, token and text", points=1)
def test_cache_bytes(ex: Exercise, rng: Random):
    one = ex.cache_bytes(32, 8, 128, 8192)
    return {
        "one text": one,
        "type": "int" if isinstance(one, int) else type(one).__name__,
        "three texts": ex.cache_bytes(32, 8, 128, 1000, 3),
        "float32": ex.cache_bytes(30, 3, 64, 2048, batch_size=2, bytes_per_number=4),
    }


@test_cache_bytes.explain
def _(got, want):
    if got["one text"] * 2 == want["one text"]:
        yield "the bytes are half as many as they should be. Two things are kept of each token: which?"


### BEGIN HIDDEN TESTS
@check("one head for all, one for each, and heads of other numbers work as well", points=2, after=test_values)
def test_other_heads(ex: Exercise, rng: Random):
    x = rng.tensor(2, 5, 24, dtype=torch.float64)
    return {f"{kv} of {heads}": small(ex, rng, heads, kv)(x) for heads, kv in ((4, 1), (3, 3), (12, 4), (4, 2), (1, 1))}


@check("heads are repeated any number of times, one included, whatever lies in memory", points=1)
def test_repeat_heads_again(ex: Exercise, rng: Random):
    x = rng.tensor(2, 5, 4, 6, dtype=torch.float64)
    return {
        "once": ex.repeat_heads(x, 1),
        "four times": ex.repeat_heads(x, 4),
        "one head": ex.repeat_heads(x[:, :1], 3),
        "a view": ex.repeat_heads(x.transpose(1, 2), 3),
        "bfloat16": ex.repeat_heads(x[:, :2].bfloat16(), 2),
    }


@check("no position sees what comes after it", points=1, after=test_values)
def test_causality(ex: Exercise, rng: Random):
    layer, x = small(ex, rng), rng.tensor(2, 7, 24, dtype=torch.float64)
    other = torch.cat([x[:, :4], rng.tensor(2, 3, 24, dtype=torch.float64)], dim=1)
    return {"before": layer(x), "after": layer(other)}


@test_causality.explain
def _(got, want):
    moved = np.abs(got["before"] - got["after"]).max((0, 2))[:4]
    if moved.max() > 1e-9:
        yield f"the output at position {int(moved.argmax())} changes when only positions from 4 on are replaced."


@check("the base of the rotation is the one that was given", points=1, after=test_values)
def test_base(ex: Exercise, rng: Random):
    x = rng.tensor(1, 6, 24, dtype=torch.float64)
    one, layer = cache(ex), small(ex, rng, base=30.0)
    return {"alone": layer(x), "with a cache": torch.cat([layer(piece, one) for piece in x.split(2, dim=1)], dim=1)}


@check("pieces of any length go through a cache, later ones too", points=2, after=test_one_by_one)
def test_pieces(ex: Exercise, rng: Random):
    found = {}
    for kv_heads in (1, 2, 6):
        layer, one, x = small(ex, rng, 6, kv_heads), cache(ex), rng.tensor(2, 9, 24, dtype=torch.float64)
        found[f"{kv_heads} heads"] = [layer(piece, one) for piece in x.split([1, 4, 1, 3], dim=1)]
    return found


@check("what is kept are the few heads: keys rotated, values as they are", points=2, after=test_one_by_one)
def test_what_is_kept(ex: Exercise, rng: Random):
    noted: list[dict[str, Any]] = []
    layer, one = small(ex, rng), noting(ex, noted)
    for piece in rng.tensor(1, 7, 24, dtype=torch.float64).split([5, 2], dim=1):
        layer(piece, one)
    given = {name: torch.cat([each[name] for each in noted], dim=2) for name in ("keys", "values") if noted}
    layers = sorted({each["layer"] for each in noted})  # in how many pieces the tokens come is not asked for
    return {"what the cache is given": {"layers": layers, **given}, "held": one.held(0)}


@check("each layer goes on from its own tokens in a cache that several share", points=1, after=test_one_by_one)
def test_layers(ex: Exercise, rng: Random):
    one, found = cache(ex), {}
    first, second = small(ex, rng), small(ex, rng, base=50.0)
    for place, length in enumerate((3, 1, 2)):
        x = rng.tensor(2, length, 24, dtype=torch.float64)
        found[f"layer 0, step {place}"] = first(x, one, 0)
        if place != 1:
            found[f"layer 4, step {place}"] = second(x, cache=one, layer=4)
    return found | {"held": [one.held(i) for i in (0, 1, 4)]}


@check("heads that don't divide are refused, and the message says which", points=1)
def test_errors(ex: Exercise, rng: Random):
    return [
        raised(lambda: ex.GroupedQueryAttention(26, 4, 2), mentions=[26, 4]),
        raised(lambda: ex.GroupedQueryAttention(24, 6, 4), mentions=[6, 4]),
        raised(lambda: ex.GroupedQueryAttention(24, 2, 6), mentions=[2, 6]),
        raised(lambda: ex.GroupedQueryAttention(24, 6, 3)),
    ]


@check("gradients reach the input and all parameters", points=2, tolerance=1e-4, after=test_values)
def test_gradients(ex: Exercise, rng: Random):
    layer, x = small(ex, rng, bias=True), rng.tensor(2, 5, 24, dtype=torch.float64, grad=True)
    parts = {
        f"{name}.{kind}": getattr(getattr(layer, name), kind) for name in PROJECTIONS for kind in ("weight", "bias")
    }
    return gradients(layer(x), {"x": x} | parts, rng)


@check("biases are added where there are some", points=1, after=test_values)
def test_bias(ex: Exercise, rng: Random):
    layer, one, x = small(ex, rng, bias=True), cache(ex), rng.tensor(2, 5, 24, dtype=torch.float64)
    return {"alone": layer(x), "with a cache": [layer(piece, one) for piece in x.split([3, 2], dim=1)]}


@check("scores of any size do no harm", points=1, after=test_values)
def test_huge_scores(ex: Exercise, rng: Random):
    layer, one, x = small(ex, rng), cache(ex), rng.tensor(2, 6, 24, dtype=torch.float64)
    with torch.no_grad():
        layer.q_proj.weight.mul_(1e6)
        layer.k_proj.weight.mul_(1e6)
    return {"alone": layer(x), "with a cache": [layer(piece, one) for piece in x.split([4, 2], dim=1)]}


@check("the output keeps the dtype of the input, and is right after thousands of tokens", compare="structure")
def test_dtypes(ex: Exercise, rng: Random):
    x, found = rng.tensor(2, 6, 24, dtype=torch.float64), {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        layer, one = small(ex, rng, dtype=dtype), cache(ex)
        pieces = [layer(piece.to(dtype), one) for piece in x.split([4, 2], dim=1)]
        found[str(dtype).removeprefix("torch.")] = {"at once": layer(x.to(dtype)), "pieces": torch.cat(pieces, dim=1)}
    layer, one, earlier = small(ex, rng), cache(ex), torch.zeros(2, 2, 5000, 4, dtype=torch.float64)
    one.append(0, earlier, earlier)
    return found | {"after 5000 tokens": layer(x, one)}


@test_dtypes.explain
def _(got, want):
    exact = want["float64"]["at once"]
    size = np.sqrt(np.mean(exact**2))
    for dtype, allowed in (("float64", 1e-5), ("float32", 1e-4), ("bfloat16", 0.2)):
        for how in ("at once", "pieces"):
            off = np.sqrt(np.mean((got[dtype][how] - exact) ** 2)) / size
            if off > allowed:
                yield f"in {dtype}, {how}, the output is off by {off:.2g} of its size: more than rounding explains."
    if not close(got["after 5000 tokens"], want["after 5000 tokens"], 1e-2 * abs(want["after 5000 tokens"]).max()):
        yield "after 5000 tokens in the cache, the output is not what it should be."


@check("everything is on the device of the input", points=1, compare="structure")
def test_device(ex: Exercise, rng: Random):
    one_call, several = small(ex, rng), small(ex, rng)
    x, heads = rng.tensor(2, 5, 24, dtype=torch.float64), rng.tensor(2, 3, 4, 6)

    def pieces(device: str) -> list[Tensor]:
        one = cache(ex)
        return [several.to(device)(piece.to(device), one) for piece in x.split([3, 2], dim=1)]

    return {
        "heads": on_meta(lambda device: ex.repeat_heads(heads.to(device), 2)),
        "layer": on_meta(lambda device: one_call.to(device)(x.to(device))),
        "pieces": on_meta(pieces),
    }


@test_device.explain
def _(got, want):
    for what, where in (("heads", "repeat_heads"), ("layer", "the layer"), ("pieces", "the layer with a cache")):
        if got[what]["strays"]:
            yield f"in {where} a tensor is not on the device of the input. Is one made without `device=`?"


@check("no argument is changed, and a second call gives the same", points=1, after=test_values)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    layer, x, one = small(ex, rng), rng.tensor(2, 5, 24, dtype=torch.float64), cache(ex)
    heads = rng.tensor(2, 3, 4, 6)
    repeated = ex.repeat_heads(heads, 2)
    calls = [layer(x), layer(x), layer(x, one)]
    return {"x": x, "heads": heads, "repeated": repeated, "calls": calls}


### END HIDDEN TESTS
