"""What a GPT must do: the checks of exercise 13."""

from __future__ import annotations

import math

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, filled, not_normal, on_meta, raised, repeated

SMALL = {"vocab_size": 11, "context_length": 9, "d_model": 12, "n_heads": 3, "n_layers": 2}


def small_gpt(ex: Exercise, rng: Random, **options):
    """A small GPT with given weights, in float64."""
    return filled(ex.GPT(ex.GPTConfig(**(SMALL | options))), rng, dtype=torch.float64)


def small_block(ex: Exercise, rng: Random, **options):
    """A small block with given weights, in float64."""
    return filled(ex.Block(ex.GPTConfig(**(SMALL | options))), rng, dtype=torch.float64)


def gpt2_state(rng: Random, config) -> dict[str, torch.Tensor]:
    """A made-up GPT-2 checkpoint in the published names and shapes, in float64."""
    width, inner = config.d_model, config.d_ff or 4 * config.d_model
    shapes = {"wte.weight": (config.vocab_size, width), "wpe.weight": (config.context_length, width)}
    for i in range(config.n_layers):
        for name, shape in {
            "ln_1": (width,),
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "ln_2": (width,),
            "mlp.c_fc": (width, inner),
            "mlp.c_proj": (inner, width),
        }.items():
            shapes |= {f"h.{i}.{name}.weight": shape, f"h.{i}.{name}.bias": shape[-1:]}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    return {name: rng.tensor(*shape, dtype=torch.float64, scale=shape[0] ** -0.5) for name, shape in shapes.items()}


def weight_names(n_layers: int) -> list[str]:
    """The parameters that a GPT of so many layers has by the contract, the tied one once."""
    names = ["token_embedding.weight", "position_embedding.weight", "final_norm.weight", "final_norm.bias"]
    linears = [f"attention.{part}_proj" for part in ("q", "k", "v", "out")] + ["feed_forward.up", "feed_forward.down"]
    for i in range(n_layers):
        names += [f"blocks.{i}.{part}.{kind}" for part in ("norm1", "norm2", *linears) for kind in ("weight", "bias")]
    return names


@check("a block whose sublayers write nothing hands the stream on as it came", points=1)
def test_silent_block(ex: Exercise, rng: Random):
    block = small_block(ex, rng)
    with torch.no_grad():
        for silent in (block.attention.out_proj, block.feed_forward.down):
            silent.weight.zero_()
            silent.bias.zero_()
    x = rng.tensor(2, 5, 12, dtype=torch.float64)
    return {"x": x, "out": block(x)}


@test_silent_block.explain
def _(got, want):
    if not close(got["out"], want["x"], 1e-9):
        yield (
            "with `out_proj` and `down` at zero both sublayers add nothing, and still the output is not the input. "
            "What else happens to the stream on its way? Does a norm stand on it, or on the way to a sublayer?"
        )


@check(
    "a block adds attention and then the feed-forward network to the stream",
    points=1,
    axes={"out": "batch position width", "other end": "batch position width"},
)
def test_block_values(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, low=4)
    block, x = small_block(ex, rng), rng.tensor(batch, length, 12, dtype=torch.float64)
    other = torch.cat([x[:, :2], rng.tensor(batch, length - 2, 12, dtype=torch.float64)], dim=1)
    return {"out": block(x), "other end": block(other)}


@test_block_values.explain
def _(got, want):
    yield from looks_ahead(got["out"], got["other end"], 2)


def looks_ahead(before, after, replaced: int):
    """Say which position has changed although only those from `replaced` on have been replaced."""
    moved = np.abs(before - after).max((0, 2))[:replaced]
    if moved.max() > 1e-9:
        yield (
            f"the output at position {int(moved.argmax())} changed when only positions from {replaced} on were "
            "replaced: it reads the future. Which mask does the attention get, and where is it True?"
        )


@check("no position of a block sees what comes after it", points=1, after=test_block_values)
def test_causality(ex: Exercise, rng: Random):
    block = small_block(ex, rng)
    x = rng.tensor(3, 8, 12, dtype=torch.float64)
    changed = torch.cat([x[:, :5], rng.tensor(3, 3, 12, dtype=torch.float64)], dim=1)
    return {"before": block(x), "after": block(changed)}


@test_causality.explain
def _(got, want):
    yield from looks_ahead(got["before"], got["after"], 5)


@check("head and token table are one parameter, and the head has no bias", points=1)
def test_tied_head(ex: Exercise, rng: Random):
    fresh, model = ex.GPT(ex.GPTConfig(**SMALL)), small_gpt(ex, rng)
    return {
        "one": model.lm_head.weight is model.token_embedding.weight,
        "one memory": fresh.lm_head.weight.data_ptr() == fresh.token_embedding.weight.data_ptr(),
        "no bias": model.lm_head.bias is None,
        "table": model.token_embedding.weight,
        "head": model.lm_head.weight,
    }


@test_tied_head.explain
def _(got, want):
    if not got["one"] and got["one memory"]:
        yield (
            "`lm_head.weight` and `token_embedding.weight` hold the same memory, but are two parameters: each gets a "
            "gradient of its own. What is it that `.data` hands over?"
        )
    elif not got["one"]:
        yield (
            "`lm_head.weight` and `token_embedding.weight` are two parameters. They may start out equal: are they "
            "still equal after one step of training, and how many gradients are there?"
        )
    elif not got["no bias"]:
        yield "`lm_head` has a bias: it was to have none."


@check(
    "given weights and ids give these logits, and the config is kept",
    points=1,
    axes={"logits": "batch position vocabulary"},
    after=test_tied_head,
)
def test_logits(ex: Exercise, rng: Random):
    model = small_gpt(ex, rng)
    logits, loss = model(rng.ids(11, 3, 7))
    return {"logits": logits, "loss": loss, "config": {name: getattr(model.config, name) for name in SMALL}}


@check("the loss is the mean cross-entropy of logits and targets, position by position", points=1, after=test_logits)
def test_loss(ex: Exercise, rng: Random):
    targets = rng.ids(11, 4, 6)
    logits, loss = small_gpt(ex, rng)(rng.ids(11, 4, 6), targets)
    return {"logits": logits, "loss": loss, "targets": targets}


@test_loss.explain
def _(got, want):
    targets = want["targets"][..., None]
    surprise = np.log(np.exp(got["logits"]).sum(-1, keepdims=True)) - got["logits"]  # -log softmax
    right = np.take_along_axis(surprise, targets, -1)
    shifted = np.take_along_axis(surprise[:, :-1], targets[:, 1:], -1)
    probs = np.exp(-surprise)
    twice = np.log(np.exp(probs).sum(-1, keepdims=True)) - np.take_along_axis(probs, targets, -1)
    if close(got["loss"], right.mean(), 1e-6):
        return  # it is that of the logits that came with it
    if close(got["loss"], right.sum()):
        yield f"the loss is the sum over all {right.size} targets: how does it change with the size of the batch?"
    elif close(got["loss"], shifted.mean()):
        yield "the loss compares logits at t with the target at t + 1. Who shifts the targets: caller or model?"
    elif close(got["loss"], right[:, -1].mean()):
        yield "the loss counts the last position only. At how many positions is there something to learn?"
    elif close(got["loss"], twice.mean()):
        yield "the loss takes the softmax of a softmax. Does `F.cross_entropy` want probabilities or logits?"
    else:
        yield f"the loss is {float(got['loss']):.4f}, but the mean cross-entropy of your logits is {right.mean():.4f}."


@check(
    "weights and tables start as N(0, 0.02), biases at zero, each block with numbers of its own",
    points=1,
    compare="structure",
)
def test_initial_weights(ex: Exercise, rng: Random):
    model = ex.GPT(ex.GPTConfig(vocab_size=101, context_length=64, d_model=48, n_heads=4, n_layers=3))
    return {name: model.get_parameter(name) for name in weight_names(3)}


@test_initial_weights.explain
def _(got, want):
    writing = ("out_proj.weight", "down.weight")  # to the stream: they have a check of their own
    for name in want:
        if name.endswith("bias"):
            if np.any(got[name]):
                yield f"`{name}` starts at {got[name].flat[0]:.3g} and so on; biases start at 0."
        elif "norm" in name:
            if np.any(got[name] != 1):
                yield f"`{name}` starts at {got[name].flat[0]:.3g} and so on; the weights of a norm start at 1."
        elif not name.endswith(writing):
            yield from not_normal(name, got[name], 0.02)
    yield from repeated({name: got[name] for name in want if "norm" not in name and not name.endswith("bias")})


@check("parameters are counted, tied ones once and frozen ones on request", points=1)
def test_num_parameters(ex: Exercise, rng: Random):
    model = ex.GPT(ex.GPTConfig(**SMALL))
    everything = model.num_parameters()
    for frozen in (model.token_embedding.weight, model.blocks[0].attention.q_proj.weight):
        frozen.requires_grad_(False)
    return {
        "at first": everything,
        "trainable": model.num_parameters(),
        "all": model.num_parameters(trainable_only=False),
    }


@test_num_parameters.explain
def _(got, want):
    if got["at first"] - want["at first"] == 11 * 12 == got["all"] - want["all"]:
        yield (
            f"you count {got['at first']} parameters, {11 * 12} too many, which is as many as the token table holds. "
            "How often does a table that has two names count?"
        )


@check("a GPT-2 checkpoint fills the model, every entry in its place and the right way round", points=1)
def test_load_gpt2(ex: Exercise, rng: Random):
    model = small_gpt(ex, rng)
    ex.load_gpt2_weights(model, gpt2_state(rng, ex.GPTConfig(**SMALL)))
    return {name: model.get_parameter(name) for name in weight_names(2)}


@test_load_gpt2.explain
def _(got, want):
    for name in want:
        if not close(got[name], want[name]) and np.ndim(want[name]) == 2 and turned(got[name], want[name]):
            yield (
                f"`{name}` arrives transposed. It is square and fits either way: is it W in x @ W or in x @ W.T that "
                "GPT-2 keeps, and that `nn.Linear` keeps?"
            )
    parts = [f"blocks.0.attention.{part}_proj.weight" for part in "qkv"]
    for name in parts:
        for other in parts:
            if name != other and close(got[name], want[other]):
                yield f"`{name}` holds what belongs to `{other}`. In which order does c_attn hold the three?"


def turned(got, want) -> bool:
    """Whether a matrix is the transpose of what it should be."""
    return got.shape == want.T.shape and close(got, want.T)


### BEGIN HIDDEN TESTS
@check("a fresh model knows nothing: its loss is close to ln V", points=1, compare="structure")
def test_initial_loss(ex: Exercise, rng: Random):
    model = ex.GPT(ex.GPTConfig(vocab_size=65, context_length=32, d_model=64, n_heads=4, n_layers=4))
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


@check("what writes to the stream starts smaller the deeper the model is", points=1, compare="structure")
def test_residual_projections(ex: Exercise, rng: Random):
    found = {}
    for layers in (2, 8):
        model = ex.GPT(ex.GPTConfig(vocab_size=5, context_length=4, d_model=40, n_heads=4, n_layers=layers))
        for name in ("attention.out_proj", "feed_forward.down", "attention.v_proj", "feed_forward.up"):
            found[f"{name} of {layers}"] = torch.stack(
                [model.get_parameter(f"blocks.{i}.{name}.weight") for i in range(layers)]
            )
    return found


@test_residual_projections.explain
def _(got, want):
    for name in want:
        part, layers = name.split(" of ")
        writes = part in ("attention.out_proj", "feed_forward.down")
        expected = 0.02 / math.sqrt(2 * int(layers)) if writes else 0.02
        for i, values in enumerate(got[name]):
            deviation = values.std()
            if abs(deviation / expected - 1) < 7 / math.sqrt(2 * values.size):
                yield from not_normal(f"blocks.{i}.{part}.weight", values, expected)
                continue
            note = ""
            if writes and abs(deviation / 0.02 - 1) < 0.1:
                note = " That is what all other weights start with."
            elif writes and abs(deviation * math.sqrt(int(layers)) / 0.02 - 1) < 0.1:
                note = " How many sublayers of a block write to the stream?"
            elif not writes:
                note = " It does not write to the stream."
            yield (
                f"in a model of {layers} layers `blocks.{i}.{part}.weight` starts with a standard deviation of "
                f"{deviation:.4f}; expected {expected:.4f}.{note}"
            )
        yield from repeated({f"blocks.{i}.{part}.weight": values for i, values in enumerate(got[name])})


@check(
    "the loss sends the right gradient to every parameter, targets in any memory layout",
    points=1,
    tolerance=1e-4,
    after=test_logits,
)
def test_gradients(ex: Exercise, rng: Random):
    model = small_gpt(ex, rng)
    tokens = rng.ids(11, 3, 8)
    _, loss = model(tokens[:, :-1], tokens[:, 1:])
    loss.backward()
    return {"gradient": {name: noiseless(name, model.get_parameter(name).grad) for name in weight_names(2)}}


def noiseless(name: str, gradient: torch.Tensor | None):
    """A bias of the keys adds the same to all scores of a query: its gradient is 0, up to rounding."""
    noisy = name.endswith("k_proj.bias") and gradient is not None
    return gradient.masked_fill(gradient.abs() < 1e-8, 0.0) if noisy else gradient


@check("inner width, bias, heads and depth follow the config", points=1, after=test_logits)
def test_options(ex: Exercise, rng: Random):
    model = small_gpt(ex, rng, d_ff=7, bias=False, n_heads=4, n_layers=3)
    block = model.blocks[2]
    linears = [block.attention.q_proj, block.attention.out_proj, block.feed_forward.up, block.feed_forward.down]
    return {
        "logits": model(rng.ids(11, 2, 5))[0],
        "inner": block.feed_forward.up.weight.shape[0],
        "biases": [linear.bias is None for linear in linears],
        "blocks": len(model.blocks),
    }


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
        model = small_gpt(ex, rng).to(dtype)
        logits, loss = model(ids, targets)
        seen[str(dtype).removeprefix("torch.")] = {"logits": logits, "loss": loss}
    block, x = small_block(ex, rng), rng.tensor(2, 5, 12, dtype=torch.float64)
    return seen | {"moved": on_meta(lambda device: block.to(device)(x.to(device)))}


@test_dtype_and_device.explain
def _(got, want):
    exact = want["float64"]["logits"]
    if not close(got["float64"]["logits"], exact, 1e-4):
        yield "in float64 the logits are not what they should be."
    elif not close(got["float64"]["loss"], want["float64"]["loss"], 1e-4):
        yield "in float64 the loss is not what it should be."
    elif not close(got["float64"]["logits"], exact, 1e-6):
        yield "in float64 the logits are not as exact as float64 is: is something in between always float32?"
    for dtype, allowed in (("bfloat16", 0.2), ("float32", 1e-3)):
        mine = got[dtype]["logits"]
        if np.sqrt(np.mean((mine - exact) ** 2)) > allowed * np.sqrt(np.mean(exact**2)):
            yield f"with all weights in {dtype}, the logits are further from those in float64 than rounding explains."
        elif abs(got[dtype]["loss"] - want["float64"]["loss"]) > allowed * want["float64"]["loss"]:
            yield f"with all weights in {dtype}, the loss is further from that in float64 than rounding explains."
    if got["moved"]["strays"]:
        yield "with a block and its input on another device, a tensor is left behind on the CPU. Where is the mask?"


@check(
    "one token, one sequence, a full context, more sequences than it has positions, streams of any size",
    points=1,
    after=test_logits,
)
def test_extremes(ex: Exercise, rng: Random):
    model, block = small_gpt(ex, rng), small_block(ex, rng)
    x = rng.tensor(1, 4, 12, dtype=torch.float64)
    return {
        "one token": model(rng.ids(11, 1, 1))[0],
        "full context": model(rng.ids(11, 1, 9))[0],
        "many sequences": model(rng.ids(11, 13, 2))[0],
        "huge": block(1e8 * x),
        "tiny": block(1e-8 * x),
        "shared mean": block(1e4 + x),
    }


@check("nobody's tensor is changed, and a second call gives the same", points=1, after=test_logits)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    model = small_gpt(ex, rng)
    given = {
        "ids": rng.ids(11, 2, 6),
        "targets": rng.ids(11, 2, 6),
        "x": rng.tensor(2, 6, 12, dtype=torch.float64),
    }
    calls = [(model(given["ids"], given["targets"])[0], model.blocks[0](given["x"])) for _ in range(2)]
    return {"given": given, "calls": calls}


@test_arguments_unchanged.explain
def _(got, want):
    for name, before in want["given"].items():
        if not np.array_equal(got["given"][name], before):
            yield f"`{name}` was changed by the call. Does `+=` make a new tensor?"
    first, second = got["calls"]
    if not all(close(one, other, 1e-9) for one, other in zip(first, second, strict=True)):
        yield "the same call gives something else the second time."


@check("dropout acts while training and only then", points=1, compare="structure", after=test_logits)
def test_dropout(ex: Exercise, rng: Random):
    model, plain = small_gpt(ex, rng, dropout=0.4), small_gpt(ex, rng)
    ids = rng.ids(11, 3, 8)
    model.train()
    training = [model(ids)[0], model(ids)[0]]
    model.eval()
    evaluation = [model(ids)[0], model(ids)[0]]
    silent = small_gpt(ex, rng, dropout=1 - 1e-9).train()  # what may be dropped is dropped, but for one time in many
    nothing_left = [silent(ids)[0], silent(ids)[0]]
    return {"training": training, "evaluation": evaluation, "plain": plain(ids)[0], "nothing left": nothing_left}


@test_dropout.explain
def _(got, want):
    (first, second), (one, other) = got["evaluation"], got["training"]
    if not close(first, second, 1e-9):
        yield "in evaluation mode the same ids give other logits the second time. Does every dropout know the mode?"
    elif not close(first, got["plain"], 1e-9):
        yield "in evaluation mode a model with `dropout=0.4` gives different logits from one without dropout."
    elif not close(got["plain"], want["plain"]):
        yield "a model without dropout does not give the logits that it should."
    elif close(one, other, 1e-9):
        yield "with `dropout=0.4` the same ids give the same logits twice while training. Who gets `config.dropout`?"
    elif not close(*got["nothing left"], 1e-9):
        yield (
            "with a dropout of nearly 1 all that is dropped at all should be gone, and still the same ids give other "
            "logits the second time. Which probability does each dropout get?"
        )


@check("more tokens than `context_length` are refused, and the message says how many came", points=1)
def test_too_long(ex: Exercise, rng: Random):
    model = small_gpt(ex, rng)
    return [
        raised(lambda: model(rng.ids(11, 2, 9))),
        raised(lambda: model(rng.ids(11, 2, 10)), mentions=[10]),
        raised(lambda: model(rng.ids(11, 1, 17), rng.ids(11, 1, 17)), mentions=[17]),
    ]


@check(
    "a checkpoint may have the prefix, extra entries, any order and many layers; the model gets copies",
    points=1,
)
def test_load_gpt2_variants(ex: Exercise, rng: Random):
    config = ex.GPTConfig(vocab_size=7, context_length=5, d_model=4, n_heads=2, n_layers=11, d_ff=4)
    state = gpt2_state(rng, config)
    entries = {f"transformer.{name}": tensor for name, tensor in state.items()} | {
        "lm_head.weight": state["wte.weight"],
        "transformer.h.0.attn.bias": torch.ones(1, 1, 5, 5, dtype=torch.float64).tril(),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4, dtype=torch.float64),
    }
    names = list(entries)
    published = {names[i]: entries[names[i]] for i in rng.numpy.permutation(len(names))}
    published |= {name: published[name].float() for name in names[::3]}  # the others have the model's dtype
    model = filled(ex.GPT(config), rng, dtype=torch.float64)
    before = [model.get_parameter(name) for name in weight_names(11)]
    ex.load_gpt2_weights(model, published)
    kept = {name: published[f"transformer.{name}"].clone() for name in ("wte.weight", "h.10.attn.c_attn.weight")}
    for tensor in published.values():
        tensor.zero_()
    weights = {name: model.get_parameter(name) for name in weight_names(11)}
    return {
        "weights": weights,
        "trainable": all(weight.requires_grad and weight.is_leaf for weight in weights.values()),
        "the same objects": all(one is other for one, other in zip(weights.values(), before, strict=True)),
        "tied": model.lm_head.weight is model.token_embedding.weight,
        "kept": kept,
        "entries": len(published),
    }


@check("missing and misshapen entries are all named, and the model stays as it was", points=1)
def test_load_gpt2_errors(ex: Exercise, rng: Random):
    config = ex.GPTConfig(**SMALL)
    model = small_gpt(ex, rng)
    state = gpt2_state(rng, config)
    del state["h.1.ln_2.bias"]
    state["wpe.weight"] = rng.tensor(10, 12, dtype=torch.float64)
    for name in ("h.0.mlp.c_fc.weight", "h.1.attn.c_attn.weight"):
        state[name] = state[name].T.contiguous()
    state["ln_f.bias"] = rng.tensor(1, dtype=torch.float64)
    wrong = ["h.1.ln_2.bias", "wpe.weight", "h.0.mlp.c_fc.weight", "h.1.attn.c_attn.weight", "ln_f.bias"]
    return {
        "several": raised(lambda: ex.load_gpt2_weights(model, state), mentions=wrong),
        "empty": raised(lambda: ex.load_gpt2_weights(model, {}), mentions=["wte.weight", "h.1.attn.c_proj.bias"]),
        "weights": {name: model.get_parameter(name) for name in weight_names(2)},
    }


### END HIDDEN TESTS
