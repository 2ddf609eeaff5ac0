"""What the decoder must do: the checks of exercise 11."""

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

SIZES = {"d_model": 12, "n_heads": 4, "d_ff": 10}  # heads of width 3; batch and both lengths are drawn from 5 to 9
ALL = 1 - 1e-12  # a dropout that drops everything, and divides by something
SUBLAYERS = {  # each in its frame
    "self_attention": "attention_residual",
    "cross_attention": "cross_residual",
    "feed_forward": "feed_forward_residual",
}
ATTENTIONS = ("self_attention", "cross_attention")
LINEARS = [f"{attention}.{name}_proj" for attention in ATTENTIONS for name in ("q", "k", "v", "out")]
LINEARS += ["feed_forward.up", "feed_forward.down"]
NORMS = [f"{frame}.norm" for frame in SUBLAYERS.values()]
SHAPE = "batch target width"


def names(n_layers: int) -> list[str]:
    """The parameters of that many layers by the contract."""
    layer = [f"{part}.{kind}" for part in (*LINEARS, *NORMS) for kind in ("weight", "bias")]
    return [f"layers.{i}.{name}" for i in range(n_layers) for name in layer]


def streams(rng: Random, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """A target (B, T, D) and a memory (B, S, D) of another length."""
    batch, target, source = rng.sizes(3, 5, 9)
    return rng.tensor(batch, target, 12, **options), rng.tensor(batch, source, 12, **options)


def masks(rng: Random, x: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A causal mask (T, T) and a padding mask (B, 1, 1, S) in which every sequence is cut short."""
    batch, target, source = *x.shape[:2], memory.size(1)
    lengths = torch.from_numpy(rng.integers(2, source, batch))
    padding = torch.arange(source) < lengths[:, None]
    return torch.ones(target, target, dtype=torch.bool).tril(), padding[:, None, None, :]


def attentions(layer, x: torch.Tensor) -> list[dict[str, object]]:
    """Make both attentions write down what they are asked, and answer x: nothing can fail for its shape."""

    def attention(query, key=None, value=None, mask=None, return_weights=False):
        return (x, x) if return_weights else x

    return overheard({name: getattr(layer, name) for name in ATTENTIONS}, attention)


def sides(call) -> dict[str, object]:
    """What queries, keys and values are made from, by the defaults of the attention."""
    key = call["query"] if call["key"] is None else call["key"]
    return {"query": call["query"], "key": key, "value": key if call["value"] is None else call["value"]}


def same(got, want) -> bool:
    """Whether two arrays hold the same, however they are broadcast."""
    try:
        return got is not None and bool(np.all(np.abs(np.subtract(got, want, dtype=float)) < 1e-9))
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
    "a layer has three sublayers and three frames, with these parameters, none of them twice",
    compare="nothing",
    free=("found.+", "numbers.+"),
)
def test_parameters(ex: Exercise, rng: Random):
    return inventory(filled(ex.DecoderLayer(**SIZES), rng))


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
    "look back, look across, think, in this order, each in the frame that is named after it",
    points=1,
    compare="nothing",
    after=test_parameters,
)
def test_order(ex: Exercise, rng: Random):
    layer = filled(ex.DecoderLayer(**SIZES), rng)
    x, memory = (rng.tensor(5, 7, 12) for _ in range(2))  # of one length, so that whoever is asked can answer
    calls = nested({part: getattr(layer, part) for part in (*SUBLAYERS, *SUBLAYERS.values())})
    layer(x.clone(), memory.clone())
    return {"calls": list(calls), "alone": {name: getattr(layer, name)(x, memory) for name in ATTENTIONS}}


@test_order.explain
def _(got, want):
    called, expected = [call["name"] for call in got["calls"] if call["name"] in SUBLAYERS], list(SUBLAYERS)
    if called != expected:
        order = ", then ".join(f"`{name}`" for name in called) or "none of the three"
        yield f"your layer calls {order}; expected {', then '.join(f'`{name}`' for name in expected)}."
    for call in got["calls"]:
        name, frame = call["name"], call["inside"]
        if name in SUBLAYERS and frame and frame != SUBLAYERS[name]:
            yield (
                f"`{name}` runs in `{frame}`, which is the frame of another sublayer; its own is "
                f"`{SUBLAYERS[name]}`. Each norm learns the scale that suits its own sublayer."
            )
    frames = [call["name"] for call in got["calls"] if call["name"] not in SUBLAYERS]
    if frames != list(SUBLAYERS.values()) and set(frames) == set(SUBLAYERS.values()):
        yield f"your layer calls its frames in the order {', '.join(frames)}; expected {', '.join(SUBLAYERS.values())}."
    for name in ATTENTIONS:
        if not close(got["alone"][name], want["alone"][name], 1e-4):
            yield f"`{name}`, called by itself, gives something other than a `MultiHeadAttention` with biases."


@check(
    "post-norm unless told otherwise; norm_first=True makes all three frames pre-norm",
    after=test_order,
)
def test_norm_first(ex: Exercise, rng: Random):
    x, _ = streams(rng, dtype=torch.float64)
    layers = {"post-norm": ex.DecoderLayer(**SIZES), "pre-norm": ex.DecoderLayer(**SIZES, norm_first=True)}
    return {"seen": {order: frames_alone(filled(layer, rng).double(), x) for order, layer in layers.items()}}


test_norm_first.explain(misplaced_norms)


@check(
    "the target asks, the memory answers: queries from one, keys and values from the other",
    points=1,
    compare="nothing",
    free=("heard*.key", "heard*.value", "heard*.mask"),
    exact=("x", "memory"),
    after=test_norm_first,
)
def test_sides(ex: Exercise, rng: Random):
    layer = filled(ex.DecoderLayer(**SIZES, norm_first=True), rng, dtype=torch.float64)
    x, memory = streams(rng, dtype=torch.float64)
    heard = attentions(layer, x)
    layer(x, memory)
    return {"x": x, "memory": memory, "memory, normed": layer.cross_residual.norm(memory), "heard": heard}


@test_sides.explain
def _(got, want):
    memory = want["memory"]
    order = [call["name"] for call in got["heard"]]
    if order != list(ATTENTIONS):
        yield f"your layer calls its attentions in the order {', '.join(order)}; expected {', '.join(ATTENTIONS)}."
    for call, expected in zip(got["heard"], want["heard"], strict=True):
        name, target, given = expected["name"], expected["query"], sides(call)
        asked = target if name == "self_attention" else memory
        for part, right in {"query": target, "key": asked, "value": asked}.items():
            if same(given[part], right):
                continue
            plural = {"query": "queries", "key": "keys", "value": "values"}[part]
            if same(given[part], memory):
                role = "asks" if part == "query" else "looks at itself here"
                yield f"`{name}` makes its {plural} from the memory; the target {role}, so they come from the target."
            elif same(given[part], want["memory, normed"]):
                yield f"`{name}` gets a memory that was normalized once more. Use it as the encoder has returned it."
            elif part != "query" and right is memory and (same(given[part], target) or same(given[part], want["x"])):
                yield (
                    f"`{name}` makes its {plural} from the target, so it can't learn from them what the source says: "
                    "they come from the memory. What does `MultiHeadAttention` do without a `key`?"
                )
            else:
                added = "" if name == "self_attention" else ", to which the self-attention has added"
                side = "the memory as it is" if right is memory else f"the norm of the target's stream{added}"
                yield f"`{name}` makes its {plural} from something other than {side}."


@check(
    "each attention gets its own mask, and none that was not given",
    points=1,
    compare="nothing",
    free=("with*.key", "with*.value", "with*.mask"),
    after=test_sides,
)
def test_masks(ex: Exercise, rng: Random):
    layer = filled(ex.DecoderLayer(**SIZES), rng, dtype=torch.float64)
    x, memory = streams(rng, dtype=torch.float64)
    self_mask, memory_mask = masks(rng, x, memory)
    heard = attentions(layer, x)
    layer(x, memory, self_mask, memory_mask)
    layer(x, memory)
    return {"self_mask": self_mask, "memory_mask": memory_mask, "with": heard[:2], "without": heard[2:]}


@test_masks.explain
def _(got, want):
    given = {"self_attention": "self_mask", "cross_attention": "memory_mask"}
    order = [call["name"] for call in (*got["with"], *got["without"])]
    if order != 2 * list(ATTENTIONS):
        yield f"in two calls, your layer calls its attentions in the order {', '.join(order)}; expected each in turn."
    for call, expected in zip(got["with"], want["with"], strict=True):
        name, mask = expected["name"], call["mask"]
        right, wrong = given[name], next(mask for key, mask in given.items() if key != name)
        consequence = {
            "self_attention": "each position of the target looks ahead at the words that it is to predict",
            "cross_attention": "the target reads the padding of the source",
        }[name]
        if mask is None:
            yield f"`{name}` gets no mask although `{right}` was given: {consequence}."
        elif same(mask, ~want[right]):
            yield f"`{name}` gets `{right}` the wrong way round: True means `may attend`."
        elif same(mask, want[wrong]):
            yield f"`{name}` gets `{wrong}`, which belongs to the other attention: {consequence}."
        elif not same(mask, want[right]):
            yield f"the mask that `{name}` gets hides something other than `{right}` does."
        elif not same(call["query"], expected["query"]):
            yield f"with masks, the queries of `{name}` are not made from the target's stream as it should be there."
    for call, expected in zip(got["without"], want["without"], strict=True):
        if call["mask"] is not None and not np.all(call["mask"]):
            yield f"no mask was given, and `{expected['name']}` hides something: a causal mask is the caller's to give."


@check("the activation of the feed-forward network is relu", points=1, tolerance=1e-6, after=test_masks)
def test_relu(ex: Exercise, rng: Random):
    layer = silenced(ex.DecoderLayer(12, 4, 12, norm_first=True).double(), "out_proj", "up", "down")
    with torch.no_grad():  # nothing but the bend: up and down hand on what they get
        layer.feed_forward.up.weight.copy_(torch.eye(12))
        layer.feed_forward.down.weight.copy_(torch.eye(12))
    x, memory = streams(rng, dtype=torch.float64)
    return {"x": x, "out": layer(x, memory)}


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
    elif close(got["out"] - np.maximum(hidden, 0.0), 8 * want["x"], 1e-2):
        yield "what came in stands eight times in what comes out: do the frames add it, and you once more?"
    elif not close(bent, np.maximum(hidden, 0.0), 1e-6):
        yield "with nothing between `up` and `down` but the activation, a layer does not add relu(norm(x)) to x."


@check("post-norm: a layer's output for given weights", points=1, axes={"": SHAPE}, after=test_relu)
def test_post_norm(ex: Exercise, rng: Random):
    x, memory = streams(rng)
    return filled(ex.DecoderLayer(**SIZES), rng)(x, memory, *masks(rng, x, memory))


@check("with a causal mask no position depends on what comes after it", points=1, after=test_post_norm)
def test_causality(ex: Exercise, rng: Random):
    layer = filled(ex.DecoderLayer(**SIZES), rng, dtype=torch.float64)
    x, memory = streams(rng, dtype=torch.float64)
    causal, _ = masks(rng, x, memory)
    cut = x.size(1) - 2
    other = rng.tensor(*x.shape, dtype=torch.float64)
    return {
        "cut": cut,
        "as it is": layer(x.clone(), memory.clone(), causal),
        "end replaced": layer(torch.cat([x[:, :cut], other[:, cut:]], dim=1), memory, causal),
        "start replaced": layer(torch.cat([other[:, :1], x[:, 1:]], dim=1), memory, causal),
    }


@test_causality.explain
def _(got, want):
    cut, before = want["cut"], got["as it is"]
    moved = np.abs(before - got["end replaced"]).max((0, 2))[:cut]
    reads_past = not close(before[:, 1], got["start replaced"][:, 1], 1e-9)
    if moved.max() > 1e-9 and not reads_past:
        yield (
            f"position {int(moved.argmax())} changes with what comes after it, and position 1 takes no notice of "
            "position 0: the causal mask works the wrong way round. True means `may attend`."
        )
    elif moved.max() > 1e-9:
        yield (
            f"the decoder looks ahead: its output at position {int(moved.argmax())} changes when only positions from "
            f"{cut} on are replaced. Does `self_mask` reach the self-attention?"
        )
    elif not reads_past:
        yield "position 1 does not change when position 0 is replaced, which it may attend to: what do you hide?"


@check("every layer of a stack has parameters of its own", points=1, compare="nothing", free=("layer.+", "numbers.+"))
def test_own_parameters(ex: Exercise, rng: Random):
    found = inventory(filled(ex.Decoder(3, **SIZES), rng))
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
    "each layer gets what the one before returned, and all of them the same memory and masks",
    points=1,
    compare="nothing",
    after=test_own_parameters,
)
def test_chain(ex: Exercise, rng: Random):
    decoder = ex.Decoder(3, **SIZES)
    x, memory = streams(rng)
    self_mask, memory_mask = masks(rng, x, memory)

    def one_more(x, memory, self_mask=None, memory_mask=None):
        return x + 1

    heard = overheard(dict(decoder.layers.named_children()), one_more)
    decoder(x, memory, self_mask, memory_mask)
    given = {"memory": memory, "self_mask": self_mask, "memory_mask": memory_mask}
    return {"x": x, "given": given, "heard": heard}


@test_chain.explain
def _(got, want):
    order = [call["name"] for call in got["heard"]]
    if order != ["0", "1", "2"]:
        yield f"a stack of 3 layers calls its layers {', '.join(order) or 'not at all'}; expected 0, 1, 2."
    for i, call in enumerate(got["heard"]):
        if not close(call["x"], want["x"] + i):  # each layer added one
            again = ", but the input of the stack again" if i and same(call["x"], want["x"]) else ""
            yield f"layer {i} does not get {f'what layer {i - 1} returned' if i else 'the input of the stack'}{again}."
        for name, right in want["given"].items():
            found = call[name]
            if found is None:
                yield f"the stack was given a `{name}`, and layer {i} gets none."
            elif same(found, right):
                continue
            elif name == "memory":
                stream = ", but the target's stream" if same(found, call["x"]) or same(found, want["x"]) else ""
                yield f"layer {i} does not get the memory as the encoder returned it{stream}."
            elif same(found, ~right):
                yield f"layer {i} gets `{name}` the wrong way round: True means `may attend`."
            else:
                other = next(one for one in ("self_mask", "memory_mask") if one != name)
                swapped = f", but `{other}`" if same(found, want["given"][other]) else ""
                yield f"layer {i} does not get the `{name}` that the stack was given{swapped}."


@check(
    "a stack of layers, the published way: no norm after the last one",
    points=1,
    axes={"out": SHAPE},
    after=test_chain,
)
def test_decoder(ex: Exercise, rng: Random):
    decoder = filled(ex.Decoder(3, **SIZES), rng)
    x, memory = streams(rng)
    return {
        "layers": len(decoder.layers),
        "no norm": decoder.norm is None,
        "out": decoder(x, memory, *masks(rng, x, memory)),
    }


@test_decoder.explain
def _(got, want):
    if not got["no norm"]:
        yield "a post-norm stack has a `norm`, although each of its layers ends with one: expected None."


### BEGIN HIDDEN TESTS
@check("no argument is changed in place", points=1, after=test_decoder)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    x, memory = streams(rng)
    self_mask, memory_mask = masks(rng, x, memory)
    given = {"x": x, "memory": memory, "self_mask": self_mask, "memory_mask": memory_mask}
    out = [filled(each, rng)(**given) for each in (ex.DecoderLayer(**SIZES), ex.Decoder(2, **SIZES))]
    for each in (ex.DecoderLayer(**SIZES, norm_first=True), ex.Decoder(2, **SIZES, norm_first=True)):
        filled(each, rng)(**given)
    return {"given": given, "post-norm": out}


@test_arguments_unchanged.explain
def _(got, want):
    for name, before in want["given"].items():
        if not np.array_equal(got["given"][name], before):
            yield f"`{name}` holds something else after the call: is there an `+=`, or a method that ends in `_`?"


@check("pre-norm: a layer's output for given weights", points=1, axes={"": SHAPE}, after=test_relu)
def test_pre_norm(ex: Exercise, rng: Random):
    x, memory = streams(rng)
    return filled(ex.DecoderLayer(**SIZES, norm_first=True), rng)(x, memory, *masks(rng, x, memory))


@check("the padding of the source is not read, and its words are", points=1, after=test_post_norm)
def test_source_padding(ex: Exercise, rng: Random):
    layer = filled(ex.DecoderLayer(**SIZES), rng, dtype=torch.float64)
    x, memory = streams(rng, dtype=torch.float64)
    causal, padding = masks(rng, x, memory)
    other = rng.tensor(*memory.shape, dtype=torch.float64)
    real = padding.reshape(memory.shape[:2])[..., None]
    return {
        "as it is": layer(x, memory, causal, padding),
        "padding replaced": layer(x, torch.where(real, memory, other), causal, padding),
        "words replaced": layer(x, torch.where(real, other, memory), causal, padding),
    }


@test_source_padding.explain
def _(got, want):
    before = got["as it is"]
    reads_padding = not close(before, got["padding replaced"], 1e-9)
    reads_words = not close(before, got["words replaced"], 1e-9)
    if reads_padding and not reads_words:
        yield (
            "the output changes with the padding of the memory, and not with its words: the padding mask works the "
            "wrong way round. True means `may attend`."
        )
    elif reads_padding:
        yield "the output changes when only the padding of the memory is replaced. Does `memory_mask` reach it?"
    elif not reads_words:
        yield "the output does not change when all words of the memory are replaced: who reads it?"


@check(
    "the memory is a set: its vectors in another order, with their mask, say the same",
    points=1,
    after=test_post_norm,
)
def test_memory_order(ex: Exercise, rng: Random):
    layer = filled(ex.DecoderLayer(**SIZES), rng, dtype=torch.float64)
    batch = rng.integers(5, 9)
    # both are 9 long, so that keys from the wrong side do not crash but are seen
    x, memory = (rng.tensor(batch, 9, 12, dtype=torch.float64) for _ in range(2))
    _, padding = masks(rng, x, memory)
    order = rng.numpy.permutation(9)
    return {
        "as it is": layer(x, memory, None, padding),
        "reordered": layer(x, memory[:, order], None, padding[..., order]),
    }


@test_memory_order.explain
def _(got, want):
    if not close(got["as it is"], got["reordered"], 1e-9):
        yield (
            "the output depends on the order in which the memory's vectors stand. Each key must belong to its value: "
            "do both come from the memory?"
        )


@check("without a mask the target has no order either", points=1, after=test_decoder)
def test_target_order(ex: Exercise, rng: Random):
    decoder = filled(ex.Decoder(2, **SIZES), rng, dtype=torch.float64)
    x, memory = streams(rng, dtype=torch.float64)
    order = rng.numpy.permutation(x.size(1))
    return {"order": order, "out": decoder(x.clone(), memory), "reordered": decoder(x[:, order], memory)}


@test_target_order.explain
def _(got, want):
    if not close(got["out"][:, want["order"]], got["reordered"], 1e-9):
        yield (
            "words in another order come out as other vectors, although no mask was given. Does the decoder hide "
            "the future by itself? That is the caller's work."
        )


@check("a stack has a norm of its own in pre-norm, and none in post-norm", points=1)
def test_norm_of_the_stack(ex: Exercise, rng: Random):
    post, pre = (ex.Decoder(2, **SIZES, norm_first=first).norm for first in (False, True))
    return {"norm is None in post-norm": post is None, "pre-norm": None if pre is None else [pre.weight, pre.bias]}


@check("every layer of a stack follows norm_first", points=1, after=test_chain)
def test_stack_norm_first(ex: Exercise, rng: Random):
    x, _ = streams(rng, dtype=torch.float64)
    stacks = {"post-norm": ex.Decoder(2, **SIZES), "pre-norm": ex.Decoder(2, **SIZES, norm_first=True)}
    return {"seen": {name: frames_alone(filled(each, rng).double().layers[1], x) for name, each in stacks.items()}}


test_stack_norm_first.explain(misplaced_norms)


@check(
    "the final norm: once at the end of a pre-norm stack, not at all in post-norm",
    points=1,
    tolerance=1e-6,
    after=test_stack_norm_first,
)
def test_final_norm(ex: Exercise, rng: Random):
    x, memory = streams(rng, dtype=torch.float64)
    pre = silenced(filled(ex.Decoder(3, **SIZES, norm_first=True), rng, dtype=torch.float64), "out_proj", "down")
    post = filled(ex.Decoder(3, **SIZES), rng, dtype=torch.float64)
    last = x.clone()
    for layer in post.layers:
        last = layer(last, memory)
    weight, bias = rng.tensor(12, dtype=torch.float64), rng.tensor(12, dtype=torch.float64)
    if pre.norm is not None:
        with torch.no_grad():
            pre.norm.weight.copy_(weight)
            pre.norm.bias.copy_(bias)
    return {
        "x": x,
        "norm": {"weight": weight, "bias": bias},
        "pre": pre(x.clone(), memory),
        "pre, no norm": pre.norm is None,
        "post": post(x.clone(), memory),
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


@check("gradients reach the target, the memory and every parameter", points=1, tolerance=1e-4, after=test_chain)
def test_gradients(ex: Exercise, rng: Random):
    decoder = filled(ex.Decoder(2, **SIZES, norm_first=True), rng, dtype=torch.float64)
    x, memory = streams(rng, dtype=torch.float64, grad=True)
    wanted = {name: decoder.get_parameter(name) for name in (*names(2), "norm.weight", "norm.bias")}
    out = decoder(x, memory, *masks(rng, x, memory))
    found = gradients(out, {"x": x, "memory": memory} | wanted, rng)
    return {name: noiseless(name, gradient) for name, gradient in found.items()}


def noiseless(name: str, gradient: torch.Tensor | None):
    """A bias of the keys adds the same to all scores of a query: its gradient is 0, up to rounding."""
    noisy = name.endswith("k_proj.bias") and gradient is not None
    return gradient.masked_fill(gradient.abs() < 1e-5, 0.0) if noisy else gradient


class Single(nn.Module):
    """A stack of one layer, without a norm at its end."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList([layer])

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.layers[0](*inputs)


@check("dropout acts in all six parts of a layer, and nowhere else", after=test_post_norm)
def test_dropout_of_a_layer(ex: Exercise, rng: Random):
    x, memory = streams(rng, dtype=torch.float64)
    seen = {}
    for order, first in {"post-norm": False, "pre-norm": True}.items():
        layer = ex.DecoderLayer(**SIZES, dropout=ALL, norm_first=first)
        seen[order] = dropping_all(filled(Single(layer), rng, dtype=torch.float64), x, memory)
    return seen


test_dropout_of_a_layer.explain(judge_dropping)


@check("dropout acts in all six parts of every layer, and nowhere else", after=test_decoder)
def test_dropout_everywhere(ex: Exercise, rng: Random):
    x, memory = streams(rng, dtype=torch.float64)
    seen = {}
    for order, first in {"post-norm": False, "pre-norm": True}.items():
        decoder = filled(ex.Decoder(2, **SIZES, dropout=ALL, norm_first=first), rng, dtype=torch.float64)
        seen[order] = dropping_all(decoder, x, memory)
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
    layer = ex.DecoderLayer(**SIZES, dropout=0.25, norm_first=True).double().train()
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
    decoder, plain = (filled(ex.Decoder(2, **SIZES, dropout=rate), rng).eval() for rate in (0.5, 0.0))
    stacks = {"first": decoder, "second": decoder, "without dropout": plain}
    x, memory = streams(rng)
    return {name: stack(x.clone(), memory) for name, stack in stacks.items()}


@test_evaluation.explain
def _(got, want):
    if not close(got["first"], got["second"]):
        yield "in evaluation mode the same input gives two outputs. Which dropout does not know of the mode?"
    elif not close(got["first"], got["without dropout"]):
        yield "in evaluation mode a stack with `dropout=0.5` gives something other than one without dropout."


@check(
    "one sequence, one word on either side, huge and tiny inputs, nothing to attend to", points=1, after=test_post_norm
)
def test_extremes(ex: Exercise, rng: Random):
    seen = {}
    for order, first in {"post-norm": False, "pre-norm": True}.items():
        decoder = filled(ex.Decoder(2, **SIZES, norm_first=first), rng, dtype=torch.float64)
        target, source = rng.sizes(2, 5, 9)
        x, memory = (rng.tensor(1, length, 12, dtype=torch.float64) for length in (target, source))
        seen[order] = {
            "one sequence": decoder(x, memory),
            "one word of the target": decoder(x[:, :1], memory),
            "one word of the source": decoder(x, memory[:, :1]),
            "huge": decoder(1e6 * x, 1e6 * memory),
            "tiny": decoder(1e-6 * x, 1e-6 * memory),
            "nothing to attend to": decoder(x, memory, None, torch.zeros(1, 1, 1, source, dtype=torch.bool)),
        }
    return seen


@check("the output has the dtype of the input: float64 or bfloat16", points=1, compare="structure", after=test_pre_norm)
def test_dtypes(ex: Exercise, rng: Random):
    layer = filled(ex.DecoderLayer(**SIZES, norm_first=True), rng, dtype=torch.bfloat16)
    x, memory = streams(rng, dtype=torch.bfloat16)
    hidden = masks(rng, x, memory)
    rough = layer(x, memory, *hidden)
    return {"bfloat16": rough, "float64": layer.double()(x.double(), memory.double(), *hidden)}


@test_dtypes.explain
def _(got, want):
    exact = want["float64"]
    if not close(got["float64"], exact, 1e-4):
        yield "in float64 the output is not what it should be."
    elif np.sqrt(np.mean((got["bfloat16"] - exact) ** 2)) > 0.1 * np.sqrt(np.mean(exact**2)):
        yield "in bfloat16 the output is further from that in float64 than rounding explains."


@check("the output is on the device of the inputs", points=1, after=test_final_norm)
def test_device(ex: Exercise, rng: Random):
    x, memory = streams(rng)
    given = [x, memory, *masks(rng, x, memory)]
    seen: dict[str, Any] = {}
    for order, first in {"post-norm": False, "pre-norm": True}.items():
        decoder = filled(ex.Decoder(2, **SIZES, norm_first=first), rng)
        seen[order] = decoder(*given)
        seen[f"{order}, moved"] = on_meta(lambda to, decoder=decoder: decoder.to(to)(*(each.to(to) for each in given)))
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
        "layer": raised(lambda: ex.DecoderLayer(d_model, heads, 10), mentions=[d_model]),
        "stack": raised(lambda: ex.Decoder(2, d_model, heads, 10), mentions=[d_model]),
        "dropout": raised(lambda: ex.DecoderLayer(**SIZES, dropout=1.5), mentions=[1.5]),
        "all in order": raised(lambda: ex.DecoderLayer(**SIZES, dropout=1.0)),
    }


### END HIDDEN TESTS
