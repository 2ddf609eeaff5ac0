"""What the pieces of training and the loop must do: the checks of exercise 14."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.checks import Exercise, Random, check, close, filled, loaded, parameters, raised

TINY_GPT = {"vocab_size": 8, "context_length": 16, "d_model": 32, "n_heads": 2, "n_layers": 2}


class Bigram(nn.Module):
    """A stand-in for a GPT: a table of logits, by the last token alone. It keeps a record of its calls."""

    def __init__(self, vocab_size: int, context_length: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab_size, context_length=context_length)
        self.table = nn.Parameter(torch.zeros(vocab_size, vocab_size))
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout = nn.Dropout(dropout)
        self.calls: list[dict[str, object]] = []

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        self.calls.append({"training": self.training, "graph": torch.is_grad_enabled(), "ids": ids.clone()})
        logits = self.dropout(self.table[ids]) + self.bias  # (B, T, V)
        loss = None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss


def one_window(rng: Random, vocab_size: int, context_length: int) -> Tensor:
    """The shortest corpus there is: whatever is drawn from it, every batch is the same."""
    return rng.ids(vocab_size, context_length + 1)


def weight(rng: Random, *shape: int, dtype: torch.dtype = torch.float64) -> nn.Parameter:
    """A parameter with given values; a scalar if no shape is given."""
    return nn.Parameter(rng.tensor(*(shape or (1,)), dtype=dtype).reshape(shape))


def like(rng: Random, parameter: Tensor, scale: float = 1.0) -> Tensor:
    """A gradient for a parameter."""
    return rng.tensor(parameter.numel(), dtype=parameter.dtype, scale=scale).view_as(parameter)


def steps(optimizer, named: dict[str, Tensor], gradients: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The parameters after each step with given gradients; a parameter that is not named has none in that step."""
    after = []
    for given in gradients:
        for name, parameter in named.items():
            parameter.grad = given[name].clone() if name in given else None
        optimizer.step()
        after.append({name: parameter.detach().clone() for name, parameter in named.items()})
    return after


@check("get_batch: windows of the corpus, and the same windows one token later", points=1, compare="structure")
def test_batch(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, low=4)
    tokens = torch.from_numpy(rng.numpy.permutation(60))  # no token twice
    x, y = ex.get_batch(tokens, batch, length, rng.generator())
    return {"tokens": tokens, "x": x, "y": y}


@test_batch.explain
def _(got, want):
    place = np.argsort(got["tokens"])  # where in the corpus a token stands
    x, y = place[got["x"]], place[got["y"]]
    if (x != x[:, :1] + np.arange(x.shape[1])).any():
        yield "a row of x is not a stretch of the corpus: do its tokens stand side by side there, in that order?"
    elif (x[:, 0] == x[0, 0]).all():
        yield "all rows of x are the same window: is one start drawn for the whole batch, or one for each row?"
    elif (y == x).all():
        yield "y is the same as x: the model would learn to repeat the token that it has just read."
    elif (y == x - 1).all():
        yield "y is x one token earlier: which of the two is the future?"
    elif (y != x + 1).any():
        row, column = np.argwhere(y != x + 1)[0]
        yield f"y[{row}, {column}] is not the token that follows x[{row}, {column}] in the corpus."


@check("AdamW: each step follows the averages of the gradient and of its square", points=1)
def test_adam(ex: Exercise, rng: Random):
    w = weight(rng, *rng.sizes(2))
    start = w.detach().clone()
    gradients = [{"w": like(rng, w)} for _ in range(5)]
    return {"start": start, "after": steps(ex.AdamW([w], lr=0.1, weight_decay=0.0), {"w": w}, gradients)}


@test_adam.explain
def _(got, want):
    start, mine, theirs = want["start"], [row["w"] for row in got["after"]], [row["w"] for row in want["after"]]
    longer = float(np.median((mine[0] - start) / (theirs[0] - start)))
    if close(mine[0], start):
        yield "after a step with a gradient the parameter is where it was: is it changed in place?"
    elif close(longer, -1.0, 1e-3):
        yield "the first step goes up the gradient instead of down."
    elif not close(longer, 1.0, 1e-3):
        yield (
            f"the first step should have size lr for every weight, whatever its gradient; yours is {longer:.3g} times "
            "as long. The averages start at zero: what does a first step have to make up for?"
        )
    elif not close(mine[0], theirs[0], 1e-9):
        yield "the first step is off by a little, most where the gradient is small: where exactly does eps come in?"
    elif not close(mine[1], theirs[1], 1e-9):
        yield (
            "the first step is right, the second is not. From the second on, both averages remember the step before, "
            "and the correction depends on how many steps there were: which of these does not hold?"
        )


@check("AdamW: weights decay by lr * weight_decay of themselves, apart from the gradient", points=1, compare="nothing")
def test_decay(ex: Exercise, rng: Random):
    start = rng.tensor(*rng.sizes(2, low=3), dtype=torch.float64)
    gradient = like(rng, start)
    gradient[0] = 0.0
    observed = {"start": start}
    for name, weight_decay in (("plain", 0.0), ("decayed", 0.5)):
        w = nn.Parameter(start.clone())
        steps(ex.AdamW([w], lr=0.1, weight_decay=weight_decay), {"w": w}, [{"w": gradient}])
        observed[name] = w
    return observed


@test_decay.explain
def _(got, want):
    start = want["start"]
    lost = got["plain"] - got["decayed"]
    if close(got["plain"][1:], start[1:]):
        yield "after a step with a gradient the parameter is where it was."
    elif close(lost[0], 0.0, 1e-9):
        yield "row 0 has gradients of zero and should shrink by the decay all the same; yours stays as it is."
    elif close(np.abs(lost[0]), 0.1, 1e-3):
        yield (
            "row 0 has gradients of zero, and the decay moves all its weights by lr, the large ones no further "
            "than the small. Does it pass through the averages and the division?"
        )
    elif not close(lost[0], 0.05 * start[0], 1e-9):
        share = float(np.median(lost[0] / start[0]))
        yield (
            f"row 0 has gradients of zero; with lr = 0.1 and weight_decay = 0.5 its weights should lose 0.05 of "
            f"themselves in a step; yours lose {share:.3g}."
        )
    elif not close(lost, 0.05 * start, 1e-9):
        yield "weights with zero gradients decay as they should, others don't: is it the weight before the step?"


@check("cosine_lr: a straight line up to max_lr, then half a cosine down to min_lr", points=1)
def test_cosine(ex: Exercise, rng: Random):
    warmup = rng.integers(3, 8)
    total = warmup + 2 * rng.integers(4, 12)
    rates = [ex.cosine_lr(step, 0.3, 0.02, warmup, total) for step in range(total + 4)]
    return {"warmup": warmup, "total": total, "rates": rates}


@test_cosine.explain
def _(got, want):
    warmup, total, mine, theirs = want["warmup"], want["total"], got["rates"], want["rates"]
    if not close(mine[:warmup], theirs[:warmup]):
        first = next(step for step in range(warmup) if not close(mine[step], theirs[step]))
        yield (
            f"with max_lr = 0.3 and {warmup} steps of warm-up, the rate at step {first} should be "
            f"{theirs[first]:.4g}; yours is {mine[first]:.4g}. The line starts from zero at step 0."
        )
    elif not close(mine[warmup], 0.3):
        yield (
            f"the warm-up ends at step {warmup} with max_lr = 0.3; your rate there is {mine[warmup]:.4g}. "
            "From where to where does the cosine run?"
        )
    elif not close(mine[total], 0.02):
        yield f"at the end, step {total}, the rate should be min_lr = 0.02; yours is {mine[total]:.4g}."
    elif not close(mine[total:], 0.02):
        yield f"after the end the rate stays at min_lr = 0.02; at step {total + 3} yours is {mine[total + 3]:.4g}."
    elif not close(mine, theirs):
        middle = (warmup + total) // 2
        yield (
            f"both ends are right, the way down is not: at step {middle}, half-way, the rate should be half-way "
            f"between max_lr and min_lr, {theirs[middle]:.4g}; yours is {mine[middle]:.4g}."
        )


@check("clip_grad_norm: one factor for all gradients, and the norm from before", points=1, tolerance=1e-5)
def test_clip(ex: Exercise, rng: Random):
    shapes = [rng.sizes(2), rng.sizes(1), ()]
    named = [weight(rng, *shape, dtype=torch.float32) for shape in shapes]
    for parameter in named:
        parameter.grad = like(rng, parameter, scale=3.0)
    norm = ex.clip_grad_norm(named, 0.5)
    return {"norm": norm, "gradients": [parameter.grad for parameter in named]}


@test_clip.explain
def _(got, want):
    mine = [np.linalg.norm(gradient) for gradient in got["gradients"]]
    theirs = [np.linalg.norm(gradient) for gradient in want["gradients"]]
    factors = np.array(mine) / np.array(theirs)
    if close(got["norm"], 0.5, 1e-3):
        yield "what is returned is the norm after clipping; the one from before tells how wild the gradient was."
    elif close(mine, np.minimum(np.array(theirs) * want["norm"] / 0.5, 0.5), 1e-3):
        yield "each gradient is clipped by itself, which bends the direction: the norm is that of all as one vector."
    elif not close(factors, factors[0], 1e-3):
        yield "the gradients are not all scaled by the same factor."
    elif not close(factors, 1.0, 1e-3):
        yield (
            f"after clipping to max_norm = 0.5 all gradients together should have the norm 0.5; "
            f"yours have {np.linalg.norm(mine):.4g}."
        )


class Sorted(nn.Module):
    """Parameters of several kinds; those of two and more dimensions are to decay."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.gain = nn.Parameter(torch.ones(5))
        self.embedding = nn.Parameter(torch.zeros(4, 5))


def decays(groups, model: nn.Module) -> dict[str, list[float]]:
    """For each parameter the decay of each group that it is in."""
    return {
        name: [float(group["weight_decay"]) for group in groups for one in group["params"] if one is parameter]
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


@check("parameter_groups: matrices decay; biases and gains do not", points=1, compare="nothing")
def test_groups(ex: Exercise, rng: Random):
    model = Sorted()
    return decays(ex.parameter_groups(model, 0.25), model)


@test_groups.explain
def _(got, want):
    yield from judge_groups(got, want)


def judge_groups(got, want):
    for name, expected in want.items():
        mine = got[name]
        if not expected and mine:
            yield f"`{name}` is frozen (requires_grad is False) and in a group; it should be in none."
        elif len(mine) != len(expected):
            yield f"`{name}` is in the groups {len(mine)} times; every trainable tensor should be, once."
        elif mine != expected:
            kind = "two or more dimensions" if expected == [0.25] else "fewer than two dimensions"
            yield f"`{name}` has {kind}, and a decay of {expected[0]} (of 0.25) is expected; yours is {mine[0]}."


@check("evaluate: the mean loss over as many batches as asked for, drawn from the generator", compare="structure")
def test_evaluate(ex: Exercise, rng: Random):
    tokens = torch.from_numpy(rng.numpy.permutation(30))  # no token twice: x tells what y must be
    model = filled(Bigram(30, 4), rng, scale=1.0)
    seed = rng.integers(0, 1000)
    observed = {"tokens": tokens, "table": model.table, "bias": model.bias}
    for other, name in enumerate(("once", "again")):
        torch.manual_seed(other)
        model.calls.clear()
        loss = ex.evaluate(model, tokens, 3, 4, 5, torch.Generator().manual_seed(seed))
        observed[name] = {"loss": loss, "windows": torch.cat([call["ids"] for call in model.calls])}
    return observed


def losses_of(windows: np.ndarray, seen) -> np.ndarray:
    """The loss of each window, (W, T) -> (W,), under a bigram model: in a corpus without repeats x tells y."""
    follower = np.empty(len(seen["tokens"]), dtype=int)
    follower[seen["tokens"][:-1]] = seen["tokens"][1:]
    logits = seen["table"] + seen["bias"]
    surprise = np.log(np.exp(logits).sum(-1, keepdims=True)) - logits  # (V, V)
    return surprise[windows, follower[windows]].mean(-1)


@test_evaluate.explain
def _(got, want):
    windows, mine = got["once"]["windows"], got["once"]["loss"]
    each = losses_of(windows, want)
    if (windows.reshape(5, 3, 4) == windows[:3]).all():
        yield "all batches are the same one: is the generator started anew for each?"
    elif close(mine, 5 * each.mean(), 1e-4):
        yield "what is returned is the sum of the batches' losses; their mean does not depend on how many there are."
    elif close(mine, each[-3:].mean(), 1e-4):
        yield "what is returned is the loss of the last batch alone."
    elif not close(mine, each.mean(), 1e-4):
        yield f"the mean loss of the windows that the model was given is {each.mean():.4f}; yours is {mine:.4f}."
    elif (windows != got["again"]["windows"]).any():
        yield "two calls with generators of one seed draw different batches: is the generator handed on?"


@check("train: a row of history after every eval_every steps, and one after the last", points=1, compare="nothing")
def test_history(ex: Exercise, rng: Random):
    return histories(ex, rng, [(7, 3)])


def histories(ex: Exercise, rng: Random, runs: list[tuple[int, int]]):
    """The rows of some runs, without the losses, and what the callback was told, for (steps, eval_every)."""
    observed = {}
    for n_steps, eval_every in runs:
        options = {"max_lr": 0.1, "min_lr": 0.02, "warmup_steps": 2, "eval_batches": 2}
        config = ex.TrainConfig(steps=n_steps, eval_every=eval_every, batch_size=3, **options)
        told: list[list[object]] = []
        model = filled(Bigram(6, 5), rng)
        history = ex.train(model, rng.ids(6, 40), rng.ids(6, 40), config, lambda *news, told=told: told.append([*news]))
        observed[f"steps = {n_steps}, eval_every = {eval_every}"] = {
            "rows": [{key: row[key] for key in ("step", "lr", "tokens_seen")} for row in history],
            "losses": [[row["train_loss"], row["val_loss"]] for row in history],
            "told": told,
        }
    return observed


@test_history.explain
def _(got, want):
    yield from judge_histories(got, want)


def judge_histories(got, want):
    for run, mine in got.items():
        theirs = want[run]
        numbers, expected = [row["step"] for row in mine["rows"]], [row["step"] for row in theirs["rows"]]
        if numbers != expected:
            yield f"{run}: your rows are of the steps {numbers}; expected {expected}."
        for row, other in zip(mine["rows"], theirs["rows"], strict=True):
            if not close(row["lr"], other["lr"], 1e-9):
                yield f"{run}: the row of step {row['step']} has lr = {row['lr']:.4g}; expected {other['lr']:.4g}."
            if row["tokens_seen"] != other["tokens_seen"]:
                yield (
                    f"{run}: by step {row['step']} the model has seen {other['tokens_seen']} tokens "
                    f"(3 windows of 5 in each step); your row says {row['tokens_seen']}."
                )
        calls = [step for step, _ in mine["told"]]
        if calls != [step for step, _ in theirs["told"]]:
            yield f"{run}: on_step is told of the steps {calls}; expected 1 to {len(theirs['told'])}, each once."
        for loss in [loss for _, loss in mine["told"]] + [loss for row in mine["losses"] for loss in row]:
            if not isinstance(loss, float):
                yield f"{run}: a loss is not a Python float. One that is a tensor keeps its whole graph alive."
            if not np.isfinite(loss):
                yield f"{run}: a loss is {loss}."


@check("train: a GPT learns, and does better on text that it never saw", points=2, limit=30.0, compare="nothing")
def test_learns(ex: Exercise, rng: Random):
    gpt = ex.of("ex13_gpt")
    model = filled(gpt.GPT(gpt.GPTConfig(**TINY_GPT)), rng, scale=0.1)
    before = {name: parameter.detach().clone() for name, parameter in parameters(model).items()}
    corpus = torch.tensor(noisy_cycle(rng, 4000))
    config = ex.TrainConfig(
        steps=60, batch_size=8, max_lr=1e-2, min_lr=1e-3, warmup_steps=10, eval_every=60, eval_batches=4
    )
    history = ex.train(model, corpus[:3000], corpus[3000:], config)
    return {
        "before": before,
        "after": parameters(model),
        "corpus": corpus,
        "history": [row["val_loss"] for row in history],
    }


def noisy_cycle(rng: Random, length: int) -> list[int]:
    """Text of 8 tokens in which nine of ten follow from the one before: always the same one."""
    order, text = rng.numpy.permutation(8).tolist(), [0]
    for _ in range(length - 1):
        text.append(order[text[-1]] if rng.uniform() < 0.9 else rng.integers(0, 8))
    return text


@test_learns.explain
def _(got, want, reference):
    gpt = reference.of("ex13_gpt")
    held_out = torch.as_tensor(want["corpus"])[3000:]

    def loss(weights) -> float:
        model = loaded(gpt.GPT(gpt.GPTConfig(**TINY_GPT)), weights)
        return reference.evaluate(model, held_out, 32, 16, 4, torch.Generator().manual_seed(0))

    before, mine, theirs = loss(want["before"]), loss(got["after"]), loss(want["after"])
    if not mine < 1.2 * theirs + 0.05:
        yield (
            f"on text that was not trained on the loss was {before:.2f} before; after 60 steps it should be about "
            f"{theirs:.2f}, and is {mine:.2f}. What happens in one step of yours, and in which order?"
        )
    elif not close(got["history"][-1], mine, 0.25):
        said = got["history"][-1]
        yield f"the history says that the model ended at {said:.2f} on held-out text; measured, it is {mine:.2f}."


### BEGIN HIDDEN TESTS
@check("get_batch: every window of the corpus can be drawn, from the first to the last", points=1, compare="structure")
def test_batch_starts(ex: Exercise, rng: Random):
    length = rng.integers(3, 8)
    n_starts = rng.integers(3, 7)
    x, y = ex.get_batch(torch.arange(length + n_starts), 600, length, rng.generator())
    return {"x": x, "y": y, "n_starts": n_starts}


@test_batch_starts.explain
def _(got, want):
    n_starts = want["n_starts"]
    counts = np.bincount(got["x"][:, 0], minlength=n_starts)
    if counts[0] == 0:
        yield "the first window of the corpus is never drawn."
    elif counts[n_starts - 1] == 0:
        yield "the last window that fits is never drawn: how many starts are there in a corpus of T + 1 tokens?"
    elif counts.min() < 0.4 * 600 / n_starts:
        yield "some windows are drawn far more seldom than others; all should be equally likely."
    elif (got["y"] != got["x"] + 1).any():
        yield "some rows of y are not the rows of x one token later."


@check("get_batch: the generator decides, and torch's global one if there is none", points=1, compare="structure")
def test_batch_generator(ex: Exercise, rng: Random):
    tokens = rng.ids(50, 500)
    seed = rng.integers(0, 1000)
    drawn = []
    for other in (1, 2):
        torch.manual_seed(other)
        generator = torch.Generator().manual_seed(seed)
        drawn.append([ex.get_batch(tokens, 4, 6, generator)[0] for _ in range(2)])
    return {"first": drawn[0], "again": drawn[1], "none": [ex.get_batch(tokens, 4, 6)[0] for _ in range(2)]}


@test_batch_generator.explain
def _(got, want):
    if any((one != other).any() for one, other in zip(got["first"], got["again"], strict=True)):
        yield "two generators of one seed give different batches: do all your draws come from the generator?"
    elif (got["first"][0] == got["first"][1]).all():
        yield "two batches drawn from one generator are the same: is it put back to its start?"
    elif (got["none"][0] == got["none"][1]).all():
        yield "without a generator two batches are the same."


@check("get_batch: a corpus of T + 1 tokens is enough, one of T is a ValueError", points=1)
def test_batch_too_short(ex: Exercise, rng: Random):
    length = rng.integers(4, 9)
    tokens = rng.ids(9, length + 1)
    x, y = ex.get_batch(tokens, 3, length)
    return {
        "x": x,
        "y": y,
        "T tokens": raised(lambda: ex.get_batch(tokens[:-1], 3, length), ["tokens", length]),
        "3 tokens": raised(lambda: ex.get_batch(tokens[:3], 3, length), ["tokens", 3]),
    }


@check("get_batch: the batch has the dtype and the device of the corpus", points=1, compare="structure")
def test_batch_device(ex: Exercise, rng: Random):
    narrow = ex.get_batch(rng.ids(9, 30).to(torch.int32), 2, 5, rng.generator())
    elsewhere = ex.get_batch(torch.empty(30, dtype=torch.int64, device="meta"), 2, 5, rng.generator())
    return {"int32": list(narrow), "device": list(elsewhere)}


@check("AdamW: groups have options of their own, which may change between steps", points=1)
def test_adam_options(ex: Exercise, rng: Random):
    named = {"scalar": weight(rng), "cube": weight(rng, *rng.sizes(3)), "vector": weight(rng, 4)}
    own = {"params": [named["cube"]], "lr": 0.02, "betas": (0.5, 0.7), "eps": 0.3, "weight_decay": 0.4}
    rest = {"params": [named["scalar"], named["vector"]]}
    optimizer = ex.AdamW([own, rest], lr=0.05, betas=(0.8, 0.95), eps=0.1, weight_decay=0.2)
    gradients = [{name: like(rng, parameter) for name, parameter in named.items()} for _ in range(6)]
    first = steps(optimizer, named, gradients[:3])
    for group in optimizer.param_groups:
        group["lr"] *= 3.0
    return {"first steps": first, "after a new lr": steps(optimizer, named, gradients[3:])}


@test_adam_options.explain
def _(got, want):
    for name, kind in (("vector", "the constructor's"), ("cube", "its group's own")):
        mine, theirs = got["first steps"][0][name], want["first steps"][0][name]
        if not close(mine, theirs, 1e-8):
            yield f"with {kind} lr, betas, eps and weight_decay the first step goes wrong. Note eps: it is large."
    if close(got["first steps"][-1]["vector"], want["first steps"][-1]["vector"], 1e-8):
        mine, theirs = got["after a new lr"][0]["vector"], want["after a new lr"][0]["vector"]
        if not close(mine, theirs, 1e-8):
            yield "all is well until a group's lr is changed between two steps: is it read from the group in each step?"


@check("AdamW: each parameter counts its own steps; without a gradient it is left alone", points=1, compare="nothing")
def test_adam_counts(ex: Exercise, rng: Random):
    named = {name: weight(rng, 3, 2) for name in ("always", "late", "sometimes", "never")}
    turns = [("always", "sometimes"), ("always",), ("always", "late", "sometimes"), ("always", "late")]
    gradients = [{name: like(rng, named[name]) for name in turn} for turn in turns]
    start = {name: parameter.detach().clone() for name, parameter in named.items()}
    together = steps(ex.AdamW(named.values(), lr=0.1, weight_decay=0.3), named, gradients)[-1]
    alone = {}
    for name in ("always", "late", "sometimes"):
        w = nn.Parameter(start[name].clone())
        own = [{"w": given[name]} for given in gradients if name in given]
        alone[name] = steps(ex.AdamW([w], lr=0.1, weight_decay=0.3), {"w": w}, own)[-1]["w"]
    return {"start": start, "together": together, "alone": alone}


@test_adam_counts.explain
def _(got, want):
    start, together, alone = want["start"], got["together"], got["alone"]
    if not close(together["never"], start["never"], 1e-12):
        yield "a parameter that never has a gradient is changed."
    elif close(together["late"], start["late"]):
        yield "a parameter whose first gradient comes in step 3 is never moved."
    elif not close(together["late"], alone["late"], 1e-9):
        yield "a parameter whose first gradient comes in step 3 goes wrong: whose steps does your correction count?"
    elif not close(together["sometimes"], alone["sometimes"], 1e-9):
        yield "a parameter that has no gradient in one of the steps goes wrong: it should miss that step altogether."
    elif not close(together["always"], alone["always"], 1e-9):
        yield "a parameter is moved in another way when there are others beside it."


@check("AdamW: state_dict and load_state_dict carry on where another optimizer stopped", points=1, compare="nothing")
def test_adam_state(ex: Exercise, rng: Random):
    named = {"a": weight(rng, 3, 4), "b": weight(rng, 5)}
    gradients = [{name: like(rng, parameter) for name, parameter in named.items()} for _ in range(5)]

    def groups(of: dict[str, nn.Parameter]):
        return [{"params": [of["a"]], "weight_decay": 0.3}, {"params": [of["b"]]}]

    optimizer = ex.AdamW(groups(named), lr=0.05, betas=(0.7, 0.9))
    steps(optimizer, named, gradients[:3])
    saved = copy.deepcopy(optimizer.state_dict())
    copies = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in named.items()}
    others = copy.deepcopy(copies)
    resumed, forgetful = ex.AdamW(groups(copies)), ex.AdamW(groups(others), lr=0.05, betas=(0.7, 0.9))
    resumed.load_state_dict(saved)
    return {
        "resumed": steps(resumed, copies, gradients[3:]),
        "fresh": steps(forgetful, others, gradients[3:]),
        "uninterrupted": steps(optimizer, named, gradients[3:]),
    }


@test_adam_state.explain
def _(got, want):
    on, resumed, fresh = (got[name][-1] for name in ("uninterrupted", "resumed", "fresh"))
    if all(close(on[name], resumed[name], 1e-9) for name in on):
        return
    if all(close(fresh[name], resumed[name], 1e-9) for name in on):
        yield (
            "an optimizer that loads the state of another steps as if it had never stepped before: "
            "does all that has to last stand in self.state[parameter]?"
        )
    else:
        yield "an optimizer that loads the state of another does not go on as that one does: what is left behind?"


@check(
    "AdamW: gradients of any size, and of zero; float32 and bfloat16 stay what they are", points=1, compare="structure"
)
def test_adam_extremes(ex: Exercise, rng: Random):
    scales = {"huge": 1e15, "tiny": 1e-15, "zero": 0.0, "bfloat16": 1.0}
    named = {name: weight(rng, 3, 2, dtype=torch.float32) for name in scales}
    named["bfloat16"] = weight(rng, 3, 2, dtype=torch.bfloat16)
    start = {name: parameter.detach().clone() for name, parameter in named.items()}
    gradients = [{name: like(rng, w, scales[name]) for name, w in named.items()} for _ in range(2)]
    return {"start": start} | steps(ex.AdamW(named.values(), lr=0.1, weight_decay=0.0), named, gradients)[-1]


@test_adam_extremes.explain
def _(got, want):
    for name, case in (("huge", "with gradients around 1e15"), ("bfloat16", "in bfloat16")):
        if close(got[name], want["start"][name]):
            yield f"a parameter {case} is not moved."
    for name, case in (("zero", "of zero"), ("tiny", "around 1e-15")):
        if not close(got[name], want["start"][name], 1e-5):
            yield f"gradients {case} move a parameter, although nothing decays here: what is eps for?"


@check("AdamW: the gradients themselves are left as they are", points=1)
def test_adam_gradients(ex: Exercise, rng: Random):
    w = weight(rng, *rng.sizes(2))
    w.grad = like(rng, w)
    optimizer = ex.AdamW([w], lr=0.1, weight_decay=0.3)
    for _ in range(3):
        optimizer.step()
    return {"gradient": w.grad}


@check("AdamW: a closure is called once, before the step, with gradients; its loss is returned", compare="nothing")
def test_adam_closure(ex: Exercise, rng: Random):
    w = weight(rng, *rng.sizes(2))
    start = w.detach().clone()
    optimizer = ex.AdamW([w], lr=0.1, weight_decay=0.0)
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = (w * w).sum()
        if loss.requires_grad:
            loss.backward()
        return loss

    returned = optimizer.step(closure)
    return {"calls": calls, "returned": returned, "start": start, "w": w, "without": optimizer.step()}


@test_adam_closure.explain
def _(got, want):
    if not got["calls"]:
        yield "the closure is never called."
    elif len(got["calls"]) > 1:
        yield f"the closure is called {len(got['calls'])} times in one step."
    elif not got["calls"][0]:
        yield "gradients are off while the closure runs, so its backward can't work: step itself runs without them."
    elif got["returned"] is None:
        yield "step returns None; with a closure it returns what the closure returned."
    elif not close(np.asarray(got["returned"], dtype=float), np.asarray(want["returned"]), 1e-7):
        yield "step does not return what the closure returned."
    elif close(got["w"], want["start"]):
        yield "the step does not use the gradients that the closure computed: which comes first?"
    elif got["without"] is not None:
        yield "without a closure step returns None."


@check("AdamW: options that make no sense are a ValueError, those at the edge are not", points=1)
def test_adam_arguments(ex: Exercise, rng: Random):
    w = [weight(rng, 2)]
    return {
        "lr = -0.25": raised(lambda: ex.AdamW(w, lr=-0.25), ["lr", -0.25]),
        "eps = -0.5": raised(lambda: ex.AdamW(w, eps=-0.5), ["eps", -0.5]),
        "weight_decay = -0.75": raised(lambda: ex.AdamW(w, weight_decay=-0.75), ["weight_decay", -0.75]),
        "betas = (1.0, 0.9)": raised(lambda: ex.AdamW(w, betas=(1.0, 0.9)), ["beta", 1.0]),
        "betas = (0.9, -0.125)": raised(lambda: ex.AdamW(w, betas=(0.9, -0.125)), ["beta", -0.125]),
        "zeros": raised(lambda: ex.AdamW(w, lr=0.0, betas=(0.0, 0.0), eps=0.0, weight_decay=0.0)),
    }


@check("cosine_lr: no warm-up, nothing but warm-up, and a rate that does not change", points=1)
def test_cosine_edges(ex: Exercise, rng: Random):
    total = 2 * rng.integers(4, 9)
    return {
        "no warm-up": [ex.cosine_lr(step, 0.2, 0.0, 0, total) for step in (0, 1, total // 2, total, 10 * total)],
        "only warm-up": [ex.cosine_lr(step, 0.2, 0.1, total, total) for step in (0, total - 1, total + 3)],
        "level": [ex.cosine_lr(step, 0.2, 0.2, 0, total) for step in (0, 3, total + 1)],
    }


@check("clip_grad_norm: short gradients, zeros, none, and parameters from a generator", points=1, tolerance=1e-5)
def test_clip_edges(ex: Exercise, rng: Random):
    def parameter(scale: float | None) -> nn.Parameter:
        one = weight(rng, 3, 2)
        one.grad = None if scale is None else like(rng, one, scale)
        return one

    cases = {
        "short": ([parameter(0.01), parameter(0.02)], 1.0),
        "some without": ([parameter(None), parameter(5.0), parameter(None), parameter(2.0)], 0.7),
        "zeros": ([parameter(0.0)], 0.5),
        "all without": ([parameter(None)], 0.5),
        "no limit": ([parameter(4.0)], float("inf")),
    }
    norms = {name: ex.clip_grad_norm((one for one in given), limit) for name, (given, limit) in cases.items()}
    return {"norms": norms, "gradients": {name: [one.grad for one in given] for name, (given, _) in cases.items()}}


@test_clip_edges.explain
def _(got, want):
    if not close(got["gradients"]["short"][0], want["gradients"]["short"][0], 1e-7):
        yield "gradients that are shorter than max_norm are changed: clipping only ever makes a gradient shorter."
    mine, theirs = got["gradients"]["some without"][1], want["gradients"]["some without"][1]
    if close(mine, theirs * want["norms"]["some without"] / 0.7, 1e-4):
        yield (
            "the gradients are left as they were. The parameters come from a generator here, as from "
            "model.parameters(): how often can one go through it?"
        )


class Tied(nn.Module):
    """Parameters that a rule by name, or a careless loop, gets wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(3, 5, bias=False)  # a table of the same shape
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.convolution = nn.Conv1d(2, 4, 3)
        self.weight = nn.Parameter(torch.ones(3))
        self.position_bias = nn.Parameter(torch.zeros(2, 3))
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


@check(
    "parameter_groups: tied weights once, frozen ones never, and the number of dimensions decides",
    points=1,
    compare="nothing",
)
def test_groups_tied(ex: Exercise, rng: Random):
    model = Tied()
    return decays(ex.parameter_groups(model, 0.25), model)


@test_groups_tied.explain
def _(got, want):
    yield from judge_groups(got, want)


@check("evaluate: evaluation mode, no graph, a number; then the mode from before", points=1, compare="nothing")
def test_evaluate_mode(ex: Exercise, rng: Random):
    tokens = rng.ids(6, 40)
    observed = {}
    for training in (True, False):
        model = filled(Bigram(6, 5, dropout=0.5), rng).train(training)
        loss = ex.evaluate(model, tokens, 2, 5, 3, rng.generator())
        observed["in training" if training else "in evaluation"] = {
            "calls": [[call["training"], call["graph"]] for call in model.calls],
            "modes": [model.training, model.dropout.training],
            "number": isinstance(loss, float),
        }
    return observed


@test_evaluate_mode.explain
def _(got, want):
    for came, seen in got.items():
        if not seen["calls"]:
            yield "the model is never called."
        if any(training for training, _ in seen["calls"]):
            yield "the model is in training mode while it is evaluated, and dropout makes it look worse than it is."
        if any(graph for _, graph in seen["calls"]):
            yield "the model is evaluated with gradients enabled: a graph is built that nobody will use."
        if seen["modes"] != [came == "in training"] * 2:
            now = "in training mode" if seen["modes"][0] else "in evaluation mode"
            yield f"a model that was {came} mode is {now} after evaluate: it should be as it was found."
        if not seen["number"]:
            yield "what evaluate returns is no Python float: a tensor that keeps its graph would hold memory."


@check(
    "train: the weights after each step (schedule, clipping, decay and averages as configured)",
    points=2,
    tolerance=1e-4,
)
def test_train_steps(ex: Exercise, rng: Random):
    model = filled(Bigram(7, 5), rng, dtype=torch.float64, scale=1.0)
    start = {name: parameter.detach().clone() for name, parameter in parameters(model).items()}
    train_tokens, val_tokens = one_window(rng, 7, 5), one_window(rng, 7, 5)
    config = ex.TrainConfig(
        steps=8,
        batch_size=2,
        max_lr=0.6,
        min_lr=0.15,
        warmup_steps=3,
        weight_decay=0.5,
        betas=(0.7, 0.8),
        grad_clip=0.2,
        eval_every=4,
        eval_batches=1,
    )
    after = []

    def on_step(step: int, loss: float) -> None:
        after.append({name: parameter.detach().clone() for name, parameter in parameters(model).items()})

    history = ex.train(model, train_tokens, val_tokens, config, on_step)
    return {"start": start, "after": after, "val_loss": [row["val_loss"] for row in history]}


@test_train_steps.explain
def _(got, want):
    start = want["start"]["bias"]
    mine, theirs = ([row["bias"] for row in seen["after"]] for seen in (got, want))
    longer = float(np.median((mine[0] - start) / (theirs[0] - start)))
    tables = [seen["after"][0]["table"] for seen in (got, want)]
    decay = 0.5 * 0.6 / 3
    if close(mine[0], start):
        yield "the first step changes no weight: does it find a gradient, and is its lr that of step 1?"
    elif close(mine[0], theirs[0] - decay * start, 1e-4):
        yield "the biases decay: which groups does the optimizer get?"
    elif longer > 0 and not close(longer, 1.0, 1e-3):
        yield (
            f"the first step is {longer:.3g} times as long as it should be: "
            "at which learning rate does step 1 run, of the 3 of warm-up?"
        )
    elif close(mine[0], theirs[0], 1e-4) and not close(tables[0], tables[1], 1e-4):
        yield "after the first step the biases are right and the matrix is not: does it decay as configured?"
    elif close(mine[0], theirs[0], 1e-4) and not close(mine[1], theirs[1], 1e-4):
        yield (
            "the first step is right, the second is not. What of the first does the second have to know, what must it "
            "not know, and how long may a gradient be?"
        )


@check("train: other numbers of steps, and the callback after each of them", points=1, compare="nothing")
def test_history_edges(ex: Exercise, rng: Random):
    return histories(ex, rng, [(6, 3), (3, 10), (1, 1), (4, 1)])


@test_history_edges.explain
def _(got, want):
    yield from judge_histories(got, want)


@check("train: the same seed and weights give the same history, dropout included", points=1, compare="structure")
def test_train_seed(ex: Exercise, rng: Random):
    train_tokens, val_tokens = rng.ids(6, 200), rng.ids(6, 200)
    observed = {}
    for name, seed, other in (("once", 5, 1), ("again", 5, 2), ("another seed", 6, 1)):
        for kind, dropout in (("plain", 0.0), ("dropout", 0.5)):
            torch.manual_seed(other)
            model = filled(Bigram(6, 5, dropout), rng)
            options = {"eval_every": 2, "eval_batches": 2, "max_lr": 0.1, "warmup_steps": 2}
            config = ex.TrainConfig(steps=5, batch_size=3, seed=seed, **options)
            history = ex.train(model, train_tokens, val_tokens, config)
            losses = [[row["train_loss"], row["val_loss"]] for row in history]
            observed[f"{kind}, {name}"] = {"losses": losses, "table": model.table}
    return observed


@test_train_seed.explain
def _(got, want):
    causes = {
        "plain": "do all batches come from a generator that starts at config.seed?",
        "dropout": "torch's global generator decides what dropout drops: who seeds it?",
    }
    for kind, cause in causes.items():
        once, again, another = (got[f"{kind}, {name}"] for name in ("once", "again", "another seed"))
        if not (close(once["losses"], again["losses"], 1e-9) and close(once["table"], again["table"], 1e-9)):
            told = " with dropout" if kind == "dropout" else ""
            yield f"two runs with the same seed, weights and tokens differ{told}: {cause}"
        if close(once["table"], another["table"], 1e-6):
            yield "runs with different seeds end in the same weights: is config.seed used?"


@check(
    "train: evaluations all see the same batches, and how often there is one changes nothing in the training",
    points=1,
    compare="nothing",
)
def test_train_undisturbed(ex: Exercise, rng: Random):
    train_tokens, val_tokens = rng.ids(10, 200), 10 + rng.ids(10, 200)
    observed = {}
    options = {"batch_size": 3, "eval_batches": 2, "max_lr": 0.1, "warmup_steps": 0}
    for name, every, seed in (("every 1", 1, 0), ("every 5", 5, 0), ("another seed", 5, 1)):
        model = filled(Bigram(20, 4, dropout=0.5), rng)
        config = ex.TrainConfig(steps=5, eval_every=every, seed=seed, **options)
        ex.train(model, train_tokens, val_tokens, config)
        windows = [call["ids"] for call in model.calls]
        observed[name] = {
            "trained on": [ids for ids in windows if int(ids.min()) < 10],
            "held out": [ids for ids in windows if int(ids.min()) >= 10],
            "table": model.table,
        }
    return observed


@test_train_undisturbed.explain
def _(got, want):
    often, seldom = got["every 1"], got["every 5"]
    pairs = zip(often["trained on"][:5], seldom["trained on"][:5], strict=False)
    held_out = often["held out"]
    if any((one != other).any() for one, other in pairs):
        yield "with more evaluations, training draws other batches: which generator does an evaluation draw from?"
    elif any((one != held_out[i % 2]).any() for i, one in enumerate(held_out)):
        yield "two evaluations read different windows, so their losses can't be compared: whose generator draws them?"
    elif not close(often["table"], seldom["table"], 1e-6):
        yield "with more evaluations in between, the weights end up elsewhere: what else does an evaluation draw from?"
    other = got["another seed"]["held out"]
    if not any((one != two).any() for one, two in zip(seldom["held out"], other, strict=False)):
        yield "with another config.seed an evaluation reads the same windows: which seed does its generator start at?"


@check("train: in training mode on the training text; evaluated on the held-out text", points=1, compare="nothing")
def test_train_mode(ex: Exercise, rng: Random):
    model = filled(Bigram(20, 5, dropout=0.5), rng).eval()
    train_tokens, val_tokens = rng.ids(10, 60), 10 + rng.ids(10, 60)
    config = ex.TrainConfig(steps=6, batch_size=3, eval_every=2, eval_batches=2, warmup_steps=0)
    ex.train(model, train_tokens, val_tokens, config)
    return model.calls


@test_train_mode.explain
def _(got, want):
    trained = [call for call in got if call["graph"]]
    held_out = [call for call in got if (call["ids"] >= 10).any()]
    if any((call["ids"] >= 10).any() for call in trained):
        yield "the model is trained on held-out text (or evaluated with gradients enabled)."
    elif any(call["ids"].shape != (3, 5) for call in trained):
        shape = next(call["ids"].shape for call in trained if call["ids"].shape != (3, 5))
        yield f"batch_size is 3 and the model's context_length is 5; a batch of shape {shape} is trained on."
    elif not trained[0]["training"]:
        yield "a model that comes in evaluation mode is trained in it: dropout never acts."
    elif not all(call["training"] for call in trained):
        yield "the first steps run in training mode, later ones do not: who puts the model back after an evaluation?"
    elif all((call["ids"] == trained[0]["ids"]).all() for call in trained):
        yield "the same batch is trained on in every step: where is the generator made?"
    elif not held_out:
        yield "the model is never evaluated on the held-out text."
    elif any(call["training"] for call in held_out):
        yield "the held-out text is read in training mode, with dropout."


### END HIDDEN TESTS
