"""What flash attention must do: the checks of exercise 21."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from grader.checks import Exercise, Random, check, close, gradients, on_meta, raised


class Watched(TorchDispatchMode):
    """Notes the tensors that are made while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0  # entries of the largest piece of memory behind any of them
        self.made: list[weakref.ref[Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, list | tuple) else [result]:
            if isinstance(one, Tensor):
                self.largest = max(self.largest, one.untyped_storage().nbytes() // one.element_size())
                self.made.append(weakref.ref(one))
        return result


def watched(call: Callable[[], Any]) -> tuple[Any, Watched]:
    """What a call returns, and what it made on the way."""
    with Watched() as watch:
        result = call()
    return result, watch


def kept(call: Callable[[], Any]) -> tuple[Any, int]:
    """What a call returns, and the bytes of all tensors that are still there after it, however they are held."""
    there: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        there[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with Watched() as watch, torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = call()
    for reference in watch.made:
        tensor = reference()
        if tensor is not None:
            note(tensor)
    return result, sum(there.values())


def inputs(rng: Random, lead: tuple[int, ...], queries: int, keys: int, width: int, values: int, **options: Any) -> Any:
    """Queries, keys and values."""
    return (
        rng.tensor(*lead, queries, width, **options),
        rng.tensor(*lead, keys, width, **options),
        rng.tensor(*lead, keys, values, **options),
    )


@check("in one tile: the answers of exercise 5", points=2, axes={"": "batch query value"})
def test_one_tile(ex: Exercise, rng: Random):
    batch, queries, keys, width, value_width = rng.sizes(5)
    return ex.flash_attention(*inputs(rng, (batch,), queries, keys, width, value_width))


@check("in many tiles: the same answers for every size of the blocks", points=2, after=test_one_tile)
def test_block_sizes(ex: Exercise, rng: Random):
    batch, queries, keys, width, value_width = rng.sizes(5, 3, 9)
    q, k, v = inputs(rng, (batch,), queries, keys, width, value_width)
    return {
        f"block_size {size}": ex.flash_attention(q.clone(), k.clone(), v.clone(), block_size=size)
        for size in range(1, max(queries, keys) + 2)
    }


@check("causal: a query sees the keys up to its own place", points=2, after=test_block_sizes)
def test_causal(ex: Exercise, rng: Random):
    batch, length, width, value_width = rng.sizes(4, 4, 9)
    q, k, v = inputs(rng, (batch,), length, length, width, value_width)
    answers = {size: ex.flash_attention(q.clone(), k.clone(), v.clone(), True, size) for size in (length, 1, 2, 3)}
    return {"first value": v[..., 0, :], "answers": {f"block_size {size}": out for size, out in answers.items()}}


@test_causal.explain
def _(got, want):
    for size, out in got["answers"].items():
        if not close(out[..., 0, :], want["first value"]) and close(want["answers"][size], got["answers"][size], 1e9):
            yield f"with {size} the first query's answer is not the first value, which is all that it may see."
            return


@check("the gradients of q, k and v are those of exercise 5", points=2, after=test_block_sizes)
def test_gradients(ex: Exercise, rng: Random):
    batch, queries, keys, width, value_width = rng.sizes(5, 3, 7)
    q, k, v = inputs(rng, (batch,), queries, keys, width, value_width, dtype=torch.float64, grad=True)
    found = {}
    for size in (max(queries, keys), 2, 3):
        out = ex.flash_attention(q, k, v, block_size=size)
        found[f"block_size {size}"] = {"gradients": gradients(out, {"q": q, "k": k, "v": v}, rng)}
    return found


LENGTHS = ((128, 16), (56, 32))  # tokens, block_size: of few rows a tile is the largest tensor, of many the inputs are
FEW = 12  # tokens for the smallest blocks: there the inputs are larger than a tile, and what is counted are tensors
CASES = [(length, size, causal) for length, size in (*LENGTHS, (FEW, 1), (FEW, 2)) for causal in (False, True)]


def per_token(length: int, size: int) -> int:
    """How many entries a tensor may have for each leading index: those of a tile, or some numbers for each token."""
    return max(size**2, 8 * length)


def called(length: int, size: int, causal: bool) -> str:
    """What a case is called."""
    return f"{length} tokens, block_size {size}, causal={causal}"


def tensors(length: int, watch: Watched) -> dict[str, int]:
    """How many tensors were made of the smallest blocks, and else how many entries the largest one has."""
    return {"made": len(watch.made)} if length == FEW else {"largest": watch.largest}


def too_few(got: Any, when: str = ""):
    """A sentence on blocks of 1, which make far more tiles than blocks of 2, and take more tensors."""
    for causal in (False, True):
        ones, twos = (got[called(FEW, size, causal)]["made"] for size in (1, 2))
        if ones < 1.5 * twos:
            yield (
                f"{FEW} tokens, causal={causal}: {when}{ones} tensors are made with block_size 1, and {twos} with "
                "block_size 2, where far fewer tiles are due. Is block_size taken as it comes?"
            )
            return


@check(
    "forward: no tensor has a place for more pairs than a tile has", points=2, compare="structure", after=test_causal
)
def test_largest_tensor(ex: Exercise, rng: Random):
    found = {}
    for length, size, causal in CASES:
        q, k, v = inputs(rng, (2,), length, length, 1, 1)
        out, watch = watched(lambda q=q, k=k, v=v, c=causal, s=size: ex.flash_attention(q, k, v, c, s))
        found[called(length, size, causal)] = {"out": out, **tensors(length, watch)}
    return found


@test_largest_tensor.explain
def _(got, want):
    for (length, size, _), case in zip(CASES, want, strict=True):
        if not close(got[case]["out"], want[case]["out"]):
            yield f"{case}: the answers are not those of exercise 5."
            return
        entries = got[case].get("largest", 0) // 2
        if entries > per_token(length, size):
            yield (
                f"{case}: a tensor has {entries} entries for each leading index. A tile has {size**2}, all pairs are "
                f"{length**2}, a row of tiles {size * length}."
            )
            return
    yield from too_few(got)


### BEGIN HIDDEN TESTS
@check(
    "backward: no tensor has a place for more pairs than a tile has", points=2, compare="structure", after=test_causal
)
def test_largest_tensor_backward(ex: Exercise, rng: Random):
    found = {}
    for length, size, causal in CASES:
        q, k, v = inputs(rng, (2,), length, length, 1, 1, grad=True)
        out = ex.flash_attention(q, k, v, causal, size)
        grads, watch = watched(lambda q=q, k=k, v=v, out=out: gradients(out, {"q": q, "k": k, "v": v}, rng))
        found[called(length, size, causal)] = {"gradients": grads, **tensors(length, watch)}
    return found


@test_largest_tensor_backward.explain
def _(got, want):
    for (length, size, _), case in zip(CASES, want, strict=True):
        for name, gradient in want[case]["gradients"].items():
            if not close(got[case]["gradients"][name], gradient, 1e-3):
                yield f"{case}: the gradient of {name} is not that of exercise 5."
                return
        entries = got[case].get("largest", 0) // 2
        if entries > per_token(length, size):
            yield (
                f"{case}: on the way back a tensor has {entries} entries for each leading index. A tile has {size**2}, "
                f"all pairs are {length**2}, a row of tiles {size * length}."
            )
            return
    yield from too_few(got, "on the way back ")


KEPT = 256  # tokens


@check("what is kept for the backward pass grows as T", points=2, compare="structure", after=test_causal)
def test_kept(ex: Exercise, rng: Random):
    found = {}
    for causal in (False, True):
        q, k, v = inputs(rng, (1,), KEPT, KEPT, 1, 1, grad=True)
        out, held = kept(lambda q=q, k=k, v=v, c=causal: ex.flash_attention(q, k, v, c, 16))
        found[f"causal={causal}"] = {"held": held, "gradients": gradients(out, {"q": q, "k": k, "v": v}, rng)}
    return found


@test_kept.explain
def _(got, want):
    for case, found in got.items():
        for name, gradient in want[case]["gradients"].items():
            if not close(found["gradients"][name], gradient, 1e-3):
                yield f"{case}: the gradient of {name} is not that of exercise 5."
                return
        most = 8 * 4 * KEPT * 4  # eight times q, k, v and the output, in float32
        if found["held"] > most:
            yield (
                f"{case}: with {KEPT} tokens {found['held'] / (4 * KEPT * 4):.3g} times as many bytes are held after "
                "the forward pass as q, k, v and the output have together."
            )
            return


@check("a value may be wider or narrower than a key, and one query, one key will do", after=test_block_sizes)
def test_widths(ex: Exercise, rng: Random):
    queries, keys = rng.sizes(2, 4, 9)
    wide = ex.flash_attention(*inputs(rng, (2,), queries, keys, 3, 5), block_size=2)
    narrow = ex.flash_attention(*inputs(rng, (2,), queries, keys, 100, 1), block_size=3)
    alone = ex.flash_attention(*inputs(rng, (1,), 1, 1, 2, 3), True)
    return {"wide": wide, "narrow": narrow, "alone": alone}


@check("any number of leading axes, none included", after=test_causal)
def test_leading_axes(ex: Exercise, rng: Random):
    first, second, third, queries, keys, width = rng.sizes(6, 2, 8)
    return {
        "none": ex.flash_attention(*inputs(rng, (), queries, keys, width, width), block_size=2),
        "three": ex.flash_attention(*inputs(rng, (first, second, third), queries, keys, width, 2), block_size=3),
        "causal": ex.flash_attention(*inputs(rng, (first, second), keys, keys, width, 2), True, 2),
    }


@check("causal with more keys than queries: the last query sees them all", points=2, after=test_causal)
def test_more_keys(ex: Exercise, rng: Random):
    batch, width = rng.sizes(2)
    found = {}
    for queries, keys, size in ((3, 8, 2), (1, 7, 3), (5, 9, 4), (4, 6, 64)):
        q, k, v = inputs(rng, (batch,), queries, keys, width, width, dtype=torch.float64, grad=True)
        out = ex.flash_attention(q, k, v, causal=True, block_size=size)
        case = f"{queries} queries, {keys} keys, block_size {size}"
        found[case] = {"out": out, "gradients": gradients(out, {"q": q, "k": k, "v": v}, rng)}
    return found


@check(
    "causal with more queries than keys: those that see none get zeros, and no gradient is NaN",
    points=2,
    after=test_causal,
)
def test_blind_queries(ex: Exercise, rng: Random):
    batch, width = rng.sizes(2)
    found = {}
    for queries, keys, size in ((8, 3, 2), (7, 1, 3), (9, 5, 4), (6, 4, 64)):
        q, k, v = inputs(rng, (batch,), queries, keys, width, width, dtype=torch.float64, grad=True)
        out = ex.flash_attention(q, k, v, causal=True, block_size=size)
        case = f"{queries} queries, {keys} keys, block_size {size}"
        found[case] = {"out": out, "gradients": gradients(out, {"q": q, "k": k, "v": v}, rng)}
    return found


@test_blind_queries.explain
def _(got, want):
    for case, found in got.items():
        blind = ~want[case]["out"].any((0, 2))
        if np.isfinite(found["out"]).all() and found["out"][:, blind].any():
            yield f"{case}: a query that sees no key gets an answer that is not zero."
            return


@check("causal: the gradients are those of exercise 5, for every size of the blocks", points=2, after=test_gradients)
def test_causal_gradients(ex: Exercise, rng: Random):
    batch, length, width, value_width = rng.sizes(4, 4, 9)
    q, k, v = inputs(rng, (batch,), length, length, width, value_width, dtype=torch.float64, grad=True)
    found = {}
    for size in range(1, length + 2):
        out = ex.flash_attention(q, k, v, True, size)
        found[f"block_size {size}"] = {"gradients": gradients(out, {"q": q, "k": k, "v": v}, rng)}
    return found


@check("huge scores, rising or falling from block to block: finite, and right", points=2, after=test_causal)
def test_huge_scores(ex: Exercise, rng: Random):
    keys, width = rng.sizes(2, 4, 9)
    q, v = torch.ones(2, width, dtype=torch.float64), rng.tensor(keys, 3, dtype=torch.float64)
    steps = torch.arange(keys, dtype=torch.float64)[:, None].expand(keys, width)
    scores = {"rising": 1000 * steps, "falling": -1000 * steps, "low": steps - 1e4, "high": steps + 1e4}
    found = {}
    for name, k in scores.items():
        k, values = k.clone().requires_grad_(), v.clone().requires_grad_()
        out = ex.flash_attention(q.clone(), k, values, block_size=2)
        found[name] = {"out": out, "gradients": gradients(out, {"k": k, "v": values}, rng)}
    return found


@check("what stands where a query may not look makes no difference at all", after=test_causal)
def test_hidden_keys_do_not_leak(ex: Exercise, rng: Random):
    length, width = rng.sizes(2, 5, 9)
    q, k, v = inputs(rng, (2,), length, length, width, width)
    found = {}
    for size in (2, length):
        before = ex.flash_attention(q.clone(), k.clone(), v.clone(), True, size)
        louder = torch.cat([k[:, :-1], rng.tensor(2, 1, width, scale=1e3)], 1)
        other = torch.cat([v[:, :-1], rng.tensor(2, 1, width, scale=1e3)], 1)
        after = ex.flash_attention(q.clone(), louder, other, True, size)
        found[f"block_size {size}"] = {"before": before[:, :-1], "after": after[:, :-1]}
    return found


@test_hidden_keys_do_not_leak.explain
def _(got, want):
    for case, found in got.items():
        if not np.array_equal(found["before"], found["after"]):
            yield f"{case}: another last key and value change the answers of queries that do not see them."
            return


@check("views will do: heads as `split_heads` makes them, a gradient that is expanded", after=test_gradients)
def test_views(ex: Exercise, rng: Random):
    batch, length, heads, width = rng.sizes(4, 2, 7)
    q, k, v = (rng.tensor(batch, length, heads, width, grad=True) for _ in range(3))
    out = ex.flash_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), True, 2)
    grads = torch.autograd.grad(out.sum(), (q, k, v), allow_unused=True) if out.requires_grad else (None, None, None)
    return {"out": out, "gradients": dict(zip("qkv", grads, strict=True))}


@check("no argument is changed in place, forward or backward", after=test_gradients)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    length, width = rng.sizes(2, 3, 9)
    q, k, v = inputs(rng, (2,), length, length, width, width, grad=True)
    out = ex.flash_attention(q, k, v, True, 2)
    incoming = rng.tensor(*out.shape)
    if out.requires_grad:
        torch.autograd.grad(out, (q, k, v), incoming, allow_unused=True)
    return {"q": q.detach(), "k": k.detach(), "v": v.detach(), "the gradient of the output": incoming}


@test_arguments_unchanged.explain
def _(got, want):
    for name in want:
        if (got[name] != want[name]).any():
            yield f"the caller's tensor is changed: {name}. Which line writes into it?"


@check("bfloat16 in, bfloat16 out; float64 in, float64 out", compare="structure", after=test_gradients)
def test_dtypes(ex: Exercise, rng: Random):
    queries, keys, width = rng.sizes(3, 3, 9)
    q, k, v = inputs(rng, (2,), queries, keys, width, width, dtype=torch.bfloat16, grad=True)
    found = {}
    for name, dtype in (("rough", torch.bfloat16), ("exact", torch.float64)):
        mine = {"q": q, "k": k, "v": v}
        out = ex.flash_attention(*(x.to(dtype) for x in mine.values()), block_size=2)
        grads = torch.autograd.grad(out.sum(), (q, k, v), allow_unused=True) if out.requires_grad else (None,) * 3
        found[name] = {"out": out, "gradients": dict(zip(mine, grads, strict=True))}
    return found


@test_dtypes.explain
def _(got, want):
    if not close(got["exact"]["out"], want["exact"]["out"], 1e-6):
        yield "in float64 the answers are not exact to float64's digits: is something of lower precision on the way?"
    elif not close(got["rough"]["out"], want["exact"]["out"], 0.15):
        yield "in bfloat16 the answers are further away from those in float64 than rounding alone can move them."
    else:
        for name, gradient in want["exact"]["gradients"].items():
            room = 0.1 * (1 + abs(gradient).max())
            if any(abs(got[kind]["gradients"][name] - gradient).max() > room for kind in got):
                yield f"in bfloat16 the gradient of {name} is further away than rounding alone can move it."
                return


@check("the answers are on the device of the inputs", after=test_causal)
def test_device(ex: Exercise, rng: Random):
    length, width = rng.sizes(2, 3, 9)
    q, k, v = inputs(rng, (2,), length, length, width, width)
    return on_meta(lambda on: ex.flash_attention(q.to(on), k.to(on), v.to(on), True, 2))


@test_device.explain
def _(got, want):
    if got["strays"]:
        yield "a tensor of yours is not on the device of the inputs: which one is made without `device=`?"


@check("a block_size below 1 is a ValueError that says so")
def test_wrong_block_size(ex: Exercise, rng: Random):
    q, k, v = inputs(rng, (2,), 3, 3, 2, 2)
    return [raised(lambda size=size: ex.flash_attention(q, k, v, True, size), mentions=[size]) for size in (0, -37)]


### END HIDDEN TESTS
