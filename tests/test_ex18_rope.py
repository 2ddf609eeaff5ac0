"""What rotary positions must do: the checks of exercise 18.

Angles may be computed in float32 or in float64: tolerances and positions leave room for both.
"""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, filled, gradients, on_meta, raised

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def turned(x, positions, speeds, neighbours=False):
    """Pairs (i, i + d/2), or (2i, 2i + 1), turned by their speeds, in NumPy; to recognise what somebody did."""
    angles = np.asarray(positions, dtype=float)[:, None] * np.asarray(speeds)
    cos, sin, half = np.cos(angles), np.sin(angles), x.shape[-1] // 2
    a, b = (x[..., 0::2], x[..., 1::2]) if neighbours else (x[..., :half], x[..., half:])
    both = (a * cos - b * sin, a * sin + b * cos)
    return np.stack(both, -1).reshape(x.shape) if neighbours else np.concatenate(both, -1)


def speeds(width, base=10000.0):
    return base ** (-np.arange(0, width, 2) / width)


@check(
    "pair (i, i + d/2) of the vector at position t is turned by t * base ** (-2i / d)",
    points=2,
    axes={"out": "batch head position column"},
)
def test_rotate(ex: Exercise, rng: Random):
    batch, heads, length, half = rng.sizes(4, 3)
    x, positions = rng.tensor(batch, heads, length, 2 * half), torch.arange(length)
    return {"out": ex.rotate(x.clone(), positions), "x": x, "positions": positions}


@test_rotate.explain
def _(got, want):
    out, x, positions = got["out"], want["x"], want["positions"]
    width = x.shape[-1]
    right = speeds(width)
    if close(out, turned(x, positions, right, neighbours=True), 1e-4):
        yield "your pairs are neighbours, (0, 1), (2, 3), ...; here coordinate i is paired with coordinate i + d/2."
    elif close(out, turned(x, positions, -right), 1e-4):
        yield "your pairs turn clockwise: which of the four products has the minus?"
    elif close(out, turned(x, positions + 1, right), 1e-4):
        yield "the vector at position 0 is turned by the angle of position 1; there it should not turn at all."
    elif close(out, turned(x, positions, np.sqrt(right)), 1e-4):
        yield "your pair i turns by t * base ** (-i / d), so the pairs slow down too little: how many pairs are there?"
    elif close(out, turned(x, positions, np.ones(width // 2)), 1e-4):
        yield "all your pairs turn at the same speed."
    elif close(out, x, 1e-4):
        yield "nothing is turned."


@check("the angle follows the position that is given, not the place in the sequence", points=1, after=test_rotate)
def test_positions(ex: Exercise, rng: Random):
    length, half = rng.sizes(2, 3)
    x, gaps = rng.tensor(length, 2 * half), 3 + 4 * torch.arange(length)
    given = {"gaps": gaps, "backwards": gaps.flip(0), "all at 5": 0 * gaps + 5}
    return {"x": x} | {case: ex.rotate(x.clone(), positions) for case, positions in given.items()}


@test_positions.explain
def _(got, want):
    x = want["x"]
    if close(got["gaps"], turned(x, np.arange(len(x)), speeds(x.shape[-1])), 1e-4):
        yield "the vectors at positions 3, 7, 11, ... are turned as if they stood at 0, 1, 2, ..."


@check("in each head the even rows come first, then the odd ones", points=1, tolerance=0, axes={"out": "row column"})
def test_halves(ex: Exercise, rng: Random):
    heads, half, columns = rng.sizes(3, 3)
    weight = rng.tensor(heads * 2 * half, columns)
    return {"out": ex.halves_from_interleaved(weight.clone(), heads), "weight": weight, "heads": heads}


@test_halves.explain
def _(got, want):
    out, weight, heads = got["out"], want["weight"], want["heads"]
    rows, columns = weight.shape
    if (out == weight.reshape(heads, 2, -1, columns).swapaxes(1, 2).reshape(rows, columns)).all():
        yield "this is the way back: you take halves apart and put their rows next to each other."
    elif (out == np.concatenate([weight[0::2], weight[1::2]])).all():
        yield f"all {rows} rows are sorted at once; each of the {heads} heads has pairs of its own."


@check(
    "causal attention whose queries and keys are turned, head by head",
    points=2,
    axes={"": "batch position column"},
)
def test_attention(ex: Exercise, rng: Random):
    batch, heads, length, half = rng.sizes(4, 3)
    layer = filled(ex.RotaryAttention(heads * 2 * half, heads), rng)
    return layer(rng.tensor(batch, length, heads * 2 * half))


@check("a token that sees only itself gets its own value, unturned, wherever it stands", points=1)
def test_values_stay(ex: Exercise, rng: Random):
    batch, heads, half = rng.sizes(3)
    layer = filled(ex.RotaryAttention(heads * 2 * half, heads), rng)
    x = rng.tensor(batch, 1, heads * 2 * half)
    places = {str(place): torch.tensor([place]) for place in (0, 3, 9, 5003)}
    return {name: layer(x, place) for name, place in places.items()}


@test_values_stay.explain
def _(got, want):
    if close(got["0"], want["0"]) and not close(got["9"], got["0"], 1e-3):
        yield "at position 9 a token that sees only itself gets other values than at position 0: what do you turn?"


@check("all positions moved by the same number: the same result", points=1, tolerance=2e-4, after=test_attention)
def test_only_distances_count(ex: Exercise, rng: Random):
    heads, length, half = rng.sizes(3, 3)
    layer = filled(ex.RotaryAttention(heads * 2 * half, heads), rng)
    x, offset = rng.tensor(2, length, heads * 2 * half), rng.integers(20, 60)
    return {"from 0": layer(x), "moved": layer(x, torch.arange(length) + offset)}


@test_only_distances_count.explain
def _(got, want):
    gap = abs(got["moved"] - got["from 0"]).max()
    if gap > 1e-2:
        yield f"moved along together, the tokens give results that differ by {gap:.2g}: is a query turned as a key is?"


### BEGIN HIDDEN TESTS
@check("any number of axes in front, a single pair, a single position", points=1, after=test_rotate)
def test_rotate_shapes(ex: Exercise, rng: Random):
    length, half = rng.sizes(2)
    positions = torch.arange(length) + 2
    return {
        "no axis in front": ex.rotate(rng.tensor(length, 2 * half), positions),
        "three in front": ex.rotate(rng.tensor(2, 1, 3, length, 2 * half), positions),
        "a single pair": ex.rotate(rng.tensor(2, length, 2), positions),
        "a single position": ex.rotate(rng.tensor(2, 1, 2 * half), torch.tensor([7])),
        "twelve wide": ex.rotate(rng.tensor(length, 12), positions),
    }


@check("another base gives other speeds", points=1, after=test_rotate)
def test_rotate_base(ex: Exercise, rng: Random):
    length, half = rng.sizes(2, 3)
    x, positions = rng.tensor(length, 2 * half), torch.arange(length)
    return {"out": ex.rotate(x, positions, base=50.0), "usual": ex.rotate(x, positions)}


@test_rotate_base.explain
def _(got, want):
    if close(got["out"], got["usual"]) and not close(got["out"], want["out"], 1e-3):
        yield "with base=50 the result is that of base=10000: where does `base` occur in your formula?"


@check("positions far from the beginning are turned by the right angle", points=1, tolerance=4e-3, after=test_rotate)
def test_rotate_far(ex: Exercise, rng: Random):
    x, start = rng.tensor(2, 44, 16), 900 + rng.integers(0, 90)
    return ex.rotate(x, torch.cat([start + torch.arange(40), 5001 + 2 * torch.arange(4)]))


@check("bfloat16: the angles of far positions stay exact, and the result is bfloat16", points=2, after=test_rotate)
def test_rotate_low_precision(ex: Exercise, rng: Random):
    x, start = rng.tensor(2, 40, 16, dtype=torch.bfloat16), 301 + rng.integers(0, 90)
    return {
        "bfloat16": ex.rotate(x, start + torch.arange(40)),
        "float16": ex.rotate(x.half(), start + torch.arange(40)),
    }


@test_rotate_low_precision.explain
def _(got, want):
    gap = abs(got["bfloat16"] - want["bfloat16"]).max()
    if gap > 0.3:
        yield (
            f"in bfloat16 the result is off by {gap:.2g} around position 340, where bfloat16 knows only every second "
            "whole number: in which dtype are your positions and angles?"
        )


@check("float64 and float32 come back as they went in", points=1, tolerance=2e-5, after=test_attention)
def test_dtypes(ex: Exercise, rng: Random):
    heads, length, half = rng.sizes(3)
    layer = filled(ex.RotaryAttention(heads * 2 * half, heads), rng, dtype=torch.float64)
    x = rng.tensor(2, length, heads * 2 * half, dtype=torch.float64)
    return {"rotate": ex.rotate(x, torch.arange(length)), "attention": layer(x), "single": layer.float()(x.float())}


@check("bfloat16 attention is bfloat16, and no more wrong than rounding makes it", points=1, compare="structure")
def test_attention_low_precision(ex: Exercise, rng: Random):
    heads, length, half = rng.sizes(3)
    layer = filled(ex.RotaryAttention(heads * 2 * half, heads), rng, dtype=torch.bfloat16)
    x, positions = rng.tensor(2, length, heads * 2 * half, dtype=torch.bfloat16), 5001 + torch.arange(length)
    return {"rough": layer(x, positions), "exact": layer.double()(x.double(), positions)}


@test_attention_low_precision.explain
def _(got, want):
    # Projections, scores, shares and mixture are each off by a 256th of their size, a few times over.
    size = abs(want["exact"]).max()
    gap = abs(got["rough"] - want["exact"]).max()
    if not close(got["exact"], want["exact"], 1e-2 * size):
        yield "at positions from 5001 on the attention is not right in float64 either."
    elif gap > 0.25 * size:
        yield f"in bfloat16 the output is off by {gap:.2g}, more than rounding can do."


@check("an odd width is refused, by `rotate` and by the attention", points=1)
def test_odd_width(ex: Exercise, rng: Random):
    return {
        "rotate": raised(lambda: ex.rotate(rng.tensor(3, 7), torch.arange(3)), mentions=[7]),
        "attention": raised(lambda: ex.RotaryAttention(15, 3)(rng.tensor(1, 2, 15)), mentions=[5]),
        "even": raised(lambda: ex.RotaryAttention(12, 3)(rng.tensor(1, 2, 12))),
    }


@check("a d_model that n_heads does not divide is refused", points=1)
def test_indivisible(ex: Exercise, rng: Random):
    heads = rng.integers(3, 7)
    d_model = heads * 2 * rng.integers(2, 6) + rng.integers(1, heads)
    return raised(lambda: ex.RotaryAttention(d_model, heads), mentions=[d_model])


@check("gradients come back turned as well", points=1, tolerance=2e-5, after=test_rotate)
def test_rotate_gradients(ex: Exercise, rng: Random):
    length, half = rng.sizes(2, 3)
    x = rng.tensor(2, length, 2 * half, dtype=torch.float64, grad=True)
    return gradients(ex.rotate(x, torch.arange(length) + 1), {"x": x}, rng)


@check("gradients reach x and all four projections", points=1, tolerance=1e-4, after=test_attention)
def test_attention_gradients(ex: Exercise, rng: Random):
    heads, length, half = rng.sizes(3)
    layer = filled(ex.RotaryAttention(heads * 2 * half, heads, bias=True), rng, dtype=torch.float64)
    x = rng.tensor(2, length, heads * 2 * half, dtype=torch.float64, grad=True)
    wanted = {"x": x} | {f"{name}.weight": getattr(layer, name).weight for name in PROJECTIONS}
    wanted |= {f"{name}.bias": getattr(layer, name).bias for name in PROJECTIONS}
    return gradients(layer(x), wanted, rng)


@check("who sees whom follows the order of the tokens, not their positions", points=1, after=test_attention)
def test_causal(ex: Exercise, rng: Random):
    heads, length, half = rng.sizes(3, 3)
    layer = filled(ex.RotaryAttention(heads * 2 * half, heads), rng)
    x = rng.tensor(1, length, heads * 2 * half)
    other = torch.cat([x[:, :-1], rng.tensor(1, 1, heads * 2 * half)], dim=1)  # another last token
    backwards, together = torch.arange(length).flip(0), torch.full((length,), 4)
    return {
        "before": layer(x)[:, :-1],
        "another last token": layer(other)[:, :-1],
        "positions backwards": layer(x, backwards),
        "all at one position": layer(x, together),
    }


@test_causal.explain
def _(got, want):
    if not close(got["before"], got["another last token"]):
        yield "another last token changes what the tokens before it get: who may attend to whom?"
    elif close(got["before"], want["before"]):
        for case in ("positions backwards", "all at one position"):
            if not close(got[case], want[case], 1e-3):
                yield f"with positions 0 to T-1 the result is right, with {case} it is not: what do they decide?"


@check("the attention turns with the base that it was given", points=1, after=test_attention)
def test_attention_base(ex: Exercise, rng: Random):
    heads, length, half = rng.sizes(3, 3)
    layers = {
        name: filled(ex.RotaryAttention(heads * 2 * half, heads, **options), rng)
        for name, options in (("30", {"base": 30.0}), ("usual", {}))
    }
    x = rng.tensor(1, length, heads * 2 * half)
    return {name: layer(x) for name, layer in layers.items()}


@test_attention_base.explain
def _(got, want):
    if close(got["30"], got["usual"], 1e-4):
        yield "a layer with base=30 computes the same as one with base=10000."


@check("no bias by default; with bias=True all four projections have one", points=1)
def test_bias(ex: Exercise, rng: Random):
    heads, length, half = rng.sizes(3)
    plain = ex.RotaryAttention(heads * 2 * half, heads)
    with_bias = filled(ex.RotaryAttention(heads * 2 * half, heads, bias=True), rng)
    return {
        "default": {f"{name}.bias": getattr(plain, name).bias for name in PROJECTIONS},
        "bias=True": {f"{name}.bias": getattr(with_bias, name).bias for name in PROJECTIONS},
        "out": with_bias(rng.tensor(2, length, heads * 2 * half)),
    }


@check("biases, one head, a single pair, other dtypes and more axes are reordered as well", points=1, tolerance=0)
def test_halves_of_anything(ex: Exercise, rng: Random):
    heads, half = rng.sizes(2, 3)
    rows = heads * 2 * half
    return {
        "a bias": ex.halves_from_interleaved(rng.tensor(rows), heads),
        "one head": ex.halves_from_interleaved(rng.tensor(rows, 3), 1),
        "single pairs": ex.halves_from_interleaved(rng.tensor(2 * heads, 3), heads),
        "bfloat16": ex.halves_from_interleaved(rng.tensor(rows, 2, dtype=torch.bfloat16), heads),
        "three axes": ex.halves_from_interleaved(rng.tensor(rows, 2, 3), heads),
    }


@check("rows that are not heads of an even width are refused", points=1)
def test_halves_refuses(ex: Exercise, rng: Random):
    heads = rng.integers(2, 5)
    odd, uneven = heads * (2 * rng.integers(1, 4) + 1), 6 * heads + 1
    return {
        "an odd width": raised(lambda: ex.halves_from_interleaved(rng.tensor(odd, 2), heads), mentions=[odd]),
        "a row too many": raised(lambda: ex.halves_from_interleaved(rng.tensor(uneven, 2), heads), mentions=[uneven]),
        "heads of width 6": raised(lambda: ex.halves_from_interleaved(rng.tensor(6 * heads, 2), heads)),
    }


@check("no argument is changed in place", points=1, tolerance=0)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    length, half, heads = rng.sizes(3)
    x, positions, weight = rng.tensor(length, 2 * half), torch.arange(length), rng.tensor(2 * heads * half, 3)
    stream = rng.tensor(2, length, 2 * heads * half)
    ex.rotate(x, positions)
    ex.halves_from_interleaved(weight, heads)
    filled(ex.RotaryAttention(2 * heads * half, heads), rng)(stream, positions)
    return {"x": x, "positions": positions, "weight": weight, "stream": stream}


@check("the results are on the device of the inputs", points=1)
def test_device(ex: Exercise, rng: Random):
    heads, length, half = rng.sizes(3)
    plain, told = (filled(ex.RotaryAttention(heads * 2 * half, heads), rng) for _ in range(2))
    x, positions, weight = rng.tensor(2, length, heads * 2 * half), torch.arange(length), rng.tensor(heads * 2 * half)
    return {
        "rotate": on_meta(lambda on: ex.rotate(x.to(on), positions.to(on))),
        "halves": on_meta(lambda on: ex.halves_from_interleaved(weight.to(on), heads)),
        "attention": on_meta(lambda on: plain.to(on)(x.to(on))),
        "with positions": on_meta(lambda on: told.to(on)(x.to(on), positions.to(on))),
    }


@test_device.explain
def _(got, want):
    for case in want:
        if got[case]["strays"]:
            yield f"{case}: a tensor of yours is not on the device of the inputs: which one is made without `device=`?"


### END HIDDEN TESTS
