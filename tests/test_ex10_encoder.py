"""What the encoder must do: the checks of exercise 10."""

from __future__ import annotations

import numpy as np
import torch

from grader.checks import Exercise, Random, census, check, close, filled, gradients, overheard, raised, silenced

SIZES = {"d_model": 12, "n_heads": 4, "d_ff": 10}  # heads of width 3; batch and length are drawn from 5 to 9
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


def frames_alone(layer, x):
    """What each frame of a layer makes of a sublayer that has nothing to add."""
    return {frame: getattr(layer, frame)(x, torch.zeros_like) for frame in SUBLAYERS.values()}


def misplaced_norms(got, want):
    """Explain: with nothing to add, a pre-norm frame hands x on as it is, and a post-norm frame does not."""
    for order, frames in got["seen"].items():
        given = "`norm_first=True`" if order == "pre-norm" else "no `norm_first`"
        for frame, out in frames.items():
            found = "pre-norm" if close(out, got["x"], 1e-9) else "post-norm"
            if found != order:
                yield (
                    f"with {given}, `{frame}` works in {found} instead of {order}. "
                    "What is its default, and who tells it otherwise?"
                )


@check("a layer has two sublayers and two frames, with these parameters, none of them twice", compare="nothing")
def test_parameters(ex: Exercise, rng: Random):
    return census(ex.EncoderLayer(**SIZES))


@test_parameters.explain
def _(got, want):
    for name, one in want.items():
        if name not in got:
            hint = " In which order does `MultiHeadAttention` take its arguments?" if name.endswith("bias") else ""
            yield f"a layer has no parameter `{name}`.{hint}"
        elif got[name]["shape"] != one["shape"]:
            yield f"`{name}` has shape {tuple(got[name]['shape'])}; expected {tuple(one['shape'])}."
        elif got[name]["is"] != name and got[name]["is"] in want:
            yield (
                f"`{name}` is the same parameter as `{got[name]['is']}`: one module is used in two places. "
                "Which parts of a layer have something of their own to learn?"
            )


@check(
    "attention comes first, then the feed-forward network, each in the frame that is named after it",
    points=1,
    compare="nothing",
    after=test_parameters,
)
def test_order(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    layer = filled(ex.EncoderLayer(**SIZES), rng)
    calls = overheard({part: getattr(layer, part) for part in (*SUBLAYERS, *SUBLAYERS.values())})
    layer(rng.tensor(batch, length, 12))
    return {"calls": [call["name"] for call in calls]}


@test_order.explain
def _(got, want):
    called, expected = [name for name in got["calls"] if name in SUBLAYERS], list(SUBLAYERS)
    if called != expected:
        order = ", then ".join(f"`{name}`" for name in called) or "neither"
        yield f"your layer calls {order}; expected `{expected[0]}`, then `{expected[1]}`."
    frame = None
    for name in got["calls"]:
        if name not in SUBLAYERS:
            frame = name
        elif frame not in (SUBLAYERS[name], None):
            yield (
                f"`{name}` runs in `{frame}`, which is the frame of the other sublayer; its own is "
                f"`{SUBLAYERS[name]}`. Each norm learns the scale that suits its own sublayer."
            )


@check(
    "post-norm unless told otherwise; norm_first=True makes both frames pre-norm", compare="nothing", after=test_order
)
def test_norm_first(ex: Exercise, rng: Random):
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    layers = {"post-norm": ex.EncoderLayer(**SIZES), "pre-norm": ex.EncoderLayer(**SIZES, norm_first=True)}
    return {"x": x, "seen": {order: frames_alone(filled(layer, rng).double(), x) for order, layer in layers.items()}}


test_norm_first.explain(misplaced_norms)


@check(
    "the attention gets what its frame hands over, as query, key and value, and the mask as it was given",
    points=1,
    compare="nothing",
    after=test_norm_first,
)
def test_attention(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    layer = filled(ex.EncoderLayer(**SIZES, norm_first=True), rng, dtype=torch.float64)
    x, mask = rng.tensor(batch, length, 12, dtype=torch.float64), rng.mask(batch, 1, length, length)

    def attention(query, key=None, value=None, mask=None, return_weights=False):
        return (x, x) if return_weights else x

    heard = overheard({"self_attention": layer.self_attention}, attention)
    layer(x.clone(), mask)
    layer(x.clone())
    return {"x": x, "mask": mask, "heard": heard}


@test_attention.explain
def _(got, want):
    normed = want["heard"][0]["query"]
    for call, mask in zip(got["heard"], (got["mask"], None), strict=False):
        for part, alias in (("query", "queries"), ("key", "keys"), ("value", "values")):
            source = got["x"] if call[part] is None else call[part]
            if call[part] is None or close(source, normed, 1e-9):
                continue
            bare = "the stream itself" if close(source, got["x"], 1e-9) else "something else"
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
            yield "the attention gets another mask than the layer was given."


@check("the feed-forward network bends by relu", points=1, compare="nothing", after=test_attention)
def test_relu(ex: Exercise, rng: Random):
    layer = silenced(ex.EncoderLayer(12, 4, 12, norm_first=True).double(), "out_proj", "up", "down")
    with torch.no_grad():  # nothing but the bend: up and down hand on what they get
        layer.feed_forward.up.weight.copy_(torch.eye(12))
        layer.feed_forward.down.weight.copy_(torch.eye(12))
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    return {"x": x, "out": layer(x)}


@test_relu.explain
def _(got, want):
    bent, hidden = got["out"] - got["x"], layer_norm(got["x"], 1.0, 0.0)
    gelu = hidden / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    if close(bent, gelu, 2e-3):
        at = np.unravel_index(gelu.argmin(), gelu.shape)
        yield (
            f"out of {hidden[at]:.2f} the hidden layer makes {bent[at]:.3f}, which is what gelu does; relu makes 0 of "
            "it. Which activation does `FeedForward` take when you name none?"
        )
    elif close(got["out"], 0.0, 1e-9):
        yield "sublayers that add nothing leave nothing: where is what came in? It is for the frames to carry it on."
    elif close(got["out"] - np.maximum(hidden, 0.0), 4 * got["x"], 1e-2):
        yield "the stream comes out larger by far than it came in: do the frames add it, and you once more?"
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


@check("what the mask hides is not read, and what it shows is", points=1, compare="structure")
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


@check("every layer of a stack has parameters of its own", points=1, compare="nothing")
def test_own_parameters(ex: Exercise, rng: Random):
    return census(ex.Encoder(3, **SIZES))


@test_own_parameters.explain
def _(got, want):
    for name in (name for name in want if name.startswith("layers.")):
        one = got.get(name, {"is": None})["is"]
        layer, part = name.split(".", 2)[1:]
        if one is None:
            yield f"a stack of 3 layers has no parameter `{name}`."
        elif one != name and one.split(".")[1] != layer:
            yield (
                f"layers {one.split('.')[1]} and {layer} share `{part}`: it is one and the same parameter. "
                "`[layer] * n` lists one layer n times; how do you make n of them?"
            )


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
        if not close(call["x"], got["x"] + i):  # each layer added one
            again = ", but the input of the stack again" if close(call["x"], got["x"]) else ""
            yield f"layer {i} does not get {f'what layer {i - 1} returned' if i else 'the input of the stack'}{again}."
        if call["mask"] is None:
            yield f"the stack was given a mask, and layer {i} gets none."
        elif same_mask(call["mask"], ~got["mask"]):
            yield f"layer {i} gets the mask the wrong way round: True means `may attend`."
        elif not same_mask(call["mask"], got["mask"]):
            yield f"layer {i} gets another mask than the stack was given."


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
@check("no argument is changed in place", points=1, tolerance=0)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    x, mask = rng.tensor(batch, length, 12), rng.mask(batch, 1, length, length)
    for first in (False, True):
        filled(ex.EncoderLayer(**SIZES, norm_first=first), rng)(x, mask)
        filled(ex.Encoder(2, **SIZES, norm_first=first), rng)(x, mask)
    return {"x": x, "mask": mask}


@test_arguments_unchanged.explain
def _(got, want):
    for name, before in want.items():
        if not np.array_equal(got[name], before):
            yield f"`{name}` holds something else after the call: is there an `+=`, or a method that ends in `_`?"


@check("every layer of a stack follows norm_first", points=1, compare="nothing", after=test_chain)
def test_stack_norm_first(ex: Exercise, rng: Random):
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    stacks = {"post-norm": ex.Encoder(2, **SIZES), "pre-norm": ex.Encoder(2, **SIZES, norm_first=True)}
    seen = {order: frames_alone(filled(stack, rng).double().layers[1], x) for order, stack in stacks.items()}
    return {"x": x, "seen": seen}


test_stack_norm_first.explain(misplaced_norms)


@check(
    "the final norm: once at the end of a pre-norm stack, not at all in post-norm",
    points=1,
    compare="nothing",
    after=test_stack_norm_first,
)
def test_final_norm(ex: Exercise, rng: Random):
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    pre = silenced(filled(ex.Encoder(3, **SIZES, norm_first=True), rng, dtype=torch.float64), "out_proj", "down")
    post = filled(ex.Encoder(3, **SIZES), rng, dtype=torch.float64)
    return {
        "x": x,
        "pre": pre(x),
        "norm": None if pre.norm is None else {"weight": pre.norm.weight, "bias": pre.norm.bias},
        "post": post(x),
        "last layer": post.layers[2](post.layers[1](post.layers[0](x))),
        "no norm": post.norm is None,
    }


@test_final_norm.explain
def _(got, want):
    if not got["no norm"]:
        yield "a post-norm stack has a `norm`, although each of its layers ends with one: expected None."
    elif not close(got["post"], got["last layer"], 1e-9):
        yield "a post-norm stack returns something else than its last layer. Is there one norm too many?"
    if close(got["pre"], got["x"], 1e-9):
        yield "in pre-norm the stack returns the bare stream: the final norm is missing."
    out = got["x"]
    for times in range(1, 5):
        out = layer_norm(out, **(got["norm"] or want["norm"]))
        if times > 1 and close(got["pre"], out, 1e-9):
            where = " Does it stand inside the loop?" if times == 3 else ""
            yield f"a pre-norm stack of 3 layers applies its final norm {times} times.{where}"
    if got["norm"] is None:
        yield "a pre-norm stack has no `norm`."
    if not close(got["pre"], want["pre"], 1e-9):
        yield "in pre-norm, layers whose sublayers write nothing and one norm at the end do not give norm(x)."


@check("gradients reach the input and every parameter", points=1, after=test_chain)
def test_gradients(ex: Exercise, rng: Random):
    encoder = filled(ex.Encoder(2, **SIZES, norm_first=True), rng, dtype=torch.float64)
    batch, length = rng.sizes(2, 5, 9)
    x = rng.tensor(batch, length, 12, dtype=torch.float64, grad=True)
    wanted = {name: encoder.get_parameter(name) for name in (*names(2), "norm.weight", "norm.bias")}
    return gradients(encoder(x, rng.mask(batch, 1, length, length)), {"x": x} | wanted, rng)


@check(
    "without positions there is no order: the same tokens in another order give the same vectors", compare="structure"
)
def test_permutation(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    encoder = filled(ex.Encoder(2, **SIZES), rng, dtype=torch.float64)
    x, order = rng.tensor(batch, length, 12, dtype=torch.float64), rng.numpy.permutation(length)
    return {"order": order, "out": encoder(x), "reordered": encoder(x[:, order])}


@test_permutation.explain
def _(got, want):
    if not close(got["out"][:, got["order"]], got["reordered"], 1e-9):
        yield (
            "tokens in another order come out as other vectors, although no mask was given and nothing told the "
            "encoder where they stand. Does it hide or add something by itself?"
        )


@check("dropout reaches the attention, the feed-forward network and both frames of every layer", compare="structure")
def test_dropout_everywhere(ex: Exercise, rng: Random):
    encoder = filled(ex.Encoder(2, **SIZES, dropout=0.4), rng, dtype=torch.float64)
    x = rng.tensor(*rng.sizes(2, 5, 9), 12, dtype=torch.float64)
    seen = {}
    for i, layer in enumerate(encoder.layers):
        for part in (*SUBLAYERS, *SUBLAYERS.values()):
            encoder.eval()
            getattr(layer, part).train()  # this part alone
            seen[f"layers.{i}.{part}"] = [encoder(x), encoder(x)]
    return seen


@test_dropout_everywhere.explain
def _(got, want):
    for part, (first, second) in got.items():
        if close(first, second, 1e-9):
            yield (
                f"with `dropout=0.4` and `{part}` alone in training mode, the same input gives the same output twice: "
                "this part drops nothing. Who passes `dropout` on to it?"
            )


@check("the frames drop as large a share as they were told", points=1, compare="structure")
def test_dropout_share(ex: Exercise, rng: Random):
    layer = ex.EncoderLayer(**SIZES, dropout=0.25, norm_first=True).double().train()
    x = rng.tensor(300, 12, dtype=torch.float64)
    return {"x": x} | {frame: getattr(layer, frame)(x, torch.ones_like) for frame in SUBLAYERS.values()}


@test_dropout_share.explain
def _(got, want):
    for frame in SUBLAYERS.values():
        share = np.mean(np.abs(got[frame] - got["x"]) < 1e-9)
        if abs(share - 0.25) > 0.05:
            yield f"with `dropout=0.25`, `{frame}` drops a share of {share:.2f}."


@check(
    "in evaluation mode nothing is dropped, and the same input gives the same output",
    points=1,
    after=test_arguments_unchanged,
)
def test_evaluation(ex: Exercise, rng: Random):
    encoder = filled(ex.Encoder(2, **SIZES, dropout=0.5), rng).eval()
    x = rng.tensor(*rng.sizes(2, 5, 9), 12)
    return {"first": encoder(x), "second": encoder(x)}


@test_evaluation.explain
def _(got, want):
    if not close(got["first"], got["second"]):
        yield "in evaluation mode the same input gives two outputs. Which dropout does not know of the mode?"


@check("one sequence, one position, huge and tiny inputs, nothing to attend to", points=1, after=test_post_norm)
def test_extremes(ex: Exercise, rng: Random):
    seen = {}
    for order, first in {"post-norm": False, "pre-norm": True}.items():
        encoder = filled(ex.Encoder(2, **SIZES, norm_first=first), rng, dtype=torch.float64)
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


@check("float64 stays float64, bfloat16 stays bfloat16", points=1, tolerance=5e-2, after=test_post_norm)
def test_dtypes(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    seen = {}
    for dtype in (torch.float64, torch.bfloat16):
        encoder = filled(ex.Encoder(1, **SIZES, norm_first=True), rng, dtype=dtype)
        seen[str(dtype)] = encoder(rng.tensor(batch, length, 12, dtype=dtype), rng.mask(batch, 1, 1, length))
    return seen


@check("it runs on the device of its inputs", points=1)
def test_device(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, 5, 9)
    x = torch.empty(batch, length, 12, device="meta")
    mask = torch.ones(batch, 1, 1, length, dtype=torch.bool, device="meta")
    return [ex.Encoder(2, **SIZES, norm_first=first).to("meta")(x, mask) for first in (False, True)]


@check("a width that the heads do not divide and an impossible dropout are refused", points=1)
def test_wrong_arguments(ex: Exercise, rng: Random):
    heads = rng.integers(3, 7)
    d_model = heads * rng.integers(2, 6) + rng.integers(1, heads)
    return {
        "layer": raised(lambda: ex.EncoderLayer(d_model, heads, 10), mentions=["d_model", d_model]),
        "stack": raised(lambda: ex.Encoder(2, d_model, heads, 10), mentions=["d_model", d_model]),
        "dropout": raised(lambda: ex.EncoderLayer(**SIZES, dropout=1.5), mentions=["dropout", 1.5]),
    }


### END HIDDEN TESTS
