"""What the original transformer and its training must do: the checks of exercise 12.

The probe of the last check trains with the learner's pieces and returns the weights; the judge puts them into the
reference's model and lets it reverse strings that were never trained on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from grader.checks import (
    Exercise,
    Random,
    census,
    check,
    close,
    filled,
    gradients,
    loaded,
    named,
    on_meta,
    overheard,
    parameters,
    raised,
)

SIZES = {"src_vocab": 11, "tgt_vocab": 13, "d_model": 12, "n_heads": 3, "n_layers": 2, "d_ff": 20, "max_len": 16}
BOS, EOS = 1, 2
ALL = 1 - 1e-12  # a dropout that drops everything, and divides by something
PUT_IN = ("*lengths*", "*ids*", "*max_len", "*pad_id")  # into greedy_decode, and what judges what came out


def model_of(ex: Exercise, rng: Random, **changes: Any) -> Any:
    """A small Transformer with given weights, in evaluation mode. (The positions are float32: tolerance=1e-4.)"""
    return filled(ex.Transformer(**(SIZES | changes)), rng, dtype=torch.float64).eval()


def tokens(rng: Random, vocab_size: int, *shape: int, low: int = 3) -> Tensor:
    """Random tokens that are neither padding nor BOS nor EOS."""
    return low + rng.ids(vocab_size - low, *shape)


def stacks_heard(model: Any, src: Tensor, tgt_in: Tensor) -> dict[str, Any]:
    """What the two stacks are asked in a forward pass. The encoder answers with twice its input."""

    def encoder(x, mask=None):
        return 2 * x

    def decoder(x, memory, self_mask=None, memory_mask=None):
        return x

    heard = overheard({"encoder": model.encoder}, encoder)
    heard_too = overheard({"decoder": model.decoder}, decoder)
    model(src, tgt_in)
    return {"encoder": [dict(call) for call in heard], "decoder": [dict(call) for call in heard_too]}


def asked_once(got, want):
    """Explain: a forward pass asks each stack once."""
    for stack in want["heard"]:
        if len(got["heard"][stack]) != 1:
            yield f"in one forward pass your model calls its {stack} {len(got['heard'][stack])} times; expected once."


def same_mask(got, want) -> bool:
    """Whether two masks hide the same, however they are broadcast."""
    try:
        return got is not None and bool(np.all(got == want))
    except ValueError:  # shapes that don't go together
        return False


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """In the judge, for small logits."""
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@check("shift_right puts BOS in front, moves the rest one place to the right, and drops the last", tolerance=0)
def test_shift(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, low=3)
    targets = tokens(rng, 20, batch, length)
    return {"targets": targets, "shifted": ex.shift_right(targets, BOS)}


@test_shift.explain
def _(got, want):
    shifted, targets = got["shifted"], want["targets"]
    if (shifted == targets).all():
        yield "the targets come back as they are: a decoder that is given the token it is to say will copy it."
    elif (shifted[:, :-1] == targets[:, 1:]).all():
        yield "the targets are moved to the left: each place is given the token after the one that it is to say."
    elif (shifted[:, 1:] == targets[:, 1:]).all() and (shifted[:, 0] == BOS).all():
        yield "BOS overwrites the first target instead of pushing all of them one place to the right."
    elif (shifted[:, 1:] == targets[:, :-1]).all() and (shifted[:, 0] != BOS).any():
        yield f"the shift is right, but column 0 is {shifted[0, 0]} where bos_id is {BOS}."


@check("the smoothed loss: s spread evenly over all V tokens, the rest for the right one")
def test_loss(ex: Exercise, rng: Random):
    batch, length, vocab_size = rng.sizes(3, low=3)
    logits, targets = rng.tensor(batch, length, vocab_size, scale=2.0), rng.ids(vocab_size, batch, length)
    targets[0, 0] = 0  # a token like any other
    losses = {str(s): ex.label_smoothed_cross_entropy(logits, targets, smoothing=s) for s in (0.0, 0.1, 0.4)}
    return {"logits": logits, "targets": targets, "loss": losses}


@test_loss.explain
def _(got, want):
    yield from judge_loss(got, want, 0.4)


def judge_loss(got, want, smoothing: float):
    """Name what a wrong smoothed loss is, where it is one of the usual ones."""
    log_probs = log_softmax(want["logits"])
    vocab_size = log_probs.shape[-1]
    right = -np.take_along_axis(log_probs, want["targets"][..., None], axis=-1)[..., 0].mean()
    alike, others = -log_probs.mean(), -(log_probs.sum(-1).mean() + right) / (vocab_size - 1)
    plain, mine, s = got["loss"]["0.0"], got["loss"][str(smoothing)], smoothing
    if not close(plain, right, 1e-4):
        if close(plain, right * want["targets"].size, 1e-4):
            yield "without smoothing you return the sum of the losses; the mean over the targets is asked for."
        elif close(plain, -right, 1e-4):
            yield "without smoothing the sign of your loss is wrong: log-probabilities are negative, losses positive."
        elif close(plain, alike, 1e-4):
            yield "the two parts have changed places: which of them, s or 1 - s, is spread evenly over all tokens?"
        else:
            yield (
                f"without smoothing the loss should be {right:.4f}, the mean of -log p(right) (exercise 1); yours is "
                f"{plain:.4f}. Over which axis do the probabilities sum to one?"
            )
    elif close(mine, right, 1e-6):
        yield "`smoothing` makes no difference to your loss."
    elif close(mine, (1 - s) * right + s * others, 1e-4):
        yield (
            "your smoothing shares s among the V - 1 wrong tokens. In the formula of the lesson the right token has "
            "its part of it, too: s/V for each of all V."
        )
    elif close(mine, right + s * alike, 1e-4):
        yield "the target distribution sums to 1 + s: what all tokens share has to be taken from the right one."
    elif close(mine, (1 - s) * right + s * alike * vocab_size, 1e-4):
        yield "each token gets s instead of s/V: sum or mean over the vocabulary?"


@check("targets that are ignored do not count: not in either term, and not in the number that the mean divides by")
def test_ignored(ex: Exercise, rng: Random):
    return ignoring(ex, rng, ignore_index=0)


@test_ignored.explain
def _(got, want):
    yield from judge_ignored(got, want)


def ignoring(ex: Exercise, rng: Random, ignore_index: int) -> dict[str, Any]:
    """The loss of targets some of which are ignored."""
    batch, length, vocab_size = rng.sizes(3, low=4)
    logits, targets = rng.tensor(batch, length, vocab_size, scale=2.0), 1 + rng.ids(vocab_size - 1, batch, length)
    targets[0, 1:], targets[-1, -1] = ignore_index, ignore_index
    loss = ex.label_smoothed_cross_entropy(logits, targets, smoothing=0.3, ignore_index=ignore_index)
    return {"logits": logits, "targets": targets, "kept": targets != ignore_index, "loss": loss}


def judge_ignored(got, want):
    """Name which part of the loss still counts what is to be ignored."""
    log_probs, kept = log_softmax(want["logits"]), want["kept"]
    targets = np.where(kept, want["targets"], 0)
    right, alike = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0], -log_probs.mean(-1)
    each, mine, share = 0.7 * right + 0.3 * alike, got["loss"], kept.mean()
    if close(mine, each.mean(), 1e-4):
        yield "the loss is that of all targets: `ignore_index` makes no difference."
    elif close(mine, each[kept].mean() * share, 1e-4):
        yield (
            f"what is ignored adds nothing to your sum, but is counted in what you divide by: {kept.size} targets "
            f"instead of the {kept.sum()} that are kept."
        )
    elif close(mine, 0.7 * right[kept].mean() + 0.3 * alike.mean(), 1e-4):
        yield "the term of the right token leaves out what is ignored, the term that all tokens share does not."
    elif close(mine, 0.7 * right[kept].mean() + 0.3 * alike[kept].mean() * share, 1e-4):
        yield "the term that all tokens share is divided by the number of all targets instead of those that are kept."
    elif close(mine, 0.7 * right[kept].mean() + 0.3 * alike[kept].sum(), 1e-4):
        yield "the term that all tokens share is a sum over the targets; it has to be their mean, as the other one is."


@check("noam_lr: a line up to (D * warmup)^-0.5, then down with the root of the step", tolerance=1e-9)
def test_noam(ex: Exercise, rng: Random):
    return rates(ex, 64, rng.integers(4, 9))


@test_noam.explain
def _(got, want):
    yield from judge_rates(got, want)


def rates(ex: Exercise, d_model: int, warmup: int) -> dict[str, Any]:
    """The rates from step 1 to far behind the warm-up."""
    return {
        "d_model": d_model,
        "warmup": warmup,
        "lr": [ex.noam_lr(step, d_model, warmup) for step in range(1, 4 * warmup + 2)],
    }


def judge_rates(got, want):
    """Name what is wrong with a schedule."""
    mine, theirs, warmup = np.array(got["lr"]), np.array(want["lr"]), want["warmup"]
    if close(mine[:-1], theirs[1:], 1e-9):
        yield f"your rate at step 1 is that of step 2, {mine[0]:.4g}: steps count from 1, no 1 need be added."
    elif close(mine[1:], theirs[:-1], 1e-9):
        yield f"your rate at step 2 is that of step 1, {mine[1]:.4g}: all of them come one step late."
    elif not close(mine[0] / mine[1], 0.5, 1e-6):
        yield (
            f"the rate at step 2 should be twice that of step 1; yours goes from {mine[0]:.4g} to {mine[1]:.4g}. "
            "Of the two curves, is it always the lower one?"
        )
    elif int(mine.argmax()) + 1 != warmup:
        yield (
            f"with warmup = {warmup} the rate is largest at step {warmup}; yours at step {int(mine.argmax()) + 1}. "
            "With which power of the warm-up does the line rise?"
        )
    elif close(mine / theirs, mine[0] / theirs[0], 1e-6) and not close(mine, theirs, 1e-9):
        yield (
            f"the shape is right, the height is not: at step {warmup} it should be (D * warmup)^-0.5 = "
            f"{theirs[warmup - 1]:.4g}; yours is {mine[warmup - 1]:.4g}."
        )
    elif close(mine[:warmup], theirs[:warmup], 1e-9) and not close(mine, theirs, 1e-9):
        yield "the line is right; after the warm-up the rate should fall with the root of the step."


@check("what goes into both stacks is the scaled embedding plus the position", compare="nothing", free=("heard*mask",))
def test_inputs(ex: Exercise, rng: Random):
    source, target = rng.sizes(2, low=3)
    model = model_of(ex, rng)
    src, tgt_in = tokens(rng, 11, 2, source), tokens(rng, 13, 2, target)
    heard = stacks_heard(model, src, tgt_in)
    rows = {"source": (model.src_embedding.weight, src), "target": (model.tgt_embedding.weight, tgt_in)}
    return {"heard": heard, "rows": {side: table[ids] for side, (table, ids) in rows.items()}}


@test_inputs.explain
def _(got, want):
    yield from asked_once(got, want)
    for side, stack in (("source", "encoder"), ("target", "decoder")):
        mine, right, rows = got["heard"][stack][0]["x"], want["heard"][stack][0]["x"], want["rows"][side]
        width = rows.shape[-1]
        places = right - width**0.5 * rows
        if close(mine, width**0.5 * rows, 1e-4):
            yield f"on the side of the {side} there are no positions: word order would be lost."
        elif close(mine, rows, 1e-4):
            yield f"on the side of the {side} there are neither positions nor the factor sqrt(D)."
        elif close(mine, rows + places, 1e-4):
            yield (
                f"the embedding of the {side} is not scaled by sqrt(D): next to the positions it can hardly be heard "
                "(scale=True)."
            )
        elif close(mine, width**0.5 * (rows + places), 1e-4):
            yield f"on the side of the {side} the positions are scaled, too: only the embedding is to be."
        elif not close(mine, right, 1e-4):
            yield f"what goes into the {stack} is not sqrt(D) times the embedding of the {side}, plus the positions."


@check(
    "the decoder gets a causal mask: no position sees what comes after it",
    compare="nothing",
    free=("heard*mask",),
    after=test_inputs,
)
def test_causal(ex: Exercise, rng: Random):
    batch, source, length = rng.sizes(3, low=4)
    src, tgt_in = tokens(rng, 11, batch, source), tokens(rng, 13, batch, length)
    heard = stacks_heard(model_of(ex, rng), src, tgt_in)
    return {"heard": heard, "past": torch.ones(length, length, dtype=torch.bool).tril()}


@test_causal.explain
def _(got, want):
    yield from asked_once(got, want)
    mine, past = got["heard"]["decoder"][0]["self_mask"], want["past"]
    if mine is None:
        yield (
            "the decoder gets no `self_mask`, so that every position sees the whole target. In training it would copy "
            "the answer from there."
        )
    elif same_mask(mine, ~past) or same_mask(mine, past.T):
        yield "the `self_mask` is the wrong way round: it shows what comes later and hides what came before."
    elif same_mask(mine, np.tril(past, -1)):
        yield "the `self_mask` hides each position from itself: what came last could not be looked at."
    elif not same_mask(mine, past):
        yield "the `self_mask` of the decoder should show each position itself and those before it, and nothing else."
    elif not close(got["heard"]["decoder"][0]["x"], want["heard"]["decoder"][0]["x"], 1e-4):
        yield "the decoder does not get the scaled embedding of the target plus its positions."


@check(
    "the decoder reads what the encoder has made of the source, all of it",
    compare="nothing",
    free=("heard*mask",),
    after=test_inputs,
)
def test_source_is_read(ex: Exercise, rng: Random):
    length = rng.integers(4, 9)  # of both sides, so that one can be taken for the other without a crash
    src, tgt_in = tokens(rng, 11, 2, length), tokens(rng, 13, 2, length)
    return {"heard": stacks_heard(model_of(ex, rng), src, tgt_in)}


@test_source_is_read.explain
def _(got, want):
    yield from asked_once(got, want)
    encoder, decoder = got["heard"]["encoder"][0], got["heard"]["decoder"][0]
    right = want["heard"]["decoder"][0]
    hidden = {"encoder": encoder["mask"], "cross-attention": decoder["memory_mask"]}
    for name, mask in hidden.items():
        if mask is not None and not np.any(mask):
            yield (
                f"there is no padding in this source, and the mask of the {name} hides all of it. Is yours True where "
                "tokens are (True means 'may attend'), or where padding is?"
            )
        elif mask is not None and not np.all(mask):
            yield f"there is no padding in this source, and the mask of the {name} hides some of it."
    if close(decoder["memory"], right["memory"] / 2, 1e-4):
        yield "the decoder reads the embedded source: what the encoder has made of it never arrives."
    elif close(decoder["memory"], right["x"], 1e-4):
        yield "as its memory, the decoder gets the target: who tells it what the source says?"
    elif not close(decoder["memory"], right["memory"], 1e-4):
        yield "the memory that the decoder gets is not what the encoder returned."


@check(
    "padding in the source is hidden from the encoder and from the decoder",
    points=2,
    compare="nothing",
    free=("heard*mask",),
    after=test_inputs,
)
def test_padding(ex: Exercise, rng: Random):
    return padding_heard(ex, rng, pad_id=0)


@test_padding.explain
def _(got, want):
    yield from judge_padding(got, want)


def padding_heard(ex: Exercise, rng: Random, pad_id: int) -> dict[str, Any]:
    """What both stacks are asked of sources with padding. Where padding is not 0, 0 is a token like any other."""
    lengths = torch.tensor([4, 2, 6])
    src = tokens(rng, 11, 3, 6, low=0)
    src[src == pad_id] = (pad_id + 1) % 11
    src[:, 0] = 0 if pad_id else src[:, 0]
    real = torch.arange(6) < lengths[:, None]
    src[~real] = pad_id
    tgt_in = tokens(rng, 13, 3, 5, low=8)  # no padding here: whether that is hidden, too, is left open
    heard = stacks_heard(model_of(ex, rng, pad_id=pad_id), src, tgt_in)
    return {"heard": heard, "real": real[:, None, None, :]}


def judge_padding(got, want, also: str = ""):
    """Say who sees padding."""
    yield from asked_once(got, want)
    real, past = want["real"], np.tril(np.ones((5, 5), bool))
    masks = {
        "encoder": ("mask", got["heard"]["encoder"][0]["mask"]),
        "cross-attention": ("memory_mask", got["heard"]["decoder"][0]["memory_mask"]),
    }
    for name, (argument, mask) in masks.items():
        if mask is None:
            yield f"the {name} looks at padding: it gets no `{argument}`.{also}"
        elif same_mask(mask, ~real):
            yield f"the `{argument}` of the {name} is True for padding: True means 'may attend'.{also}"
        elif name == "cross-attention" and same_mask(mask, past):
            yield f"the cross-attention gets the causal mask of the target as its `{argument}`.{also}"
        elif not hides_padding(mask, real):
            yield f"the `{argument}` of the {name} hides something other than the padding of the source.{also}"
    for stack, part in (("encoder", "x"), ("decoder", "memory")):
        if not close(got["heard"][stack][0][part], want["heard"][stack][0][part], 1e-4):
            yield f"with padding in the source, the {stack} gets another `{part}` than it should."


def hides_padding(mask, real) -> bool:
    """Whether each real position sees all that is real, and only that. What padding itself sees is left open."""
    try:
        mask = np.broadcast_to(mask, np.broadcast_shapes(np.shape(mask), real.shape))
    except ValueError:
        return False
    rows = np.swapaxes(real, -1, -2) if mask.shape[-2] == real.shape[-1] else np.ones_like(real[..., :1])
    return bool(np.all((mask == real) | ~rows))


@check(
    "forward: logits for every position of the target, from the source and from what was written so far",
    points=2,
    tolerance=1e-4,
    axes={"": "batch position token"},
    after=test_source_is_read,
)
def test_forward(ex: Exercise, rng: Random):
    batch, source, target = rng.sizes(3)
    model = model_of(ex, rng)
    return model(tokens(rng, 11, batch, source), tokens(rng, 13, batch, target))


@check(
    "greedy_decode writes what the model says: no BOS, the EOS, then padding",
    points=2,
    compare="nothing",
    free=("calls*", "written"),
    exact=PUT_IN,
)
def test_greedy(ex: Exercise, rng: Random):
    return by_script(ex, rng, lengths=[3, 1, 5], max_len=7, pad_id=0)


@test_greedy.explain
def _(got, want):
    yield from judge_script(got, want)


def by_script(
    ex: Exercise, rng: Random, lengths: list[int], max_len: int, pad_id: int, training: bool = False
) -> dict[str, Any]:
    """What is written by a model that says what a script says, as long as it is given what it has said."""
    vocab_size, rows = 13, len(lengths)
    bos, eos, stray = 9, 10, 11
    script = 3 + rng.ids(6, rows, max_len + 3)  # 3..8; some more than may be written
    for row, length in enumerate(lengths):
        script[row, length] = eos  # and then it says something else, which nobody should write down
    ends = torch.tensor(lengths)
    calls: list[dict[str, Any]] = []

    class Scripted(ex.Transformer):  # type: ignore[misc, name-defined]
        """Column 0 of the source says which row of the script it is."""

        def encode(self, src: Tensor) -> Tensor:
            return self.src_embedding(src)

        def decode(self, tgt_in: Tensor, memory: Tensor, src: Tensor) -> Tensor:  # noqa: ARG002
            calls.append({"training": self.training, "graph": torch.is_grad_enabled()})
            lines = script[src[:, 0]]  # (b, max_len + 3)
            begun = torch.cat([torch.full_like(lines[:, :1], bos), lines], dim=1)[:, : tgt_in.size(1)]
            kept = torch.arange(tgt_in.size(1)) <= ends[src[:, 0], None]  # what comes after EOS is open
            right = ((tgt_in == begun) | ~kept).cumprod(1).bool()  # (b, T): on script up to here
            said = torch.where(right, lines[:, : tgt_in.size(1)], stray)  # (b, T)
            return 5.0 * torch.nn.functional.one_hot(said, vocab_size) + 0.0 * self.output.bias

        def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
            return self.decode(tgt_in, self.encode(src), src)

    model = Scripted(rows + 1, vocab_size, d_model=4, n_heads=2, n_layers=1, d_ff=4, max_len=32, pad_id=pad_id)
    model.train(training)
    src = torch.arange(rows)[:, None].repeat(1, 3)
    written = ex.greedy_decode(model, src, bos, eos, max_len)
    return {
        "written": written,
        "dtype": written.dtype,
        "script": script,
        "lengths": lengths,
        "max_len": max_len,
        "pad_id": pad_id,
        "ids": {"bos": bos, "eos": eos, "stray": stray},
        "calls": calls,
        "mode": model.training,
        "graph": written.requires_grad,
        "src": src,
    }


def judge_script(got, want):
    """Compare what was written with the script, as far as the contract goes."""
    written, script, lengths = np.asarray(got["written"]), want["script"], want["lengths"]
    max_len, pad_id, ids = want["max_len"], want["pad_id"], want["ids"]
    if written.ndim != 2 or len(written) != len(lengths):
        yield f"the result has shape {written.shape}; a row for each of the {len(lengths)} sources is expected."
        return
    if got["dtype"] != want["dtype"]:
        yield f"the result has dtype {got['dtype']}; expected {want['dtype']}."
    if not np.array_equal(got["src"], want["src"]):
        yield "the sources are changed."
    if written.shape[1] and (written[:, 0] == ids["bos"]).all():
        yield "every row begins with BOS: it is what the decoder is given to begin with, and nothing that it wrote."
        return
    if written.shape[1] > max_len:
        yield f"with max_len = {max_len}, {written.shape[1]} tokens were written."
        return
    for row, length in enumerate(lengths):
        line = script[row, : min(length + 1, max_len)]  # with its EOS, if that fits
        mine = written[row, : len(line)]
        if len(mine) < len(line) and written.shape[1] == min(lengths) + 1 < max_len:
            yield f"row {row} stops before its EOS, as soon as the first row has one: who waits for whom?"
        elif len(mine) < len(line):
            yield f"row {row} has {len(mine)} of its {len(line)} tokens, and max_len = {max_len} allows all of them."
        elif not (mine == line).all():
            at = int(np.argmax(mine != line))
            if mine[at] == ids["stray"]:
                yield (
                    f"at step {at} the model is not given what it wrote before: it should get BOS and then all of its "
                    "own tokens, in their order."
                )
            elif line[at] == ids["eos"]:
                yield f"the EOS of row {row} is not in what was written; it stays, and padding follows it."
            else:
                yield f"at step {at} the likeliest token is {line[at]}; {mine[at]} was written. Which position says it?"
        elif (written[row, len(line) :] != pad_id).any():
            after, shown = written[row, len(line) :], written[row, len(line)]
            if (after == ids["eos"]).all():
                yield f"after its EOS a row is filled up with EOS, {shown}; pad_id = {pad_id} is expected."
                continue
            talks_on = np.array_equal(after, script[row, len(line) : len(line) + len(after)])
            why = ": the model goes on talking, and nobody should listen" if talks_on else ""
            yield f"after its EOS a row holds {shown} where pad_id = {pad_id} is expected{why}."


### BEGIN HIDDEN TESTS
@check("shift_right: any BOS, any dtype, a single column; the targets stay as they were", tolerance=0)
def test_shift_edges(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2)
    targets = tokens(rng, 30, batch, length)
    return {
        "another BOS": ex.shift_right(targets, 17),
        "int32": ex.shift_right(targets.int(), 3),
        "one column": ex.shift_right(targets[:, :1], 4),
        "moved": on_meta(lambda device: ex.shift_right(targets.to(device), 5)),
        "targets": targets,
    }


@test_shift_edges.explain
def _(got, want):
    if got["moved"]["strays"]:
        yield "with targets on another device, something is left behind on the CPU. On which one is the BOS made?"


@check("the smoothed loss in float64, for other values of smoothing, and 0.1 by default")
def test_loss_float64(ex: Exercise, rng: Random):
    batch, length, vocab_size = rng.sizes(3, low=3)
    logits = rng.tensor(batch, length, vocab_size, dtype=torch.float64)
    targets = rng.ids(vocab_size, batch, length)
    losses = {str(s): ex.label_smoothed_cross_entropy(logits, targets, s) for s in (0.0, 0.25, 1.0)}
    default = ex.label_smoothed_cross_entropy(logits, targets)
    return {"logits": logits, "targets": targets, "loss": losses, "default": default}


@test_loss_float64.explain
def _(got, want):
    yield from judge_loss(got, want, 0.25)
    if not close(got["default"], want["default"], 1e-6) and close(got["default"], got["loss"]["0.0"], 1e-9):
        yield "by default, smoothing is 0.1."


@check("an ignore_index outside the vocabulary, such as -100")
def test_ignored_outside(ex: Exercise, rng: Random):
    return ignoring(ex, rng, ignore_index=-100)


@test_ignored_outside.explain
def _(got, want):
    yield from judge_ignored(got, want)


@check("the gradients of the loss: right ones, and exactly zero where a target is ignored", tolerance=1e-6)
def test_loss_gradients(ex: Exercise, rng: Random):
    batch, length, vocab_size = rng.sizes(3, low=4)
    logits = rng.tensor(batch, length, vocab_size, dtype=torch.float64, grad=True)
    targets = rng.ids(vocab_size, batch, length)
    targets[0, 0], targets[1] = 2, 2
    loss = ex.label_smoothed_cross_entropy(logits, targets, 0.2, ignore_index=2)
    return {"gradient": gradients(loss.reshape(1), {"logits": logits}, rng)["logits"], "targets": targets}


@test_loss_gradients.explain
def _(got, want):
    if got["gradient"][want["targets"] == 2].any():
        yield "logits at places that are ignored have a gradient: they are still trained on."


@check("logits of a thousand and of a millionth: the loss stays finite", tolerance=1e-6)
def test_loss_large(ex: Exercise, rng: Random):
    batch, length, vocab_size = rng.sizes(3, low=3)
    logits, targets = rng.tensor(batch, length, vocab_size, dtype=torch.float64), rng.ids(vocab_size, batch, length)
    return [ex.label_smoothed_cross_entropy(logits * scale, targets, 0.1) for scale in (1e3, 1e-6)]


@check("bfloat16 logits give a bfloat16 loss; no argument is changed", compare="structure", after=test_ignored)
def test_loss_bfloat16(ex: Exercise, rng: Random):
    batch, length, vocab_size = rng.sizes(3, low=3)
    logits, targets = rng.tensor(batch, length, vocab_size, dtype=torch.bfloat16), rng.ids(vocab_size, batch, length)
    ignored = int(targets[0, 0])
    loss = ex.label_smoothed_cross_entropy(logits, targets, ignore_index=ignored)
    exact = ex.label_smoothed_cross_entropy(logits.double(), targets, ignore_index=ignored)
    return {"loss": loss, "exact": exact, "logits": logits, "targets": targets}


@test_loss_bfloat16.explain
def _(got, want):
    for name in ("logits", "targets"):
        if not np.array_equal(got[name], want[name]):
            yield f"the {name} are changed by the call."
    if not close(got["exact"], want["exact"], 1e-6):
        yield "the loss of the same logits in float64 is not what it should be."
    elif abs(got["loss"] - want["exact"]) > 0.1 * want["exact"]:
        yield "in bfloat16 the loss is further from that in float64 than rounding explains."


@check("a smoothing outside 0..1 and a target outside the vocabulary are refused")
def test_loss_wrong_arguments(ex: Exercise, rng: Random):
    logits, targets = rng.tensor(2, 3, 5), rng.ids(5, 2, 3)
    high, higher, negative = targets.clone(), targets.clone(), targets.clone()
    high[1, 1], higher[0, 1], negative[0, 2] = 5, 17, -100

    def loss(targets: Tensor, smoothing: float) -> Any:
        return lambda: ex.label_smoothed_cross_entropy(logits, targets, smoothing, ignore_index=-1)

    return {
        "smoothing above 1": raised(loss(targets, 1.25), mentions=[1.25]),
        "smoothing below 0": raised(loss(targets, -0.5), mentions=[-0.5]),
        "target V": raised(loss(high, 0.1)),
        "target too large": raised(loss(higher, 0.1), mentions=[17]),
        "target negative, not the one that is ignored": raised(loss(negative, 0.1), mentions=[-100]),
        "all in order": raised(loss(targets, 1.0)),
    }


@check("noam_lr for other widths, a warm-up of one step, the paper's; step 0 is refused", tolerance=1e-9)
def test_noam_edges(ex: Exercise, rng: Random):
    observed = rates(ex, rng.integers(100, 600), rng.integers(10, 30))
    observed["one step"] = [ex.noam_lr(step, 32, 1) for step in (1, 2, 9)]
    observed["paper"] = [ex.noam_lr(step, 512, 4000) for step in (1, 4000, 100_000)]
    observed["step 0"] = raised(lambda: ex.noam_lr(0, 64, 10), mentions=[0])
    return observed


@test_noam_edges.explain
def _(got, want):
    yield from judge_rates(got, want)


@check("the order of the tokens matters, on both sides", tolerance=1e-4, after=test_forward)
def test_order(ex: Exercise, rng: Random):
    model = model_of(ex, rng, n_layers=1)
    src, tgt_in = torch.tensor([[3, 4, 5, 6, 7]]), torch.tensor([[1, 3, 4, 5]])
    return {
        "logits": model(src, tgt_in)[0, -1],
        "source reversed": model(src.flip(1), tgt_in)[0, -1],
        "target swapped": model(src, tgt_in[:, [0, 2, 1, 3]])[0, -1],
    }


@test_order.explain
def _(got, want):
    if close(got["logits"], got["source reversed"], 1e-6):
        yield "a source and the same source backwards give the same logits: where are the positions of the source?"
    if close(got["logits"], got["target swapped"], 1e-6):
        yield (
            "for what comes next it makes no difference in which order the earlier tokens of the target were written: "
            "where are its positions?"
        )


@check(
    "each side has an embedding of its own, every layer its own weights, and positions have none",
    compare="nothing",
    free=("found.+", "numbers.+"),
)
def test_parameters(ex: Exercise, rng: Random):
    model = filled(ex.Transformer(9, 9, d_model=8, n_heads=2, n_layers=3, d_ff=10), rng)
    return {
        "positions": len(list(model.positions.parameters())),
        "found": census(model),
        "numbers": dict(named(model)),
    }


@test_parameters.explain
def _(got, want):
    tables = {"src_embedding.weight", "tgt_embedding.weight", "output.weight"}
    for name, one in want["found"].items():
        mine = got["found"].get(name)
        if mine is None:
            yield f"your model has no parameter `{name}`."
        elif mine["shape"] != one["shape"]:
            yield f"`{name}` has shape {tuple(mine['shape'])}; expected {tuple(one['shape'])}."
        elif mine["is"] != name and {mine["is"], name} == {"src_embedding.weight", "tgt_embedding.weight"}:
            yield (
                "source and target read from one and the same table. The paper shares it, since it has one vocabulary "
                "for both; here there are two of them, and a table for each."
            )
        elif mine["is"] != name and {mine["is"], name} <= tables:
            yield (
                f"`{name}` is the same parameter as `{mine['is']}`. The paper shares these; this contract asks for an "
                "output layer with weights of its own."
            )
        elif mine["is"] != name and mine["is"] in want["found"]:
            yield f"`{name}` is the same parameter as `{mine['is']}`: one module is used in two places."
    for name, numbers in want["numbers"].items():
        if not close(got["numbers"][name], numbers):
            yield f"`{name}` was given numbers, and holds others: does it go by another name as well?"
    if got["positions"] != 0:
        yield "the positions have parameters: sinusoidal ones have none."


@check("the sizes that are asked for are built", tolerance=1e-4)
def test_sizes(ex: Exercise, rng: Random):
    heads, per_head = rng.pick([(2, 4), (4, 2), (5, 2)])
    changes = {"src_vocab": 8, "tgt_vocab": 6, "d_model": heads * per_head, "n_heads": heads, "n_layers": 3, "d_ff": 7}
    model = model_of(ex, rng, **changes)
    plain = ex.Transformer(5, 7)
    return {
        "tables": [model.src_embedding.weight.shape, model.tgt_embedding.weight.shape],
        "layers": [len(model.encoder.layers), len(model.decoder.layers)],
        "inner": [stack.layers[0].feed_forward.up.weight.shape for stack in (model.encoder, model.decoder)],
        "output": [model.output.weight.shape, model.output.bias is not None],
        "logits": model(tokens(rng, 8, 2, 5), tokens(rng, 6, 2, 4)),
        "by default": {
            "output": plain.output.weight.shape,
            "layers": [len(plain.encoder.layers), len(plain.decoder.layers)],
            "inner": plain.decoder.layers[0].feed_forward.up.weight.shape,
            "pad_id": plain.pad_id,
        },
    }


@check(
    "a pad_id other than 0: that token is hidden, and 0 is a token like any other",
    compare="nothing",
    free=("heard*mask",),
    after=test_inputs,
)
def test_pad_id(ex: Exercise, rng: Random):
    return {"kept": ex.Transformer(**(SIZES | {"pad_id": 7})).pad_id, **padding_heard(ex, rng, pad_id=7)}


@test_pad_id.explain
def _(got, want):
    if got["kept"] != want["kept"]:
        yield f"a model made with pad_id=7 says that its pad_id is {got['kept']}."
    yield from judge_padding(got, want, also=" Here pad_id is 7: do you compare with that, or with 0?")


@check(
    "a source reads the same alone and in a batch with padding; one token will do, and so will a source of padding",
    tolerance=1e-4,
    after=test_forward,
)
def test_short(ex: Exercise, rng: Random):
    lengths, target = [4, 2, 6], 5
    model = model_of(ex, rng)
    src, tgt_in = tokens(rng, 11, 3, 6), tokens(rng, 13, 3, target, low=8)
    for row, length in enumerate(lengths):
        src[row, length:] = 0
    memory = model.encode(src)
    other = torch.where((src == 0)[..., None], memory + rng.tensor(*memory.shape, dtype=memory.dtype), memory)
    rows = [slice(row, row + 1) for row in range(3)]
    one, empty = torch.tensor([[4]]), torch.tensor([[4, 5, 3], [0, 0, 0]])
    beside = model(empty, tgt_in[:2])
    return {
        "memory alone": [model.encode(src[row, :length])[0] for row, length in zip(rows, lengths, strict=True)],
        "memory in a batch": [memory[row, :length] for row, length in enumerate(lengths)],
        "logits alone": [model(src[row, :length], tgt_in[row])[0] for row, length in zip(rows, lengths, strict=True)],
        "logits in a batch": list(model(src, tgt_in)),
        "logits, other padding": list(model.decode(tgt_in, other, src)),
        "one token": model(one, one),
        "beside a source of padding": beside[0],
        "a source of padding, finite": bool(torch.isfinite(beside[1]).all()),
    }


@test_short.explain
def _(got, want):
    for alone, batch in zip(got["memory alone"], got["memory in a batch"], strict=True):
        if not close(alone, batch, 1e-6):
            yield f"a source of {len(alone)} tokens has another memory when padding stands behind it."
    for mine, other in zip(got["logits in a batch"], got["logits, other padding"], strict=True):
        if not close(mine, other, 1e-6):
            yield "what the memory holds at padded positions can be felt in the logits of `decode`."


@check(
    "in evaluation mode nothing is dropped; in training each stack drops all that it is told to",
    tolerance=1e-4,
    after=test_forward,
)
def test_dropout(ex: Exercise, rng: Random):
    model, calm = model_of(ex, rng, dropout=ALL), model_of(ex, rng)
    for each in (model, calm):  # then a sublayer of which everything is dropped adds nothing, wherever it drops
        with torch.no_grad():
            sublayers = [part for layer in each.encoder.layers for part in (layer.self_attention, layer.feed_forward)]
            for layer in each.decoder.layers:
                sublayers += [layer.self_attention, layer.cross_attention, layer.feed_forward]
            for parameter in (parameter for part in sublayers for parameter in part.parameters()):
                if parameter.ndim == 1:  # the biases
                    parameter.zero_()
    src, tgt_in = tokens(rng, 11, 2, 6), tokens(rng, 13, 2, 5)
    memory = calm.encode(src)
    seen = {"calm": calm(src, tgt_in), "evaluation": model(src, tgt_in), "calm memory": memory}
    model.encoder.train()  # the encoder alone
    seen["encoder"] = model.encode(src)
    model.eval().decoder.train()
    return seen | {"decoder": model.decode(tgt_in, memory, src)}


@test_dropout.explain
def _(got, want):
    if not close(got["evaluation"], got["calm"], 1e-6):
        yield "in evaluation mode, a model with dropout gives different logits from one without."
    for half, calm in (("encoder", "calm memory"), ("decoder", "calm")):
        if close(got[half], got[calm], 1e-6):
            yield (
                f"with all dropped, and the {half} in training mode, everything is as in evaluation mode: the {half} "
                "drops nothing. Does it get `dropout`?"
            )


@check("wrong sizes, ids and lengths are refused")
def test_wrong_arguments(ex: Exercise, rng: Random):
    def build(**changes: Any) -> Any:
        return lambda: ex.Transformer(**(SIZES | changes))

    model = model_of(ex, rng, max_len=5)
    fits, long = torch.full((1, 5), 3), torch.full((1, 6), 3)
    return {
        "heads": raised(build(d_model=10), mentions=[10]),
        "odd width": raised(build(d_model=9), mentions=[9]),
        "dropout": raised(build(dropout=1.5), mentions=[1.5]),
        "source too long": raised(lambda: model(long, fits), mentions=[6]),
        "target too long": raised(lambda: model(fits, long), mentions=[6]),
        "source id": raised(lambda: model(torch.tensor([[11]]), fits), mentions=[11]),
        "target id": raised(lambda: model(fits, torch.tensor([[13]])), mentions=[13]),
        "all in order": raised(lambda: model(fits, fits)),
    }


@check("the gradients reach every parameter, and no argument is changed", tolerance=1e-3)
def test_gradients(ex: Exercise, rng: Random):
    model = model_of(ex, rng)
    src, tgt_in = tokens(rng, 11, 2, 5), tokens(rng, 13, 2, 4)
    src[0, 3:] = 0
    names = ["src_embedding.weight", "tgt_embedding.weight"]
    names += [f"{half}.layers.{i}.feed_forward.up.weight" for half in ("encoder", "decoder") for i in range(2)]
    chosen = {name: model.get_parameter(name) for name in names}
    return {"gradient": gradients(model(src, tgt_in), chosen, rng), "src": src, "tgt_in": tgt_in}


@check(
    "greedy_decode with other lengths, an EOS at once, one that never comes, and another pad_id",
    compare="nothing",
    free=("*.calls*", "*.written"),
    exact=PUT_IN,
)
def test_greedy_lengths(ex: Exercise, rng: Random):
    return [
        by_script(ex, rng, lengths=[4, 0, 2, 3], max_len=5, pad_id=12),
        by_script(ex, rng, lengths=[6, 1], max_len=6, pad_id=1),
        by_script(ex, rng, lengths=[5, 4], max_len=5, pad_id=0),
        by_script(ex, rng, lengths=[1], max_len=1, pad_id=2),
    ]


@test_greedy_lengths.explain
def _(got, want):
    for mine, theirs in zip(got, want, strict=True):
        yield from judge_script(mine, theirs)


@check(
    "greedy_decode: evaluation mode, no graph; then the mode from before",
    compare="nothing",
    free=("*.calls*", "*.written"),
    exact=PUT_IN,
)
def test_greedy_mode(ex: Exercise, rng: Random):
    return {
        "in training": by_script(ex, rng, lengths=[2, 3], max_len=5, pad_id=0, training=True),
        "in evaluation": by_script(ex, rng, lengths=[2, 3], max_len=5, pad_id=0, training=False),
    }


@test_greedy_mode.explain
def _(got, want):
    for came in want:
        seen = got[came]
        if not seen["calls"]:
            yield "the model is never asked what comes next."
        elif any(call["graph"] for call in seen["calls"]) or seen["graph"]:
            yield "the model is asked with gradients enabled: a graph is built that nobody will use."
        elif any(call["training"] for call in seen["calls"]):
            yield "the model writes in training mode: with dropout, it would say something else each time."
        elif seen["mode"] != (came == "in training"):
            now = "in training mode" if seen["mode"] else "in evaluation mode"
            yield f"a model that was {came} mode is {now} afterwards: it should be as it was found."
        yield from judge_script(seen, want[came])


@check(
    "greedy_decode of a whole model: with padding, a batch writes what each source alone would",
    compare="nothing",
    free=("written",),  # how long it is, once all have their EOS; `explain` compares what it holds
    after=test_forward,
)
def test_greedy_model(ex: Exercise, rng: Random):
    model = model_of(ex, rng, dropout=0.4).train()
    src = tokens(rng, 11, 4, 7)
    for row, length in enumerate((7, 3, 5, 1)):
        src[row, length:] = 0
    written = ex.greedy_decode(model, src, BOS, EOS, 9)
    return {"written": written, "dtype": written.dtype, "training": model.training}


@test_greedy_model.explain
def _(got, want):
    if got["training"] is not True or got["dtype"] != want["dtype"]:
        yield f"afterwards, training is {got['training']}; the dtype is {got['dtype']}. Expected True and torch.int64."
    shape = np.shape(got["written"])
    if len(shape) != 2 or shape[0] != 4 or shape[1] > 9:
        yield f"the result has shape {shape}; 4 rows of at most 9 tokens are expected."
        return
    mine, theirs = (np.pad(seen["written"], ((0, 0), (0, 9 - seen["written"].shape[1]))) for seen in (got, want))
    if not (mine == theirs).all():
        row, at = np.argwhere(mine != theirs)[0]
        if at >= shape[1]:
            yield f"row {row} ends after {shape[1]} tokens; the model would go on with {theirs[row, at]}."
        yield (
            f"token {at} of row {row} is {mine[row, at]}; the likeliest one is {theirs[row, at]}. (The model came in "
            "training mode, with dropout, and this batch holds padding.)"
        )


REVERSAL = {"src_vocab": 9, "tgt_vocab": 9, "d_model": 32, "n_heads": 2, "n_layers": 1, "d_ff": 64, "max_len": 8}
LETTERS, LONGEST = 6, 5


def reversed_pairs(words: np.ndarray) -> tuple[Tensor, Tensor]:
    """Sources (B, 5) and targets (B, 6): rows of letters 3 to 8, filled up with 0, and the same backwards with EOS."""
    src, targets = np.zeros((len(words), LONGEST), int), np.zeros((len(words), LONGEST + 1), int)
    for row, word in enumerate(words):
        letters = word[word > 0]
        src[row, : len(letters)] = letters
        targets[row, : len(letters) + 1] = [*letters[::-1], EOS]
    return torch.from_numpy(src), torch.from_numpy(targets)


def words(rng: np.random.Generator, count: int) -> np.ndarray:
    """Random words of 1 to 5 of the letters 3 to 8, filled up with 0: (count, 5)."""
    drawn = rng.integers(3, 3 + LETTERS, (count, LONGEST))
    return drawn * (np.arange(LONGEST) < rng.integers(1, LONGEST + 1, (count, 1)))


@check(
    "a few seconds of training teach it to reverse words that it has never seen",
    points=3,
    limit=120.0,
    compare="nothing",
)
def test_learns_to_reverse(ex: Exercise, rng: Random):
    torch.manual_seed(rng.integers(0, 2**31))
    model = ex.Transformer(**REVERSAL).train()
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9)
    known = words(rng.numpy, 2000)
    for step in range(1, 401):
        src, targets = reversed_pairs(known[rng.integers(0, len(known), 64)])
        logits = model(src, ex.shift_right(targets, BOS))
        loss = ex.label_smoothed_cross_entropy(logits, targets, smoothing=0.1, ignore_index=0)
        optimizer.param_groups[0]["lr"] = ex.noam_lr(step, 32, 1200)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {"weights": parameters(model), "known": known}


@test_learns_to_reverse.explain
def _(got, want, reference):
    model = loaded(reference.Transformer(**REVERSAL), got["weights"])
    seen = {tuple(word) for word in want["known"]}
    fresh = [word for word in words(np.random.default_rng(12), 2000) if tuple(word) not in seen]
    src, targets = reversed_pairs(np.array(fresh))
    written = reference.greedy_decode(model, src, BOS, EOS, LONGEST + 1)
    written = torch.nn.functional.pad(written, (0, LONGEST + 1 - written.size(1)))
    share = (written == targets).all(1).double().mean().item()
    if not share > 0.9:
        yield (
            f"after 400 steps your model reverses {share:.0%} of {len(fresh)} words that it was not trained on; the "
            "reference nearly all. Look at the checks above first. If they pass, a loss that falls to nearly nothing "
            "means that the model sees its answers; one that does not fall, that its steps are too small or too large."
        )


@check("encoder and decoder run on the device of the tokens, masks included", tolerance=1e-4, after=test_forward)
def test_device(ex: Exercise, rng: Random):
    batch, source, target = rng.sizes(3)
    model = model_of(ex, rng)
    src, tgt_in = tokens(rng, 11, batch, source), tokens(rng, 13, batch, target)
    here = model(src, tgt_in)

    def table(ids: Tensor) -> Tensor:  # the real one looks at the ids, and there is nothing to see on `meta`
        return torch.ones(*ids.shape, SIZES["d_model"], dtype=torch.float64, device=ids.device)

    overheard({"source": model.src_embedding, "target": model.tgt_embedding}, table)
    return {"cpu": here, "moved": on_meta(lambda device: model.to(device)(src.to(device), tgt_in.to(device)))}


@test_device.explain
def _(got, want):
    if got["moved"]["strays"]:
        yield "with model and tokens on another device, a tensor is left behind on the CPU. Where are the masks made?"


### END HIDDEN TESTS
