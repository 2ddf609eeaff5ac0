"""What the encoder must do: the checks of exercise 10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from grader.checks import (
    Exercise,
    Random,
    census,
    check,
    close,
    filled,
    gradients,
    named,
    on_meta,
    overheard,
    raised,
    silenced,
)

SIZES = {"d_model": 12, "n_heads": 4, "d_ff": 10}  # heads of width 3; batch and length are drawn from 5 to 9
ALL = 1 - 1e-12  # a dropout that drops everything, and divides by something
SUBLAYERS = {"self_attention": "attention_residual", "feed_forward": "feed_forward_residual"}  # each in its frame
LINEARS = [*(f"self_attention.{name}_proj" for name in ("q", "k", "v", "out")), "feed_forward.up", "feed_forward.down"]
NORMS = [f"{frame}.norm" for frame in SUBLAYERS.values()]


def names(n_layers: int = 0) -> list[str]:
    """The parameters of a layer by the contract, or of that many layers in a stack."""
    layer = [f"{part}.{kind}" for part in (*LINEARS, *NORMS) for kind in ("weight", "bias")]
    return [f"layers.{i}.{name}" for i in range(n_layers) for name in layer] if n_layers else layer


def same_mask(got, want) -> bool:
    """Whether two masks hide the same, however they are broadcast."""
    try:
        return got is not None and bool(np.all(got == want))
    except ValueError:  # shapes that don't go together
        return False


def layer_norm(x, weight, bias):
    """Layer norm in NumPy, for judging."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def inventory(module: nn.Module) -> dict[str, Any]:
    """The parameters of a module, which names mean the same one, and the numbers that they were given."""
    return {"found": census(module), "numbers": dict(named(module))}


def nested(modules: dict[str, nn.Module]) -> list[dict[str, str]]:
    """Note from now on when modules run, and inside which of the others."""
    calls: list[dict[str, str]] = []
    running = [""]

    def listening(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **options: Any) -> Any:
            calls.append({"name": name, "inside": running[-1]})
            running.append(name)
            try:
                return work(*args, **options)
            finally:
                running.pop()

        return forward

    for name, module in modules.items():
        module.forward = listening(name, module.forward)
    return calls


def frames_alone(layer, x):
    """What each frame of a layer makes of a sublayer that has nothing to add."""
    return {frame: getattr(layer, frame)(x, torch.zeros_like) for frame in SUBLAYERS.values()}


def misplaced_norms(got, want):
    """Explain: with nothing to add, a pre-norm frame hands x on as it is, and a post-norm frame norms it."""
    for order, frames in want["seen"].items():
        given = "`norm_first=True`" if order == "pre-norm" else "no `norm_first`"
        other = "post-norm" if order == "pre-norm" else "pre-norm"
        for frame in frames:
            if close(got["seen"][order][frame], want["seen"][other][frame], 1e-9):
                yield (
                    f"with {given}, `{frame}` works in {other} instead of {order}. "
                    "What is its default, and who tells it otherwise?"
                )


def dropping_all(stack, *inputs) -> dict[str, Any]:
    """What a stack gives with each part of each layer in training mode alone, all of it, and none of it."""
    with torch.no_grad():
        for parameter in (p for layer in stack.layers for part in SUBLAYERS for p in getattr(layer, part).parameters()):
            if parameter.ndim == 1:  # the biases
                parameter.zero_()  # then a sublayer of which everything is dropped adds nothing, wherever it drops
    seen = {"in evaluation": stack.eval()(*(each.clone() for each in inputs))}
    for i, layer in enumerate(stack.layers):
        for part in (*SUBLAYERS, *SUBLAYERS.values()):
            stack.eval()
            getattr(layer, part).train()  # this part alone
            seen[f"layers.{i}.{part}"] = stack(*(each.clone() for each in inputs))
    return seen | {"in training": stack.train()(*(each.clone() for each in inputs))}


def judge_dropping(got, want):
    """Say which part drops nothing, and whether something drops that should not."""
    for order, seen in want.items():
        mine = got[order]
        as_wanted = close(mine["in evaluation"], seen["in evaluation"], 1e-6)
        for part in (part for part in seen if part.startswith("layers.")):
            if close(mine[part], mine["in evaluation"], 1e-9):
                yield (
                    f"{order}: with all dropped, and `{part}` alone in training mode, the output is that of evaluation "
                    "mode: this part drops nothing. Who passes `dropout` on to it?"
                )
            elif as_wanted and not close(mine[part], seen[part], 1e-6):
                yield (
                    f"{order}: with all dropped, and `{part}` alone in training mode, more is missing from the output "
                    "than what this part makes. Does it drop the stream?"
                )
        if as_wanted and not close(mine["in training"], seen["in training"], 1e-6):
            yield (
                f"{order}: every part drops what it should; but with the whole stack in training mode and everything "
                "dropped, something else comes out than what came in, through the norms. What else drops?"
            )


@check(
    "a layer has two sublayers and two frames, with these parameters, none of them twice",
    compare="nothing",
    free=("found.+", "numbers.+"),
)
def test_parameters(ex: Exercise, rng: Random):
    return inventory(filled(ex.EncoderLayer(**SIZES), rng))


@test_parameters.explain
def _(got, want):
    for name, one in want["found"].items():
        mine = got["found"].get(name)
        if mine is None:
            hint = " In which order does `MultiHeadAttention` take its arguments?" if name.endswith("bias") else ""
            yield f"a layer has no parameter `{name}`.{hint}"
        elif mine["shape"] != one["shape"]:
            yield f"`{name}` has shape {tuple(mine['shape'])}; expected {tuple(one['shape'])}."
        elif mine["is"] != name and mine["is"] in want["found"]:
            yield (
                f"`{name}` is the same parameter as `{mine['is']}`: one module is used in two places. "
                "Which parts of a layer have something of their own to learn?"
            )
    for name, numbers in want["numbers"].items():
        if not close(got["numbers"][name], numbers):
            yield f"`{name}` was given numbers, and holds others: does it go by another name as well?"


@check(
    "attention comes first, then the feed-forward network, each in the frame that is named after it",
    points=1,
    compare="nothing",
    after=test_parameters,
)
def test_order(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    layer = filled(ex.EncoderLayer(**SIZES), rng)
    x = rng.tensor(batch, length, 12)
    calls = nested({part: getattr(layer, part) for part in (*SUBLAYERS, *SUBLAYERS.values())})
    layer(x.clone())
    return {"calls": list(calls), "attention alone": layer.self_attention(x)}


@test_order.explain
def _(got, want):
    called, expected = [call["name"] for call in got["calls"] if call["name"] in SUBLAYERS], list(SUBLAYERS)
    if called != expected:
        order = ", then ".join(f"`{name}`" for name in called) or "neither"
        yield f"your layer calls {order}; expected `{expected[0]}`, then `{expected[1]}`."
    for call in got["calls"]:
        name, frame = call["name"], call["inside"]
        if name in SUBLAYERS and frame and frame != SUBLAYERS[name]:
            yield (
                f"`{name}` runs in `{frame}`, which is the frame of the other sublayer; its own is "
                f"`{SUBLAYERS[name]}`. Each norm learns the scale that suits its own sublayer."
            )
    frames = [call["name"] for call in got["calls"] if call["name"] not in SUBLAYERS]
    if frames != list(SUBLAYERS.values()) and set(frames) == set(SUBLAYERS.values()):
        yield f"your layer calls its frames in the order {', '.join(frames)}; expected {', '.join(SUBLAYERS.values())}."
    if not close(got["attention alone"], want["attention alone"], 1e-4):
        yield "`self_attention`, called by itself, gives something other than a `MultiHeadAttention` with biases."


@check("post-norm unless told otherwise; norm_first=True makes both frames pre-norm", after=test_order)
def test_norm_first(ex: Exercise, rng: Random):
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    layers = {"post-norm": ex.EncoderLayer(**SIZES), "pre-norm": ex.EncoderLayer(**SIZES, norm_first=True)}
    return {"seen": {order: frames_alone(filled(layer, rng).double(), x) for order, layer in layers.items()}}


test_norm_first.explain(misplaced_norms)


def same(got: Any, want: np.ndarray) -> bool:
    return np.shape(got) == np.shape(want) and close(got, want, 1e-9)


@check(
    "the attention gets what its frame hands over, as query, key and value, and the mask as it was given",
    points=1,
    compare="nothing",
    free=("heard*.key", "heard*.value", "heard*.mask"),
    after=test_norm_first,
)
def test_attention(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    layer = filled(ex.EncoderLayer(**SIZES, norm_first=True), rng, dtype=torch.float64)
    x, mask = (
        rng.tensor(batch, length, 12, dtype=torch.float64),
        rng.mask(batch, 4, length, length),
    )  # one for each head

    def attention(query, key=None, value=None, mask=None, return_weights=False):
        return (x, x) if return_weights else x

    heard = overheard({"self_attention": layer.self_attention}, attention)
    layer(x.clone(), mask)
    layer(x.clone())
    return {"x": x, "mask": mask, "heard": heard}


@test_attention.explain
def _(got, want):
    if len(got["heard"]) != len(want["heard"]):
        yield f"in two calls of the layer its attention is called {len(got['heard'])} times; expected 2."
    for call, right, mask in zip(got["heard"], want["heard"], (want["mask"], None), strict=True):
        for part, alias in (("query", "queries"), ("key", "keys"), ("value", "values")):
            if (call[part] is None and part != "query") or same(call[part], right["query"]):
                continue
            bare = "the stream itself" if same(call[part], want["x"]) else "something else"
            yield (
                f"with `norm_first=True` the {alias} are made from {bare}; expected what the frame hands to its "
                "sublayer: the stream after the norm. With which argument does the frame call your sublayer?"
            )
        if mask is None and call["mask"] is not None and not np.all(call["mask"]):
            yield "no mask was given, and the attention hides something all the same: who told it to?"
        elif mask is not None and call["mask"] is None:
            yield "the layer was given a mask, and its attention gets none: by which way could it come along?"
        elif mask is not None and same_mask(call["mask"], ~mask):
            yield "the attention gets the mask the wrong way round: True means `may attend`."
        elif mask is not None and not same_mask(call["mask"], mask):
            yield "the attention gets a mask other than the one that the layer was given."


@check("the activation of the feed-forward network is relu", points=1, tolerance=1e-6, after=test_attention)
def test_relu(ex: Exercise, rng: Random):
    layer = silenced(ex.EncoderLayer(12, 4, 12, norm_first=True).double(), "out_proj", "up", "down")
    with torch.no_grad():  # nothing but the bend: up and down hand on what they get
        layer.feed_forward.up.weight.copy_(torch.eye(12))
        layer.feed_forward.down.weight.copy_(torch.eye(12))
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    return {"x": x, "out": layer(x)}


@test_relu.explain
def _(got, want):
    bent, hidden = got["out"] - want["x"], layer_norm(want["x"], 1.0, 0.0)
    gelu = hidden / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    if close(bent, gelu, 2e-3):
        at = np.unravel_index(gelu.argmin(), gelu.shape)
        yield (
            f"out of {hidden[at]:.2f} the hidden layer makes {bent[at]:.3f}, which is what gelu does; relu makes 0 of "
            "it. Which activation does `FeedForward` take when you name none?"
        )
    elif close(got["out"], 0.0, 1e-9):
        yield "the layer gives 0 everywhere: where is what came in? It is for the frames to carry it on."
    elif close(got["out"] - np.maximum(hidden, 0.0), 4 * want["x"], 1e-2):
        yield "what came in stands four times in what comes out: do the frames add it, and you once more?"
    elif not close(bent, np.maximum(hidden, 0.0), 1e-6):
        yield "with nothing between `up` and `down` but the activation, a layer does not add relu(norm(x)) to x."


@check("post-norm: a layer's output for given weights", points=1, axes={"": "batch position width"}, after=test_relu)
def test_post_norm(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    return filled(ex.EncoderLayer(**SIZES), rng)(rng.tensor(batch, length, 12))


@check("pre-norm: a layer's output for given weights", points=1, axes={"": "batch position width"}, after=test_relu)
def test_pre_norm(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    return filled(ex.EncoderLayer(**SIZES, norm_first=True), rng)(rng.tensor(batch, length, 12))


@check("what the mask hides is not read, and what it shows is", points=1, after=test_post_norm)
def test_padding(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    layer = filled(ex.EncoderLayer(**SIZES), rng, dtype=torch.float64)
    lengths = torch.from_numpy(rng.integers(2, length, batch))
    real = torch.arange(length) < lengths[:, None]  # (B, T)
    mask = real[:, None, None, :]
    x, other = (rng.tensor(batch, length, 12, dtype=torch.float64) for _ in range(2))
    front = torch.cat([other[:, :1], x[:, 1:]], dim=1)
    return {
        "real": real,
        "as it is": layer(x.clone(), mask),
        "padding replaced": layer(torch.where(real[..., None], x, other), mask),
        "front replaced": layer(front, mask),
    }


@test_padding.explain
def _(got, want):
    real, before = got["real"], got["as it is"]
    reads_padding = not close(before[real], got["padding replaced"][real], 1e-9)
    reads_front = not close(before[:, 1], got["front replaced"][:, 1], 1e-9)
    if reads_padding and not reads_front:
        yield (
            "the padding mask works the wrong way round: position 1 takes no notice of position 0, which it may "
            "attend to, and real positions change with the padding, which is hidden. True means `may attend`."
        )
    elif reads_padding:
        yield (
            "real positions change when only the padding is replaced, which the mask hides. "
            "Does the mask reach the attention?"
        )
    elif not reads_front:
        yield "position 1 does not change when position 0 is replaced, which it may attend to: what do you hide?"


@check("every layer of a stack has parameters of its own", points=1, compare="nothing", free=("layer.+", "numbers.+"))
def test_own_parameters(ex: Exercise, rng: Random):
    found = inventory(filled(ex.Encoder(3, **SIZES), rng))
    first: dict[str, str] = {}  # the layer that each parameter is met in first
    owners = {
        name: first.setdefault(one["is"], name.split(".")[1])
        for name, one in found["found"].items()
        if name.startswith("layers.")
    }
    return {"layer": owners, "numbers": found["numbers"]}


@test_own_parameters.explain
def _(got, want):
    for name, number in want["layer"].items():
        mine = got["layer"].get(name)
        if mine is None:
            yield f"a stack of 3 layers has no parameter `{name}`."
        elif mine != number:
            yield (
                f"layers {mine} and {number} share `{name.split('.', 2)[2]}`: it is one and the same parameter. "
                "`[layer] * n` lists one layer n times; how do you make n of them?"
            )
    for name, numbers in want["numbers"].items():
        if not close(got["numbers"][name], numbers):
            yield f"`{name}` was given numbers, and holds others: is it the same as another one?"


@check(
    "each layer gets what the one before returned, and the mask",
    points=1,
    compare="nothing",
    after=test_own_parameters,
)
def test_chain(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    encoder = ex.Encoder(3, **SIZES)
    x, mask = rng.tensor(batch, length, 12), rng.mask(batch, 1, 1, length)
    heard = overheard(dict(encoder.layers.named_children()), lambda x, mask=None: x + 1)
    encoder(x, mask)
    return {"x": x, "mask": mask, "heard": heard}


@test_chain.explain
def _(got, want):
    order = [call["name"] for call in got["heard"]]
    if order != ["0", "1", "2"]:
        yield f"a stack of 3 layers calls its layers {', '.join(order) or 'not at all'}; expected 0, 1, 2."
    for i, call in enumerate(got["heard"]):
        if not close(call["x"], want["x"] + i):  # each layer added one
            again = ", but the input of the stack again" if i and close(call["x"], want["x"]) else ""
            yield f"layer {i} does not get {f'what layer {i - 1} returned' if i else 'the input of the stack'}{again}."
        if call["mask"] is None:
            yield f"the stack was given a mask, and layer {i} gets none."
        elif same_mask(call["mask"], ~want["mask"]):
            yield f"layer {i} gets the mask the wrong way round: True means `may attend`."
        elif not same_mask(call["mask"], want["mask"]):
            yield f"layer {i} gets a mask other than the one that the stack was given."


@check(
    "a stack of layers, the published way: no norm after the last one",
    points=1,
    axes={"out": "batch position width"},
    after=test_chain,
)
def test_encoder(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    encoder = filled(ex.Encoder(3, **SIZES), rng)
    return {
        "layers": len(encoder.layers),
        "no norm": encoder.norm is None,
        "out": encoder(rng.tensor(batch, length, 12)),
    }


@test_encoder.explain
def _(got, want):
    if not got["no norm"]:
        yield "a post-norm stack has a `norm`, although each of its layers ends with one: expected None."


### BEGIN HIDDEN TESTS
@check("no argument is changed in place", points=1, after=test_encoder)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    x, mask = rng.tensor(batch, length, 12), rng.mask(batch, 1, length, length)
    out = [filled(each, rng)(x, mask) for each in (ex.EncoderLayer(**SIZES), ex.Encoder(2, **SIZES))]
    for each in (ex.EncoderLayer(**SIZES, norm_first=True), ex.Encoder(2, **SIZES, norm_first=True)):
        filled(each, rng)(x, mask)
    return {"x": x, "mask": mask, "post-norm": out}


@test_arguments_unchanged.explain
def _(got, want):
    for name in ("x", "mask"):
        if not np.array_equal(got[name], want[name]):
            yield f"`{name}` holds something else after the call: is there an `+=`, or a method that ends in `_`?"


@check("a stack has a norm of its own in pre-norm, and none in post-norm", points=1)
def test_norm_of_the_stack(ex: Exercise, rng: Random):
    post, pre = (ex.Encoder(2, **SIZES, norm_first=first).norm for first in (False, True))
    return {"norm is None in post-norm": post is None, "pre-norm": None if pre is None else [pre.weight, pre.bias]}


@check("every layer of a stack follows norm_first", points=1, after=test_chain)
def test_stack_norm_first(ex: Exercise, rng: Random):
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    stacks = {"post-norm": ex.Encoder(2, **SIZES), "pre-norm": ex.Encoder(2, **SIZES, norm_first=True)}
    return {"seen": {name: frames_alone(filled(each, rng).double().layers[1], x) for name, each in stacks.items()}}


test_stack_norm_first.explain(misplaced_norms)


@check(
    "the final norm: once at the end of a pre-norm stack, not at all in post-norm",
    points=1,
    tolerance=1e-6,
    after=test_stack_norm_first,
)
def test_final_norm(ex: Exercise, rng: Random):
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    pre = silenced(filled(ex.Encoder(3, **SIZES, norm_first=True), rng, dtype=torch.float64), "out_proj", "down")
    post = filled(ex.Encoder(3, **SIZES), rng, dtype=torch.float64)
    last = x.clone()
    for layer in post.layers:
        last = layer(last)
    weight, bias = rng.tensor(12, dtype=torch.float64), rng.tensor(12, dtype=torch.float64)
    if pre.norm is not None:
        with torch.no_grad():
            pre.norm.weight.copy_(weight)
            pre.norm.bias.copy_(bias)
    return {
        "x": x,
        "norm": {"weight": weight, "bias": bias},
        "pre": pre(x.clone()),
        "pre, no norm": pre.norm is None,
        "post": post(x.clone()),
        "post, last layer": last,
        "post, no norm": post.norm is None,
    }


@test_final_norm.explain
def _(got, want):
    if not got["post, no norm"]:
        yield "a post-norm stack has a `norm`, although each of its layers ends with one: expected None."
    elif not close(got["post"], got["post, last layer"], 1e-9):
        yield "a post-norm stack returns something other than its last layer. Is there one norm too many?"
    if close(got["pre"], want["x"], 1e-9):
        yield "in pre-norm the stack returns the bare stream: the final norm is missing."
    out = want["x"]
    for times in range(1, 5):
        out = layer_norm(out, **want["norm"])
        if times > 1 and close(got["pre"], out, 1e-9):
            where = " Does it stand inside the loop?" if times == 3 else ""
            yield f"a pre-norm stack of 3 layers applies its final norm {times} times.{where}"
    if got["pre, no norm"]:
        yield "a pre-norm stack has no `norm`."
    if not close(got["pre"], want["pre"], 1e-6):
        yield "in pre-norm, layers whose sublayers write nothing and one norm at the end do not give norm(x)."


@check("gradients reach the input and every parameter", points=1, tolerance=1e-4, after=test_chain)
def test_gradients(ex: Exercise, rng: Random):
    encoder = filled(ex.Encoder(2, **SIZES, norm_first=True), rng, dtype=torch.float64)
    batch, length = rng.sizes(2, 5, 9)
    x = rng.tensor(batch, length, 12, dtype=torch.float64, grad=True)
    wanted = {name: encoder.get_parameter(name) for name in (*names(2), "norm.weight", "norm.bias")}
    found = gradients(encoder(x, rng.mask(batch, 1, length, length)), {"x": x} | wanted, rng)
    return {name: noiseless(name, gradient) for name, gradient in found.items()}


def noiseless(name: str, gradient: torch.Tensor | None):
    """A bias of the keys adds the same to all scores of a query: its gradient is 0, up to rounding."""
    noisy = name.endswith("k_proj.bias") and gradient is not None
    return gradient.masked_fill(gradient.abs() < 1e-5, 0.0) if noisy else gradient


@check(
    "without positions there is no order: the same tokens in another order give the same vectors", after=test_encoder
)
def test_permutation(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    encoder = filled(ex.Encoder(2, **SIZES), rng, dtype=torch.float64)
    x, order = rng.tensor(batch, length, 12, dtype=torch.float64), rng.numpy.permutation(length)
    return {"order": order, "out": encoder(x.clone()), "reordered": encoder(x[:, order])}


@test_permutation.explain
def _(got, want):
    if not close(got["out"][:, want["order"]], got["reordered"], 1e-9):
        yield (
            "tokens in another order come out as other vectors, although no mask was given and nothing told the "
            "encoder where they stand. Does it hide or add something by itself?"
        )


class Single(nn.Module):
    """A stack of one layer, without a norm at its end."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList([layer])

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.layers[0](*inputs)


@check("dropout acts in all four parts of a layer, and nowhere else", after=test_post_norm)
def test_dropout_of_a_layer(ex: Exercise, rng: Random):
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    seen = {}
    for order, first in {"post-norm": False, "pre-norm": True}.items():
        layer = ex.EncoderLayer(**SIZES, dropout=ALL, norm_first=first)
        seen[order] = dropping_all(filled(Single(layer), rng, dtype=torch.float64), x)
    return seen


test_dropout_of_a_layer.explain(judge_dropping)


@check("dropout acts in all four parts of every layer, and nowhere else", after=test_encoder)
def test_dropout_everywhere(ex: Exercise, rng: Random):
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    seen = {}
    for order, first in {"post-norm": False, "pre-norm": True}.items():
        encoder = filled(ex.Encoder(2, **SIZES, dropout=ALL, norm_first=first), rng, dtype=torch.float64)
        seen[order] = dropping_all(encoder, x)
    return seen


test_dropout_everywhere.explain(judge_dropping)


@check(
    "the frames drop as large a fraction as they were told",
    points=1,
    compare="structure",
    after=test_norm_first,
    exact=("given*",),
)
def test_dropout_share(ex: Exercise, rng: Random):
    layer = ex.EncoderLayer(**SIZES, dropout=0.25, norm_first=True).double().train()
    given = {frame: rng.tensor(300, 12, dtype=torch.float64) for frame in SUBLAYERS.values()}
    return {"given": given, "out": {frame: getattr(layer, frame)(x, torch.ones_like) for frame, x in given.items()}}


@test_dropout_share.explain
def _(got, want):
    for frame, x in want["given"].items():
        added = got["out"][frame] - x
        dropped = np.abs(added) < 1e-9
        if abs(dropped.mean() - 0.25) > 0.05:
            yield f"with `dropout=0.25`, `{frame}` drops a fraction of {dropped.mean():.2f}."
        elif not close(added[~dropped], 1 / 0.75, 1e-6):
            yield f"with `dropout=0.25`, what `{frame}` keeps of a 1 should be 1 / 0.75."


@check(
    "in evaluation mode nothing is dropped, and the same input gives the same output",
    points=1,
    after=test_arguments_unchanged,
)
def test_evaluation(ex: Exercise, rng: Random):
    encoder, plain = (filled(ex.Encoder(2, **SIZES, dropout=rate), rng).eval() for rate in (0.5, 0.0))
    batch, length = rng.sizes(2, 5, 9)
    x, mask = rng.tensor(batch, length, 12), rng.mask(batch, 1, length, length)
    first, second = (encoder(x.clone(), mask.clone()) for _ in range(2))
    return {"first": first, "second": second, "without dropout": plain(x.clone(), mask.clone())}


@test_evaluation.explain
def _(got, want):
    if not close(got["first"], got["second"]):
        yield "in evaluation mode the same input gives two outputs. Which dropout does not know of the mode?"
    elif not close(got["first"], got["without dropout"]):
        yield "in evaluation mode a stack with `dropout=0.5` gives something other than one without dropout."


@check("one sequence, one position, huge and tiny inputs, nothing to attend to", points=1, after=test_post_norm)
def test_extremes(ex: Exercise, rng: Random):
    seen = {}
    for order, first in {"post-norm": False, "pre-norm": True}.items():
        encoder = filled(ex.Encoder(3, **SIZES, norm_first=first), rng, dtype=torch.float64)
        x = rng.tensor(1, rng.integers(5, 10), 12, dtype=torch.float64)
        nothing = torch.zeros(1, 1, 1, x.size(1), dtype=torch.bool)
        seen[order] = {
            "one sequence": encoder(x),
            "one position": encoder(x[:, :1]),
            "huge": encoder(1e6 * x),
            "tiny": encoder(1e-6 * x),
            "nothing to attend to": encoder(x, nothing),
        }
    return seen


@check("the output has the dtype of the input: float64 or bfloat16", points=1, compare="structure", after=test_pre_norm)
def test_dtypes(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    layer = filled(ex.EncoderLayer(**SIZES, norm_first=True), rng, dtype=torch.bfloat16)
    x, mask = rng.tensor(batch, length, 12, dtype=torch.bfloat16), rng.mask(batch, 1, 1, length)
    return {"bfloat16": layer(x, mask), "float64": layer.double()(x.double(), mask)}


@test_dtypes.explain
def _(got, want):
    exact = want["float64"]
    if not close(got["float64"], exact, 1e-4):
        yield "in float64 the output is not what it should be."
    elif np.sqrt(np.mean((got["bfloat16"] - exact) ** 2)) > 0.1 * np.sqrt(np.mean(exact**2)):
        yield "in bfloat16 the output is further from that in float64 than rounding explains."


@check("the output is on the device of the input", points=1, after=test_final_norm)
def test_device(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    given = rng.tensor(batch, length, 12), rng.mask(batch, 1, 1, length)
    seen: dict[str, Any] = {}
    for order, first in {"post-norm": False, "pre-norm": True}.items():
        encoder = filled(ex.Encoder(2, **SIZES, norm_first=first), rng)
        seen[order] = encoder(*given)
        seen[f"{order}, moved"] = on_meta(lambda to, encoder=encoder: encoder.to(to)(*(each.to(to) for each in given)))
    return seen


@test_device.explain
def _(got, want):
    for order in ("post-norm", "pre-norm"):
        if got[f"{order}, moved"]["strays"]:
            yield f"{order}: with layers and inputs on another device, a tensor is left behind on the CPU."


@check("a width that the heads do not divide and an impossible dropout are refused", points=1)
def test_wrong_arguments(ex: Exercise, rng: Random):
    heads = rng.integers(3, 7)
    d_model = heads * rng.integers(2, 6) + rng.integers(1, heads)
    return {
        "layer": raised(lambda: ex.EncoderLayer(d_model, heads, 10), mentions=[d_model]),
        "stack": raised(lambda: ex.Encoder(2, d_model, heads, 10), mentions=[d_model]),
        "dropout": raised(lambda: ex.EncoderLayer(**SIZES, dropout=1.5), mentions=[1.5]),
        "all in order": raised(lambda: ex.EncoderLayer(**SIZES, dropout=1.0)),
    }


### END HIDDEN TESTS
