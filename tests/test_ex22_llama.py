"""What a Llama must do: the checks of exercise 22.

The angles of rotary positions may be computed in float32 or in float64: tolerances leave room for both.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, filled, not_normal, on_meta, raised, repeated, silenced

SMALL = {
    "vocab_size": 11,
    "context_length": 9,
    "d_model": 16,
    "n_heads": 4,
    "n_kv_heads": 2,
    "n_layers": 2,
    "d_ff": 10,
}
PUBLISHED = {
    "input_layernorm": "attention_norm",
    "self_attn.q_proj": "attention.q_proj",
    "self_attn.k_proj": "attention.k_proj",
    "self_attn.v_proj": "attention.v_proj",
    "self_attn.o_proj": "attention.out_proj",
    "post_attention_layernorm": "feed_forward_norm",
    "mlp.gate_proj": "feed_forward.gate",
    "mlp.up_proj": "feed_forward.up",
    "mlp.down_proj": "feed_forward.down",
}


def small(ex: Exercise, rng: Random, **options):
    """A small Llama with given weights, in float64."""
    return filled(ex.Llama(ex.LlamaConfig(**(SMALL | options))), rng, dtype=torch.float64)


def small_block(ex: Exercise, rng: Random, **options):
    """A small block with given weights, in float64."""
    return filled(ex.LlamaBlock(ex.LlamaConfig(**(SMALL | options))), rng, dtype=torch.float64)


def empty_cache(ex: Exercise):
    return ex.of("ex17_kv_cache").KVCache()


def weight_names(n_layers: int, tied: bool = True) -> list[str]:
    """The parameters that a Llama of so many layers has by the contract, a tied one once."""
    names = ["token_embedding.weight", "final_norm.weight", *([] if tied else ["lm_head.weight"])]
    return names + [f"blocks.{i}.{part}.weight" for i in range(n_layers) for part in PUBLISHED.values()]


def published(name: str) -> str:
    """What a parameter of a Llama is called on model hubs."""
    outside = {"token_embedding": "model.embed_tokens", "final_norm": "model.norm", "lm_head": "lm_head"}
    part = name.removesuffix(".weight")
    if part in outside:
        return f"{outside[part]}.weight"
    _, i, inside = part.split(".", 2)
    (theirs,) = (one for one, other in PUBLISHED.items() if other == inside)
    return f"model.layers.{i}.{theirs}.weight"


def checkpoint(model, rng: Random, n_layers: int, tied: bool = True) -> dict[str, torch.Tensor]:
    """A made-up checkpoint that fits the model, in the published names, in float64."""
    shapes = {published(name): model.get_parameter(name).shape for name in weight_names(n_layers, tied)}
    return {name: rng.tensor(*shape, dtype=torch.float64) for name, shape in shapes.items()}


@check("a block whose sublayers write nothing hands the stream on as it came", points=1)
def test_silent_block(ex: Exercise, rng: Random):
    block = silenced(small_block(ex, rng), "out_proj", "down")
    x = rng.tensor(2, 5, 16, dtype=torch.float64)
    return {"x": x, "out": block(x)}


@test_silent_block.explain
def _(got, want):
    if not close(got["out"], want["x"], 1e-9):
        yield (
            "with `out_proj` and `down` at zero both sublayers add nothing, and still the output is not the input. "
            "Does a norm stand on the stream, or on the way to a sublayer?"
        )


@check(
    "a block adds attention and then the feed-forward network to the stream",
    points=1,
    tolerance=1e-4,
    axes={"": "batch position width"},
)
def test_block(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, low=4)
    return small_block(ex, rng)(rng.tensor(batch, length, 16, dtype=torch.float64))


@check("a tied head is the token table, an untied one a parameter of its own; neither has a bias", points=1)
def test_head(ex: Exercise, rng: Random):
    tied, untied = small(ex, rng), small(ex, rng, tied=False)
    return {
        "tied: one": tied.lm_head.weight is tied.token_embedding.weight,
        "untied: one": untied.lm_head.weight is untied.token_embedding.weight,
        "untied: one memory": untied.lm_head.weight.data_ptr() == untied.token_embedding.weight.data_ptr(),
        "no bias": [tied.lm_head.bias is None, untied.lm_head.bias is None],
        "head": untied.lm_head.weight,
    }


@test_head.explain
def _(got, want):
    if not got["tied: one"]:
        yield "with tied=True `lm_head.weight` and `token_embedding.weight` are two parameters."
    elif got["untied: one"]:
        yield "with tied=False `lm_head.weight` is the token table all the same."


@check(
    "given weights and ids give these logits, and the config is kept",
    points=2,
    tolerance=1e-4,
    axes={"logits": "batch position vocabulary"},
)
def test_logits(ex: Exercise, rng: Random):
    model = small(ex, rng)
    logits, loss = model(rng.ids(11, 3, 7))
    kept = {name: getattr(model.config, name) for name in (*SMALL, "rope_base", "norm_eps", "tied")}
    return {"logits": logits, "loss": loss, "config": kept}


@check(
    "the loss is the mean cross-entropy of logits and targets, position by position",
    points=1,
    tolerance=1e-4,
    after=test_logits,
)
def test_loss(ex: Exercise, rng: Random):
    targets = rng.ids(11, 4, 6)
    logits, loss = small(ex, rng)(rng.ids(11, 4, 6), targets)
    return {"logits": logits, "loss": loss, "targets": targets}


@test_loss.explain
def _(got, want):
    targets = want["targets"][..., None]
    surprise = np.log(np.exp(got["logits"]).sum(-1, keepdims=True)) - got["logits"]  # -log softmax
    right = np.take_along_axis(surprise, targets, -1)
    shifted = np.take_along_axis(surprise[:, :-1], targets[:, 1:], -1)
    if close(got["loss"], shifted.mean()):
        yield "the loss compares logits at t with the target at t + 1. Who shifts the targets: caller or model?"
    elif close(got["loss"], right.sum()):
        yield f"the loss is the sum over all {right.size} targets: how does it change with the size of the batch?"


@check(
    "with a cache, tokens that come in pieces get the logits that they get at once",
    points=2,
    tolerance=1e-4,
    axes={"logits": "batch position vocabulary"},
    after=test_logits,
)
def test_cache(ex: Exercise, rng: Random):
    model, cache, ids = small(ex, rng), empty_cache(ex), rng.ids(11, 2, 8)
    with torch.no_grad():
        pieces = [model(ids[:, start:end], cache=cache)[0] for start, end in ((0, 3), (3, 4), (4, 5), (5, 8))]
        return {"logits": torch.cat(pieces, dim=1), "at once": model(ids)[0]}


@test_cache.explain
def _(got, want):
    if close(got["at once"], want["at once"], 1e-4) and close(got["logits"][:, :3], want["logits"][:, :3], 1e-4):
        apart = abs(got["logits"] - want["logits"]).max((0, 2))
        first = int((apart > 1e-4).argmax())
        if apart[first] > 1e-4:
            yield (
                f"tokens 0 to 2 came first and are right; in the next pieces token {first} is the first whose "
                "logits are not those that it gets without a cache. What does each block get of the cache?"
            )


@check("a checkpoint in the published names fills the model, every entry in its place", points=1)
def test_load(ex: Exercise, rng: Random):
    model = small(ex, rng, tied=False)
    ex.load_llama_weights(model, checkpoint(model, rng, 2, tied=False))
    return {name: model.get_parameter(name) for name in weight_names(2, tied=False)}


@test_load.explain
def _(got, want):
    for name in want:
        if close(got[name], want[name]):
            continue
        for other in want:
            if other != name and got[name].shape == want[other].shape and close(got[name], want[other]):
                yield f"`{name}` holds what belongs to `{other}`."
        if np.ndim(want[name]) == 2 and got[name].shape == want[name].T.shape and close(got[name], want[name].T):
            yield f"`{name}` arrives transposed; these checkpoints keep their matrices as `nn.Linear` does."


@check("weights, table and an untied head start as N(0, 0.02), the norms at one", points=1, compare="structure")
def test_initial_weights(ex: Exercise, rng: Random):
    sizes = {"d_model": 48, "n_heads": 4, "n_kv_heads": 2, "n_layers": 3, "d_ff": 40}
    model = ex.Llama(ex.LlamaConfig(vocab_size=101, context_length=8, tied=False, **sizes))
    return {name: model.get_parameter(name) for name in weight_names(3, tied=False)}


@test_initial_weights.explain
def _(got, want):
    writing = ("out_proj.weight", "down.weight")  # to the stream: they have a check of their own
    for name in want:
        if "norm" in name:
            if np.any(got[name] != 1):
                yield f"`{name}` starts at {got[name].flat[0]:.3g} and so on; the weights of a norm start at 1."
        elif not name.endswith(writing):
            yield from not_normal(name, got[name], 0.02)
    yield from repeated({name: got[name] for name in want if "norm" not in name})


### BEGIN HIDDEN TESTS
@check("what writes to the stream starts smaller the deeper the model is", points=1, compare="structure")
def test_residual_projections(ex: Exercise, rng: Random):
    found = {}
    for layers in (2, 8):
        sizes = {"d_model": 40, "n_heads": 4, "n_kv_heads": 4, "n_layers": layers, "d_ff": 40}
        model = ex.Llama(ex.LlamaConfig(vocab_size=5, context_length=4, **sizes))
        for name in ("attention.out_proj", "feed_forward.down", "attention.v_proj", "feed_forward.gate"):
            for i in range(layers):
                found[f"blocks.{i}.{name}.weight of {layers}"] = model.get_parameter(f"blocks.{i}.{name}.weight")
    return found


@test_residual_projections.explain
def _(got, want):
    for name, values in got.items():
        part, layers = name.split(" of ")
        writes = part.endswith(("out_proj.weight", "down.weight"))
        yield from not_normal(f"{part}` in a model of `{layers} layers", values, writing(layers) if writes else 0.02)
    yield from repeated(got)


def writing(layers: str) -> float:
    return 0.02 / math.sqrt(2 * int(layers))


@check("a fresh model knows nothing: its loss is close to ln V", points=1, compare="structure")
def test_initial_loss(ex: Exercise, rng: Random):
    model = ex.Llama(ex.LlamaConfig(vocab_size=65, context_length=32, d_model=64, n_heads=4, n_layers=2, d_ff=96))
    targets = rng.ids(65, 16, 32)
    logits, loss = model(rng.ids(65, 16, 32), targets)
    return {"logits": logits, "targets": targets, "loss": loss}


@test_initial_loss.explain
def _(got, want):
    logits, loss = got["logits"], float(got["loss"])
    surprise = np.log(np.exp(logits).sum(-1, keepdims=True)) - logits  # -log softmax
    if not close(loss, np.take_along_axis(surprise, want["targets"][..., None], -1).mean(), 1e-4):
        yield "the loss of a fresh model is not the mean cross-entropy of its logits."
    elif not abs(loss - math.log(65)) < 0.15:
        yield (
            f"before any training the loss over 65 tokens is {loss:.2f}, and ln 65 is {math.log(65):.2f}. "
            "How large are the first logits, and what makes them so?"
        )
    elif not logits.std() > 0.01:
        yield "the logits of a fresh model are all but equal. How large is what the head reads, and what does it give?"


@check("sizes, heads, depth, base and eps follow the config", points=2, tolerance=1e-4, after=test_logits)
def test_options(ex: Exercise, rng: Random):
    ids = rng.ids(11, 2, 8)
    cases = {
        "one head of keys": {"n_kv_heads": 1},
        "as many heads of keys": {"n_kv_heads": 4, "n_layers": 3},
        "another width inside": {"d_ff": 7},
        "rope_base": {"rope_base": 20.0},
        "norm_eps": {"norm_eps": 0.5},
        "untied": {"tied": False},
    }
    return {case: small(ex, rng, **options)(ids)[0] for case, options in cases.items()}


@check("one eps for all norms, the one of the config", points=1, tolerance=1e-4, after=test_silent_block)
def test_eps(ex: Exercise, rng: Random):
    block, model = small_block(ex, rng, norm_eps=0.25), small(ex, rng, norm_eps=0.25)
    x = rng.tensor(3, 16, dtype=torch.float64, scale=0.3)
    norms = {"attention": block.attention_norm, "feed-forward": block.feed_forward_norm, "final": model.final_norm}
    return {name: norm(x) for name, norm in norms.items()}


@check("shapes by the config: fewer heads for keys and values; no bias in any part", points=1)
def test_parts(ex: Exercise, rng: Random):
    model = ex.Llama(ex.LlamaConfig(**(SMALL | {"n_layers": 3})))
    linears = [f"attention.{part}_proj" for part in ("q", "k", "v", "out")]
    linears += [f"feed_forward.{part}" for part in ("gate", "up", "down")]
    return {
        "shapes": {name: list(model.get_parameter(name).shape) for name in weight_names(3)},
        "biases": {f"{name}.bias": model.get_submodule(f"blocks.1.{name}").bias for name in linears},
        "blocks": len(model.blocks),
    }


@check("no token sees what comes after it", points=1, after=test_logits, tolerance=1e-4)
def test_causality(ex: Exercise, rng: Random):
    model, ids = small(ex, rng), rng.ids(11, 2, 8)
    other = torch.cat([ids[:, :5], (ids[:, 5:] + 1) % 11], dim=1)
    return {"before": model(ids)[0][:, :5], "after": model(other)[0][:, :5]}


@test_causality.explain
def _(got, want):
    if not close(got["before"], got["after"], 1e-6):
        yield "logits at positions 0 to 4 changed when only tokens from 5 on were replaced."


@check(
    "the loss sends the right gradient to every parameter, targets in any memory layout",
    points=1,
    tolerance=1e-3,
    after=test_logits,
)
def test_gradients(ex: Exercise, rng: Random):
    model, tokens = small(ex, rng, tied=False), rng.ids(11, 3, 8)
    _, loss = model(tokens[:, :-1], tokens[:, 1:])
    loss.backward()
    return {"gradient": {name: model.get_parameter(name).grad for name in weight_names(2, tied=False)}}


@check("block i uses layer i of the cache, and each keeps as many tokens as came", points=1, after=test_cache)
def test_cache_layers(ex: Exercise, rng: Random):
    used: list[int] = []

    class Listening(ex.of("ex17_kv_cache").KVCache):
        def append(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            used.append(layer)
            return super().append(layer, keys, values)

    model, cache = small(ex, rng, n_layers=3), Listening()
    seen = []
    with torch.no_grad():
        for count in (2, 4, 1):
            used.clear()
            model(rng.ids(11, 2, count), cache=cache)
            seen.append([cache.held(layer) for layer in range(5)])
    return {"held": seen, "layers, block by block": used or [0, 1, 2]}  # filled in another way, a cache tells nothing


@check("a block goes on from what its layer of the cache holds", points=1, tolerance=1e-4, after=test_block)
def test_block_cache(ex: Exercise, rng: Random):
    block, cache, x = small_block(ex, rng), empty_cache(ex), rng.tensor(2, 7, 16, dtype=torch.float64)
    with torch.no_grad():
        return {
            "first": block(x[:, :4], cache, 5),
            "later": block(x[:, 4:], cache=cache, layer=5),
            "another layer": block(x[:, 4:], cache, 2),
            "held": [cache.held(layer) for layer in (0, 2, 5)],
        }


@check(
    "logits and loss with a cache and targets, for one token and for several",
    points=1,
    tolerance=1e-4,
    after=test_cache,
)
def test_cache_and_targets(ex: Exercise, rng: Random):
    model, cache = small(ex, rng), empty_cache(ex)
    with torch.no_grad():
        return [model(rng.ids(11, 3, count), rng.ids(11, 3, count), cache) for count in (4, 1, 3)]


@check("more tokens than `context_length`, held ones included, are refused; the cache stays as it was", points=2)
def test_too_long(ex: Exercise, rng: Random):
    model, cache, fits = small(ex, rng), empty_cache(ex), rng.ids(11, 1, 6)
    refused = [
        raised(lambda: model(rng.ids(11, 2, 10)), mentions=[10]),
        raised(lambda: model(rng.ids(11, 1, 17), rng.ids(11, 1, 17)), mentions=[17]),
        raised(lambda: model(rng.ids(11, 2, 9))),
    ]
    with torch.no_grad():
        model(fits, cache=cache)
        refused.append(raised(lambda: model(rng.ids(11, 1, 7), cache=cache), mentions=[13]))
        single, its_cache = small(ex, rng, n_layers=1), empty_cache(ex)
        single(fits, cache=its_cache)
        refused.append(raised(lambda: single(rng.ids(11, 1, 4), cache=its_cache), mentions=[10]))
        held = [cache.held(layer) for layer in range(2)]
        return {"refused": refused, "held": held, "filled up": model(rng.ids(11, 1, 3), cache=cache)[0].shape[1]}


@check(
    "logits and loss have the dtype of the weights, a block runs where it was moved to",
    points=1,
    compare="structure",
    after=test_logits,
)
def test_dtype_and_device(ex: Exercise, rng: Random):
    ids, targets = rng.ids(11, 2, 7), rng.ids(11, 2, 7)
    seen = {}
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        logits, loss = small(ex, rng).to(dtype)(ids, targets)
        seen[str(dtype).removeprefix("torch.")] = {"logits": logits, "loss": loss}
    block, x = small_block(ex, rng), rng.tensor(2, 5, 16, dtype=torch.float64)
    return seen | {"moved": on_meta(lambda device: block.to(device)(x.to(device)))}


@test_dtype_and_device.explain
def _(got, want):
    exact = want["float64"]["logits"]
    if not close(got["float64"]["logits"], exact, 1e-4):
        yield "in float64 the logits are not what they should be."
    elif not close(got["float64"]["loss"], want["float64"]["loss"], 1e-4):
        yield "in float64 the loss is not what it should be."
    for dtype, allowed in (("bfloat16", 0.2), ("float32", 1e-3)):
        mine = got[dtype]["logits"]
        if np.sqrt(np.mean((mine - exact) ** 2)) > allowed * np.sqrt(np.mean(exact**2)):
            yield f"with all weights in {dtype}, the logits are further from those in float64 than rounding explains."
        elif abs(got[dtype]["loss"] - want["float64"]["loss"]) > allowed * want["float64"]["loss"]:
            yield f"with all weights in {dtype}, the loss is further from that in float64 than rounding explains."
    if got["moved"]["strays"]:
        yield "with a block and its input on another device, a tensor is left behind on the CPU."


@check("one token, one sequence, a full context, many sequences", points=1, tolerance=1e-4, after=test_logits)
def test_extremes(ex: Exercise, rng: Random):
    model = small(ex, rng)
    shapes = {"one token": (1, 1), "full context": (1, 9), "many sequences": (13, 2)}
    return {name: model(rng.ids(11, *shape))[0] for name, shape in shapes.items()}


@check("nobody's tensor is changed, and a second call gives the same", points=1, tolerance=1e-4, after=test_logits)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    model = small(ex, rng)
    given = {
        "ids": rng.ids(11, 2, 6),
        "targets": rng.ids(11, 2, 6),
        "x": rng.tensor(2, 6, 16, dtype=torch.float64),
    }
    calls = [(model(given["ids"], given["targets"])[0], model.blocks[0](given["x"])) for _ in range(2)]
    return {"given": given, "calls": calls}


@check("extra entries are ignored, any order and dtype will do; the model gets copies and stays tied", points=1)
def test_load_variants(ex: Exercise, rng: Random):
    config = ex.LlamaConfig(vocab_size=7, context_length=5, d_model=4, n_heads=2, n_kv_heads=1, n_layers=11, d_ff=3)
    model = filled(ex.Llama(config), rng, dtype=torch.float64)
    entries = checkpoint(model, rng, 11) | {
        "lm_head.weight": rng.tensor(7, 4),
        "model.layers.0.self_attn.rotary_emb.inv_freq": rng.tensor(1),
        "model.layers.11.mlp.up_proj.weight": rng.tensor(3, 4),
    }
    names = list(entries)
    dtypes = (torch.float32, torch.float64)  # of the model's own dtype, too: those it might not copy
    state = {names[i]: entries[names[i]].to(dtypes[i % 2]) for i in rng.numpy.permutation(len(names))}
    before = {name: model.get_parameter(name) for name in weight_names(11)}
    ex.load_llama_weights(model, state)
    kept = {name: state[name].clone() for name in ("lm_head.weight", "model.layers.10.mlp.up_proj.weight")}
    for tensor in state.values():
        tensor.zero_()
    weights = {name: model.get_parameter(name) for name in weight_names(11)}
    return {
        "weights": weights,
        "trainable": all(weight.requires_grad and weight.is_leaf for weight in weights.values()),
        "the same parameters as before": all(weight is before[name] for name, weight in weights.items()),
        "tied": model.lm_head.weight is model.token_embedding.weight,
        "kept": kept,
    }


@check("missing and misshapen entries are all named, and the model stays as it was", points=1)
def test_load_errors(ex: Exercise, rng: Random):
    model = small(ex, rng, tied=False)
    state = checkpoint(model, rng, 2, tied=False)
    wrong = ["model.layers.1.post_attention_layernorm.weight", "lm_head.weight", "model.norm.weight"]
    wrong += ["model.layers.0.mlp.down_proj.weight", "model.layers.1.self_attn.k_proj.weight"]
    del state[wrong[0]], state[wrong[1]]
    state[wrong[2]] = rng.tensor(1, dtype=torch.float64)
    for name in wrong[3:]:
        state[name] = state[name].T.contiguous()
    return {
        "several": raised(lambda: ex.load_llama_weights(model, state), mentions=wrong),
        "empty": raised(lambda: ex.load_llama_weights(model, {}), mentions=["model.embed_tokens.weight", *wrong]),
        "weights": {name: model.get_parameter(name) for name in weight_names(2, tied=False)},
    }


### END HIDDEN TESTS
