"""What the pieces of training and the loop must do: the checks of exercise 14."""

from __future__ import annotations

import contextlib
import copy
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.checks import Exercise, Random, check, close, filled, loaded, on_meta, parameters, raised

HELD_OUT = 40  # in checks that look at what the model reads: the first id of the held-out text
TINY_GPT = {"vocab_size": 8, "context_length": 16, "d_model": 32, "n_heads": 2, "n_layers": 2}


class Record(list):
    """A list that copies of a model share, so that nothing is missed that a copy is asked."""

    def __deepcopy__(self, memo: dict) -> Record:
        return self


class Bigram(nn.Module):
    """A stand-in for a GPT: a table of logits, by the last token alone. It keeps a record of its calls."""

    def __init__(self, vocab_size: int, context_length: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab_size, context_length=context_length)
        self.table = nn.Parameter(torch.zeros(vocab_size, vocab_size))
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout = nn.Dropout(dropout)
        self.calls = Record()

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        self.calls.append({"training": self.training, "graph": torch.is_grad_enabled(), "ids": ids.clone()})
        logits = self.dropout(self.table[ids]) + self.bias  # (B, T, V)
        loss = None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss


def surprise(seen) -> np.ndarray:
    """The loss of each pair of tokens, (V, V), under a bigram model with these weights."""
    logits = seen["table"] + seen["bias"]
    return np.log(np.exp(logits).sum(-1, keepdims=True)) - logits


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


def starts_of(windows, tokens) -> np.ndarray | None:
    """Where in a corpus without repeats each window starts; None if one of them is no stretch of it."""
    place = {int(token): start for start, token in enumerate(tokens)}
    places = np.array([[place.get(int(token), -1) for token in window] for window in windows])
    side_by_side = places == places[:, :1] + np.arange(places.shape[1])
    return places[:, 0] if side_by_side.all() and (places >= 0).all() else None


@check("get_batch: windows of the corpus, and the same windows one token later", compare="structure", exact=("tokens",))
def test_batch(ex: Exercise, rng: Random):
    batch, length = rng.sizes(2, low=4)
    tokens = torch.from_numpy(rng.numpy.permutation(60))  # no token twice
    x, y = ex.get_batch(tokens, batch, length, rng.generator())
    return {"tokens": tokens, "x": x, "y": y}


@test_batch.explain
def _(got, want):
    x, y, following = got["x"], got["y"], dict(zip(want["tokens"], want["tokens"][1:], strict=False))
    starts = starts_of(x, want["tokens"])
    if starts is None:
        yield "a row of x is not a stretch of the corpus: do its tokens stand side by side there, in that order?"
    elif (starts == starts[0]).all():
        yield "all rows of x are the same window: is one start drawn for the whole batch, or one for each row?"
    elif (y == x).all():
        yield "y is the same as x: the model would learn to repeat the token that it has just read."
    else:
        wrong = [place for place in np.ndindex(x.shape) if following.get(x[place]) != y[place]]
        if wrong and all(following.get(y[place]) == x[place] for place in np.ndindex(x.shape)):
            yield "y is x one token earlier: which of the two is the future?"
        elif wrong:
            row, column = wrong[0]
            yield f"y[{row}, {column}] is not the token that follows x[{row}, {column}] in the corpus."


@check("AdamW: each step follows the averages of the gradient and of its square", points=1, tolerance=1e-5)
def test_adam(ex: Exercise, rng: Random):
    w = weight(rng, *rng.sizes(2))
    start = w.detach().clone()
    gradients = [{"w": like(rng, w)} for _ in range(5)]
    options = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 3e-4, "weight_decay": 0.0}  # an eps that shows
    after = steps(ex.AdamW([w], **options), {"w": w}, gradients)
    return {"start": start, "gradient": gradients[0]["w"], "after": after}


@test_adam.explain
def _(got, want):
    start, mine, theirs = want["start"], [row["w"] for row in got["after"]], [row["w"] for row in want["after"]]
    ratios, error = (mine[0] - start) / (theirs[0] - start), np.abs(mine[0] - theirs[0])
    size = np.abs(want["gradient"])
    clear = ratios[size >= np.median(size)]  # where eps hardly shows
    if close(mine[0], start):
        yield "after a step with a gradient the parameter is where it was: is it changed in place?"
    elif close(ratios, -1.0, 1e-3):
        yield "the first step goes up the gradient instead of down."
    elif close(clear, np.median(clear), 0.02) and not close(clear, 1.0, 0.02):
        yield (
            "the first step should have about the size lr for every weight, whatever its gradient; yours is about "
            f"{np.median(clear):.3g} times as long. The averages start at zero: what has a first step to make up for?"
        )
    elif close(ratios, 1.0, 0.5) and not close(error, 0.0, 1e-6) and error.flat[size.argmin()] == error.max():
        yield "the first step is off by a little, most where the gradient is least: where exactly does eps come in?"
    elif close(mine[0], theirs[0], 1e-6) and not close(mine[1], theirs[1], 1e-5):
        yield (
            "the first step is right, the second is not. From the second on, both averages remember the step before, "
            "and the correction depends on how many steps there were: which of these does not hold?"
        )


@check("AdamW: weights decay by lr * weight_decay of themselves, separately from the gradient", compare="structure")
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
    start, plain, decayed = want["start"], got["plain"], got["decayed"]
    lost, shares = start[0] - decayed[0], (start[0] - decayed[0]) / start[0]
    if close(plain[1:], start[1:]):
        yield "after a step with a gradient the parameter is where it was."
    elif not close(plain[0], start[0], 1e-9):
        yield "without weight decay, weights whose gradient is zero from the start should stay where they are."
    elif close(lost, 0.0, 1e-9):
        yield "row 0 has gradients of zero and should shrink by the decay all the same; yours stays as it is."
    elif close(np.abs(lost), 0.1, 1e-3):
        yield (
            "row 0 has gradients of zero, and the decay moves all its weights by lr, the large ones no further "
            "than the small. Does it pass through the averages and the division?"
        )
    elif not close(shares, 0.05, 1e-6):
        even = close(shares, shares[0], 1e-6)
        yield (
            "row 0 has gradients of zero; with lr = 0.1 and weight_decay = 0.5 its weights should lose 0.05 of "
            f"themselves in a step; yours lose {f'{shares[0]:.3g}' if even else 'no fixed fraction'}."
        )
    elif not close(plain - decayed, 0.05 * start, 1e-6):
        yield "weights with zero gradients decay as they should, others don't: is it the weight before the step?"


@check("cosine_lr: a straight line up to max_lr, then half a cosine down to min_lr", points=1, tolerance=1e-6)
def test_cosine(ex: Exercise, rng: Random):
    warmup = rng.integers(3, 8)
    total = warmup + 2 * rng.integers(4, 12)
    rates = [ex.cosine_lr(step, 0.3, 0.02, warmup, total) for step in range(total + 4)]
    return {"warmup": warmup, "total": total, "rates": rates}


@test_cosine.explain
def _(got, want):
    warmup, total, mine, theirs = want["warmup"], want["total"], got["rates"], want["rates"]
    wrong = [step for step in range(len(theirs)) if not close(mine[step], theirs[step])]
    if wrong and wrong[0] < warmup:
        first = wrong[0]
        yield (
            f"with max_lr = 0.3 and {warmup} steps of warm-up, the rate at step {first} should be "
            f"{theirs[first]:.4g}; yours is {mine[first]:.4g}. Step 0 is before the first."
        )
    elif wrong and wrong[0] == warmup:
        yield (
            f"the warm-up ends at step {warmup} with max_lr = 0.3; your rate there is {mine[warmup]:.4g}. "
            "From where to where does the cosine run?"
        )
    elif total in wrong:
        yield f"at the end, step {total}, the rate should be min_lr = 0.02; yours is {mine[total]:.4g}."
    elif wrong and wrong[0] > total:
        yield f"after the end the rate stays at min_lr = 0.02; at step {wrong[0]} yours is {mine[wrong[0]]:.4g}."
    elif wrong:
        yield (
            f"both ends are right, the way down is not: at step {wrong[0]} the rate should be {theirs[wrong[0]]:.4g}; "
            f"yours is {mine[wrong[0]]:.4g}."
        )


@check("clip_grad_norm: one factor for all gradients, and the norm from before", points=1, tolerance=1e-5)
def test_clip(ex: Exercise, rng: Random):
    shapes = [rng.sizes(2), rng.sizes(1), ()]
    named = [weight(rng, *shape, dtype=torch.float32) for shape in shapes]
    for parameter in named:
        parameter.grad = like(rng, parameter, scale=3.0)
    before = [parameter.grad.clone() for parameter in named]
    norm = ex.clip_grad_norm(named, 0.5)
    return {"before": before, "norm": norm, "gradients": [parameter.grad for parameter in named]}


def norm_of(gradients) -> float:
    """The norm of all gradients as one vector."""
    return float(np.sqrt(sum((gradient**2).sum() for gradient in gradients)))


@test_clip.explain
def _(got, want):
    before, mine, norm = want["before"], got["gradients"], norm_of(got["gradients"])
    alone = [gradient * min(1.0, 0.5 / norm_of([gradient])) for gradient in before]
    factors = np.concatenate([(one / other).flatten() for one, other in zip(mine, before, strict=True)])
    if all(close(one, other, 1e-4) for one, other in zip(mine, alone, strict=True)):
        yield "each gradient is clipped by itself, which changes the direction: the norm is that of all as one vector."
    elif not close(factors, factors[0], 1e-3):
        yield "the gradients are not all scaled by the same factor."
    elif not close(norm, 0.5, 1e-3):
        yield f"clipped to max_norm = 0.5, all gradients together should have the norm 0.5; yours have {norm:.4g}."
    elif close(got["norm"], norm, 1e-3):
        yield "what is returned is the norm after clipping; the one from before tells how wild the gradient was."


class Sorted(nn.Module):
    """Parameters of several kinds; those of two and more dimensions are to decay."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.gain = nn.Parameter(torch.ones(5))
        self.embedding = nn.Parameter(torch.zeros(4, 5))


def decays(groups, model: nn.Module) -> dict[str, list[float]]:
    """For each parameter the decay of each group that it is in."""
    members = [(float(group["weight_decay"]), list(group["params"])) for group in groups]
    return {
        name: [decay for decay, params in members for one in params if one is parameter]
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


@check("parameter_groups: matrices decay; biases and gains do not", points=1, compare="nothing")
def test_groups(ex: Exercise, rng: Random):
    model = Sorted()
    return decays(ex.parameter_groups(model, 0.25), model)


@test_groups.explain
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


@check(
    "evaluate: the mean loss over as many batches as asked for, drawn from the generator",
    compare="structure",
    exact=("tokens", "table", "bias"),
)
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


@test_evaluate.explain
def _(got, want):
    windows, mine = got["once"]["windows"].astype(int), got["once"]["loss"]
    starts = starts_of(windows, want["tokens"])
    if starts is None or (starts > 25).any():
        yield "the model is given something other than windows of 4 tokens of the text, each with a token after it."
        return
    each = surprise(want)[windows, want["tokens"][starts[:, None] + np.arange(1, 5)]].mean(-1)  # by window
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
    elif not close(mine, got["again"]["loss"]):
        yield "two calls that read the same windows give different losses."


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
            "losses": [[kind_of(row["train_loss"]), kind_of(row["val_loss"])] for row in history],
            "rates": [ex.cosine_lr(row["step"], 0.1, 0.02, 2, n_steps) for row in history],
            "told": [[step, *map(kind_of, losses)] for step, *losses in told],
        }
    return observed


def kind_of(loss: object) -> str:
    """What can be said of a loss without its value: other batches have other losses."""
    if not isinstance(loss, float | np.floating):
        return "not a float"
    return "a number" if np.isfinite(loss) else "not finite"


@test_history.explain
def judge_histories(got, want):
    for run, theirs in want.items():
        mine = got[run]
        numbers, expected = [row["step"] for row in mine["rows"]], [row["step"] for row in theirs["rows"]]
        if numbers != expected:
            yield f"{run}: your rows are of the steps {numbers}; expected {expected}."
        for row, other, rate in zip(mine["rows"], theirs["rows"], mine["rates"], strict=True):
            if not close(row["lr"], rate, 1e-9):
                yield f"{run}: the row of step {row['step']} has lr = {row['lr']:.4g}; your cosine_lr says {rate:.4g}."
            if row["tokens_seen"] != other["tokens_seen"]:
                yield (
                    f"{run}: by step {row['step']} the model has seen {other['tokens_seen']} tokens "
                    f"(3 windows of 5 in each step); your row says {row['tokens_seen']}."
                )
        calls = [step for step, _ in mine["told"]]
        if calls != [step for step, _ in theirs["told"]]:
            yield f"{run}: on_step is told of the steps {calls}; expected 1 to {len(theirs['told'])}, each once."
        for kind in [kind for _, kind in mine["told"]] + [kind for row in mine["losses"] for kind in row]:
            if kind == "not a float":
                yield f"{run}: a loss is not a Python float. A tensor may keep the whole graph of its step alive."
            elif kind == "not finite":
                yield f"{run}: a loss is infinite, or NaN."
        if any(len(row) != 2 for row in mine["losses"]) or len(mine["losses"]) != len(expected):
            yield f"{run}: each row has a train_loss and a val_loss."


@check("train: a state that it is given is filled, and its step is up to date whenever on_step is called")
def test_state(ex: Exercise, rng: Random):
    state = ex.TrainState()
    steps_seen: list[object] = []
    config = ex.TrainConfig(steps=5, eval_every=2, batch_size=2, eval_batches=1)
    train_tokens, val_tokens = rng.ids(6, 40), rng.ids(6, 40)
    history = ex.train(
        filled(Bigram(6, 5), rng), train_tokens, val_tokens, config, lambda *_: steps_seen.append(state.step), state
    )
    return {
        "state.step in on_step": steps_seen,
        "state.step at the end": state.step,
        "state.optimizer is an optimizer": isinstance(state.optimizer, torch.optim.Optimizer),
        "state.generator is a generator": isinstance(state.generator, torch.Generator),
        "state.history": [row["step"] for row in state.history],
        "what is returned": [row["step"] for row in history],
    }


@test_state.explain
def _(got, want):
    if got["state.step at the end"] == 0:
        yield "after a training of 5 steps the state that was given still says step 0: is it the one that is filled?"
    elif got["state.step in on_step"] != want["state.step in on_step"]:
        mine = got["state.step in on_step"]
        yield f"in on_step, state.step should be the number of the step just made, 1 to 5; yours is {mine}."


@check(
    "train: a GPT learns, and does better on text that it never saw",
    points=2,
    limit=30.0,
    compare="nothing",
    free=("before*", "after*"),
)
def test_learns(ex: Exercise, rng: Random):
    gpt = ex.of("ex13_gpt")
    model = filled(gpt.GPT(gpt.GPTConfig(**TINY_GPT)), rng, scale=0.1)
    before = copy.deepcopy(parameters(model))
    corpus = torch.tensor(noisy_cycle(rng, 4000))
    config = ex.TrainConfig(60, batch_size=8, max_lr=1e-2, min_lr=1e-3, warmup_steps=10, eval_every=60, eval_batches=4)
    history = ex.train(model, corpus[:3000], corpus[3000:], config)
    losses = [row["val_loss"] for row in history]
    return {"before": before, "after": parameters(model), "corpus": corpus, "history": losses}


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
    elif not got["history"] or not close(got["history"][-1], mine, 0.25):
        said = f"{got['history'][-1]:.2f}" if got["history"] else "nothing"
        yield f"the history says {said} of the model's last loss on held-out text; measured, it is {mine:.2f}."


### BEGIN HIDDEN TESTS
@check(
    "get_batch: every window of the corpus can be drawn, from the first to the last, and each on its own",
    compare="structure",
    exact=("length", "n_starts"),
)
def test_batch_starts(ex: Exercise, rng: Random):
    length = rng.integers(3, 6)
    n_starts = rng.integers(2 * length + 2, 15)
    x, y = ex.get_batch(torch.arange(length + n_starts), 1200, length, rng.generator())
    generator = rng.generator()
    pairs = [ex.get_batch(torch.arange(length + 4), 2, length, generator)[0][:, 0] for _ in range(300)]
    return {"x": x, "y": y, "length": length, "n_starts": n_starts, "pairs": torch.stack(pairs)}


@test_batch_starts.explain
def _(got, want):
    n_starts, length = want["n_starts"], want["length"]
    starts = got["x"][:, 0]
    counts = np.array([(starts == start).sum() for start in range(n_starts)])
    if starts_of(got["x"], range(length + n_starts)) is None:
        yield "some rows of x are not a stretch of the corpus."
    elif (got["y"] != got["x"] + 1).any():
        yield "some rows of y are not the rows of x one token later."
    elif (starts % length == 0).all():
        yield "all windows start at multiples of their length: which starts does the docstring promise?"
    elif counts[0] == 0:
        yield "the first window of the corpus is never drawn."
    elif counts[-1] == 0:
        yield "the last window that fits is never drawn: how many starts are there in a corpus of T + 1 tokens?"
    elif counts.min() < 0.4 * len(starts) / n_starts:
        yield "some windows are drawn far more seldom than others; all should be equally likely."
    twice = int((got["pairs"][:, 0] == got["pairs"][:, 1]).sum())
    if (got["pairs"] == got["pairs"][0]).all():
        yield "300 batches that are drawn from one generator, one after the other, are all the same."
    elif not 30 <= twice <= 120:  # 75, give or take six standard deviations
        yield (
            f"of 300 batches of two windows, from a corpus that has 4, {twice} hold one window twice; about 75 do if "
            "each start is drawn on its own. What does the first start of a batch decide about the second?"
        )


@check(
    "get_batch: the generator decides, and torch's global one if there is none", compare="structure", exact=("tokens",)
)
def test_batch_generator(ex: Exercise, rng: Random):
    tokens = torch.from_numpy(rng.numpy.permutation(500))
    seed = rng.integers(0, 1000)
    observed: dict[str, Tensor | list[Tensor]] = {"tokens": tokens}
    for other, name in enumerate(("first", "again")):
        torch.manual_seed(other)
        generator = torch.Generator().manual_seed(seed)
        observed[name] = [ex.get_batch(tokens, 4, 6, generator)[0] for _ in range(2)]
    for name in ("none", "none again"):
        torch.manual_seed(seed)
        observed[name] = [ex.get_batch(tokens, 4, 6)[0] for _ in range(2)]
    return observed


@test_batch_generator.explain
def _(got, want):
    if any(
        starts_of(x, want["tokens"]) is None for name in ("first", "again", "none", "none again") for x in got[name]
    ):
        yield "some rows of x are not a stretch of the corpus."
    if any((one != other).any() for one, other in zip(got["first"], got["again"], strict=True)):
        yield "two generators of one seed give different batches: do all your draws come from the generator?"
    elif (got["first"][0] == got["first"][1]).all():
        yield "two batches drawn from one generator are the same: is it put back to its start?"
    elif (got["none"][0] == got["none"][1]).all():
        yield "without a generator two batches are the same."
    elif any((one != other).any() for one, other in zip(got["none"], got["none again"], strict=True)):
        yield "without a generator, torch.manual_seed does not make the batches repeat: where do your draws come from?"


@check("get_batch: a corpus of T + 1 tokens is enough, one of T is a ValueError", points=1)
def test_batch_too_short(ex: Exercise, rng: Random):
    length = rng.integers(4, 9)
    tokens = rng.ids(9, length + 1)
    x, y = ex.get_batch(tokens, 3, length)
    return {
        "x": x,
        "y": y,
        "T tokens": raised(lambda: ex.get_batch(tokens[:-1], 3, length), [length]),
        "3 tokens": raised(lambda: ex.get_batch(tokens[:3], 3, length), [3]),
    }


@check(
    "get_batch: the batch has the dtype and the device of the corpus", points=1, compare="structure", exact=("tokens",)
)
def test_batch_device(ex: Exercise, rng: Random):
    tokens, start = torch.from_numpy(rng.numpy.permutation(30)).to(torch.int32), rng.integers(0, 1000)
    narrow = ex.get_batch(tokens, 2, 5, torch.Generator().manual_seed(start))
    elsewhere = on_meta(
        lambda device: list(ex.get_batch(tokens.to(device), 2, 5, torch.Generator().manual_seed(start)))
    )
    return {"tokens": tokens, "int32": list(narrow), "device": elsewhere}


@test_batch_device.explain
def _(got, want):
    if got["device"]["strays"]:
        yield "with the corpus on a device other than the CPU, tensors of two devices meet, or come back."
    (x, y), order = got["int32"], want["tokens"].tolist()
    if starts_of(x, order) is None or starts_of(y, order[1:]) is None:
        yield "with a corpus of int32, some rows of x or y are not a stretch of the corpus."
    elif (starts_of(x, order) != starts_of(y, order[1:])).any():
        yield "with a corpus of int32, some rows of y are not the rows of x one token later."


@check("AdamW: groups have options of their own, which may change between steps; there are defaults", after=test_adam)
def test_adam_options(ex: Exercise, rng: Random):
    named = {"scalar": weight(rng), "cube": weight(rng, *rng.sizes(3)), "vector": weight(rng, 4)}
    own = {"params": [named["cube"]], "lr": 0.02, "betas": (0.5, 0.7), "eps": 0.3, "weight_decay": 0.4}
    rest = {"params": [named["scalar"], named["vector"]]}
    optimizer = ex.AdamW([own, rest], lr=0.05, betas=(0.8, 0.95), eps=0.1, weight_decay=0.2)
    gradients = [{name: like(rng, parameter) for name, parameter in named.items()} for _ in range(6)]
    first = steps(optimizer, named, gradients[:3])
    for group in optimizer.param_groups:
        group["lr"] *= 3.0
    after = steps(optimizer, named, gradients[3:])
    w = weight(rng, 4)
    small = [{"w": like(rng, w, scale=1e-7)} for _ in range(3)]  # where an eps of 1e-8 shows
    return {"first steps": first, "after a new lr": after, "by default": steps(ex.AdamW([w]), {"w": w}, small)}


@test_adam_options.explain
def _(got, want):
    for name, kind in (("vector", "the constructor's"), ("cube", "its group's own")):
        mine, theirs = got["first steps"][0][name], want["first steps"][0][name]
        if not close(mine, theirs, 1e-8):
            yield f"with {kind} lr, betas, eps and weight_decay the first step goes wrong. Note eps: it is large."
    if all(close(got["first steps"][-1][name], want["first steps"][-1][name], 1e-8) for name in ("vector", "cube")):
        mine, theirs = got["after a new lr"][0]["vector"], want["after a new lr"][0]["vector"]
        if not close(mine, theirs, 1e-8):
            yield "all is well until a group's lr is changed between two steps: is it read from the group in each step?"
    last = got["after a new lr"][-1]
    if all(close(last[name], theirs, 1e-8) for name, theirs in want["after a new lr"][-1].items()):
        yield "with options all steps are right, with those by default they are not: what does the signature say?"


def travelled(got, start, limit: float) -> bool:
    """Whether a parameter has moved, and not further than steps can have taken it."""
    return not close(got, start) and bool(np.abs(got - start).max() < limit)


@check(
    "AdamW: each parameter counts its own steps; without a gradient it is left alone",
    compare="structure",
    exact=("start*",),
)
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
    still = [name for name in want["alone"] if not travelled(alone[name], start[name], 40.0)]
    if not close(together["never"], start["never"], 1e-12):
        yield "a parameter that never has a gradient is changed."
    elif still:
        yield "a parameter by itself, with gradients, stays where it is or is thrown far away."
    elif close(together["late"], start["late"]):
        yield "a parameter whose first gradient comes in step 3 is never moved."
    elif not close(together["late"], alone["late"], 1e-9):
        yield "a parameter whose first gradient comes in step 3 goes wrong: whose steps does your correction count?"
    elif not close(together["sometimes"], alone["sometimes"], 1e-9):
        yield "a parameter that has no gradient in one of the steps goes wrong: it should miss that step altogether."
    elif not close(together["always"], alone["always"], 1e-9):
        yield "a parameter is moved in another way when there are others beside it."


@check("AdamW: state_dict and load_state_dict carry on where another optimizer stopped", points=1, after=test_adam)
def test_adam_state(ex: Exercise, rng: Random):
    named = {"a": weight(rng, 3, 4), "b": weight(rng, 5)}
    gradients = [{name: like(rng, parameter) for name, parameter in named.items()} for _ in range(5)]

    def groups(of: dict[str, nn.Parameter]):
        return [{"params": [of["a"]], "lr": 0.02}, {"params": [of["b"]]}]

    options = {"lr": 0.05, "betas": (0.7, 0.9), "weight_decay": 0.0}
    optimizer = ex.AdamW(groups(named), **options)
    stopped = steps(optimizer, named, gradients[:3])[-1]
    saved = copy.deepcopy(optimizer.state_dict())
    copies = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in named.items()}
    others = copy.deepcopy(copies)
    resumed, forgetful = ex.AdamW(groups(copies)), ex.AdamW(groups(others), **options)
    resumed.load_state_dict(saved)
    return {
        "stopped": stopped,
        "resumed": steps(resumed, copies, gradients[3:]),
        "fresh": steps(forgetful, others, gradients[3:]),
        "uninterrupted": steps(optimizer, named, gradients[3:]),
    }


@test_adam_state.explain
def _(got, want):
    on, resumed, fresh = (got[name][-1] for name in ("uninterrupted", "resumed", "fresh"))
    if all(close(on[name], fresh[name], 1e-9) for name in want["stopped"]):
        yield "an optimizer that has made three steps and a new one make the same steps: what does yours remember?"
    elif all(close(fresh[name], resumed[name], 1e-9) for name in want["stopped"]):
        yield (
            "an optimizer that loads the state of another steps as if it had never stepped before: "
            "does all that has to last stand in self.state[parameter]?"
        )
    elif not all(close(on[name], resumed[name], 1e-9) for name in want["stopped"]):
        yield "an optimizer that loads the state of another does not go on as that one does: what is left behind?"


@check(
    "AdamW: gradients of any size, and of zero; float32 and bfloat16 stay what they are",
    compare="structure",
    exact=("start*",),
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
        elif not travelled(got[name], want["start"][name], 20.0):
            yield f"two steps with lr = 0.1 move a parameter {case} by more than 20."
    for name, case in (("zero", "of zero"), ("tiny", "around 1e-15")):
        if not close(got[name], want["start"][name], 1e-5):
            yield f"gradients {case} move a parameter, although nothing decays here: what is eps for?"


@check("AdamW: the gradients themselves are left as they are", points=1, after=test_adam)
def test_adam_gradients(ex: Exercise, rng: Random):
    w = weight(rng, *rng.sizes(2))
    w.grad = like(rng, w)
    optimizer = ex.AdamW([w], lr=0.1, weight_decay=0.3)
    for _ in range(3):
        optimizer.step()
    return {"gradient": w.grad}


@check("AdamW: a closure is called once, before the step, with gradients; its loss is returned", after=test_adam)
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
    after = w.detach().clone()
    return {"calls": calls, "returned": returned, "start": start, "w": after, "without": optimizer.step()}


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
        yield "without a closure step returns something; it should be None."


@check("AdamW: options that make no sense are a ValueError, those at the edge are not", points=1)
def test_adam_arguments(ex: Exercise, rng: Random):
    w = [weight(rng, 2)]
    return {
        "lr = -0.25": raised(lambda: ex.AdamW(w, lr=-0.25), [-0.25]),
        "eps = -0.5": raised(lambda: ex.AdamW(w, eps=-0.5), [-0.5]),
        "weight_decay = -0.75": raised(lambda: ex.AdamW(w, weight_decay=-0.75), [-0.75]),
        "betas = (1.0, 0.9)": raised(lambda: ex.AdamW(w, betas=(1.0, 0.9)), [1]),
        "betas = (0.9, 1.25)": raised(lambda: ex.AdamW(w, betas=(0.9, 1.25)), [1.25]),
        "betas = (0.9, -0.125)": raised(lambda: ex.AdamW(w, betas=(0.9, -0.125)), [-0.125]),
        "zeros": raised(lambda: ex.AdamW(w, lr=0.0, betas=(0.0, 0.0), eps=0.0, weight_decay=0.0)),
    }


@check("cosine_lr: no warm-up, nothing but warm-up, and a rate that does not change", points=1, tolerance=1e-6)
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
    held = [one.grad for one in cases["some without"][0]]
    before = {name: [copy.deepcopy(one.grad) for one in given] for name, (given, _) in cases.items()}
    norms = {name: ex.clip_grad_norm((one for one in given), limit) for name, (given, limit) in cases.items()}
    after = {name: [one.grad for one in given] for name, (given, _) in cases.items()}
    in_place = all(one is other for one, other in zip(after["some without"], held, strict=True))
    return {"before": before, "norms": norms, "gradients": after, "in place": in_place}


@test_clip_edges.explain
def _(got, want):
    before = want["before"]
    if not close(got["gradients"]["short"][0], before["short"][0], 1e-7):
        yield "gradients that are shorter than max_norm are changed: clipping only ever makes a gradient shorter."
    if not got["in place"]:
        yield "gradients that are too long are scaled in new tensors; the old ones were to be changed in place."
    if close(got["gradients"]["some without"][1], before["some without"][1], 1e-7):
        yield (
            "gradients that are too long are left as they were. The parameters come from a generator here, as from "
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
    "parameter_groups: tied weights once, frozen ones never, and the number of dimensions decides", compare="nothing"
)
def test_groups_tied(ex: Exercise, rng: Random):
    model = Tied()
    return decays(ex.parameter_groups(model, 0.25), model)


@test_groups_tied.explain
def _(got, want):
    yield from judge_groups(got, want)


@check(
    "evaluate: evaluation mode, no graph, a number; then the mode from before", compare="nothing", free=("*.calls*",)
)
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
    for came, expected in want.items():
        seen = got[came]
        if not seen["calls"]:
            yield "the model is never called."
        if any(training for training, _ in seen["calls"]):
            yield "the model is in training mode while it is evaluated, and dropout makes it look worse than it is."
        if any(graph for _, graph in seen["calls"]):
            yield "the model is evaluated with gradients enabled: a graph is built that nobody will use."
        if seen["modes"] != expected["modes"]:
            yield f"a model that was {came} mode is not in it, with all its parts, after evaluate."
        if not seen["number"]:
            yield "what evaluate returns is no Python float: a tensor that keeps its graph would hold memory."


@check(
    "train: the weights after each step (schedule, clipping, decay and averages as configured)",
    points=2,
    tolerance=1e-4,
    after=test_adam,
)
def test_train_steps(ex: Exercise, rng: Random):
    model = filled(Bigram(7, 5), rng, dtype=torch.float64, scale=1.0)
    start, after = copy.deepcopy(parameters(model)), []
    tokens = one_window(rng, 7, 5)
    schedule = {"max_lr": 0.6, "min_lr": 0.15, "warmup_steps": 3, "eval_every": 4, "eval_batches": 1}
    config = ex.TrainConfig(8, batch_size=2, weight_decay=0.5, betas=(0.7, 0.8), grad_clip=0.2, **schedule)
    ex.train(model, tokens, tokens, config, lambda *_: after.append(copy.deepcopy(parameters(model))))
    return {"start": start, "after": after}


@test_train_steps.explain
def _(got, want):
    start = want["start"]["bias"]
    mine, theirs = ([row["bias"] for row in seen["after"]] for seen in (got, want))
    ratios = (mine[0] - start) / (theirs[0] - start)
    tables = [seen["after"][0]["table"] for seen in (got, want)]
    decay = 0.5 * 0.6 / 3
    shrunk = (1 - decay) * want["start"]["table"]
    still = np.abs(tables[1] - shrunk) < 1e-9  # the rows of tokens that do not occur
    if close(mine[0], start):
        yield "the first step changes no weight: does it find a gradient, and is its lr that of step 1?"
    elif close(mine[0], theirs[0] - decay * start, 1e-4):
        yield "the biases decay: which groups does the optimizer get?"
    elif ratios[0] > 0 and close(ratios, ratios[0], 1e-3) and not close(ratios, 1.0, 1e-3):
        yield (
            f"the first step is {ratios[0]:.3g} times as long as it should be: at which learning rate does step 1 run, "
            "of the 3 of warm-up, and does each weight count its own steps?"
        )
    elif close(mine[0], theirs[0], 1e-4) and not close(tables[0][still], shrunk[still], 1e-4):
        yield (
            "after the first step the biases are right; of the matrix, the weights without a gradient are not. "
            "Does it decay as configured?"
        )
    elif close([mine[0], *tables[0]], [theirs[0], *tables[1]], 1e-4) and not close(mine[1], theirs[1], 1e-4):
        yield (
            "the first step is right, the second is not. What of the first does the second have to know, what must it "
            "not know, and how long may a gradient be?"
        )


@check(
    "train: the losses that it tells are those of its batches and of the held-out text",
    compare="nothing",
    exact=("texts*",),
)
def test_train_losses(ex: Exercise, rng: Random):
    model = filled(Bigram(7, 5), rng, dtype=torch.float64, scale=1.0)
    train_tokens, val_tokens = one_window(rng, 7, 5), one_window(rng, 7, 5)
    weights = [copy.deepcopy(parameters(model))]
    told: list[object] = []

    def on_step(step: int, loss: float) -> None:
        told.append(loss)
        weights.append(copy.deepcopy(parameters(model)))

    rates = {"max_lr": 0.6, "min_lr": 0.3, "warmup_steps": 0}  # the last step, too, goes far enough to be seen
    config = ex.TrainConfig(steps=6, batch_size=2, eval_every=3, eval_batches=2, **rates)
    history = ex.train(model, train_tokens, val_tokens, config, on_step)
    rows = [[row["train_loss"], row["val_loss"]] for row in history]
    return {"texts": [train_tokens, val_tokens], "weights": weights, "told": told, "rows": rows}


@test_train_losses.explain
def _(got, want):
    by_text = [[surprise(weights)[text[:-1], text[1:]].mean() for weights in got["weights"]] for text in want["texts"]]
    (learned, held_out), told = by_text, got["told"]
    if len(told) != 6 or len(learned) != 7 or len(got["rows"]) != 2:
        yield "six steps with eval_every = 3 are six calls of on_step and two rows."
    elif not np.isfinite(learned + held_out).all():
        yield "after six steps, some weights are no longer finite."
    if close(learned, learned[0], 1e-3):
        yield "the loss on the text that is trained on does not change in six steps."
    for step, (loss, before) in enumerate(zip(told, learned, strict=False), 1):
        if not close(loss, before, 1e-4):
            yield (
                f"at step {step} on_step is told of a loss of {loss:.4f}; on the only window of this text the model "
                f"had {before:.4f} before the step."
            )
    for step, (train_loss, val_loss) in zip((3, 6), got["rows"], strict=True):
        low, high = min(learned[: step + 1]), max(learned[: step + 1])
        if not close(val_loss, held_out[step], 1e-4):
            yield f"after step {step} the held-out loss is {held_out[step]:.4f}; the row's val_loss is {val_loss:.4f}."
        if not 0.9 * low < train_loss < 1.1 * high:
            yield (
                f"up to step {step} the loss on the text that is trained on lies between {low:.4f} and {high:.4f}; "
                f"the row's train_loss is {train_loss:.4f}."
            )


@check("train: other numbers of steps, and the callback after each of them", points=1, compare="nothing")
def test_history_edges(ex: Exercise, rng: Random):
    return histories(ex, rng, [(6, 3), (3, 10), (1, 1), (4, 1)])


@test_history_edges.explain
def _(got, want):
    yield from judge_histories(got, want)


@check(
    "train: the same seed and weights give the same history, dropout included",
    compare="structure",
    exact=("held out", "*.start"),
)
def test_train_seed(ex: Exercise, rng: Random):
    train_tokens, val_tokens = rng.ids(6, 200), rng.ids(6, 200)
    observed: dict[str, object] = {"held out": val_tokens}
    for kind, dropout, size in (("plain", 0.0, 0.4), ("dropout", 0.5, 1.0)):
        told: list[list[list[float]]] = []
        for name, seed, other in (("once", 5, 1), ("again", 5, 2), ("another seed", 6, 1)):
            torch.manual_seed(other)
            model = filled(Bigram(6, 5, dropout), rng, scale=size)
            start = copy.deepcopy(model.table)
            options = {"eval_every": 2, "eval_batches": 2, "max_lr": 0.1, "warmup_steps": 2}
            config = ex.TrainConfig(steps=5, batch_size=3, seed=seed, **options)
            history = ex.train(model, train_tokens, val_tokens, config)
            told.append([[row["train_loss"], row["val_loss"]] for row in history])
            trained = {"start": start, "table": model.table, "bias": model.bias}
            observed[f"{kind}, {name}"] = trained | {"val_loss": history[-1]["val_loss"]}
        observed[f"{kind}, the same losses"] = close(told[0], told[1], 1e-9)
    return observed


@test_train_seed.explain
def _(got, want):
    causes = {
        "plain": "do all batches come from a generator that starts at config.seed?",
        "dropout": "torch's global generator decides what dropout drops: who seeds it?",
    }
    for kind, cause in causes.items():
        once, again, another = (got[f"{kind}, {name}"] for name in ("once", "again", "another seed"))
        if not travelled(once["table"], want[f"{kind}, once"]["start"], 0.8):
            yield "five steps with lr = 0.1 leave the weights where they are, or move one by more than 0.8."
        if not (got[f"{kind}, the same losses"] and close(once["table"], again["table"], 1e-9)):
            told = " with dropout" if kind == "dropout" else ""
            yield f"two runs with the same seed, weights and tokens differ{told}: {cause}"
        if close(once["table"], another["table"], 1e-6):
            yield "runs with different seeds end in the same weights: is config.seed used?"
        measured, said = surprise(once)[want["held out"][:-1], want["held out"][1:]].mean(), once["val_loss"]
        if not close(said, measured, 0.25):
            yield f"the last val_loss is {said:.2f}; on the held-out text your final weights have {measured:.2f}."


def trained_on(calls) -> list[np.ndarray]:
    """What of the text to learn from is read with gradients, as a step does. The rest only looks."""
    return [call["ids"] for call in calls if call["graph"] and (call["ids"] < HELD_OUT).all()]


def evaluations(calls) -> list[list[list[int]]]:
    """The windows of held-out text (ids from HELD_OUT on) that each evaluation reads, between two steps."""
    found: list[list[list[int]]] = [[]]
    for call in calls:
        if call["graph"] and (call["ids"] < HELD_OUT).all():
            found.append([])
        elif (call["ids"] >= HELD_OUT).any():
            found[-1] += call["ids"].tolist()
    return [windows for windows in found if windows]


def two_texts(rng: Random) -> tuple[Tensor, Tensor]:
    """A text to learn from and one that is held out, without repeats: a window tells which, and where it starts."""
    return tuple(torch.from_numpy(rng.numpy.permutation(HELD_OUT)) + first for first in (0, HELD_OUT))


@check(
    "train: evaluations all see the same batches, and how often there is one changes nothing in the training",
    compare="nothing",
    free=("*.calls*",),
    exact=("held out", "*.start"),
)
def test_train_undisturbed(ex: Exercise, rng: Random):
    train_tokens, val_tokens = two_texts(rng)
    observed: dict[str, object] = {"held out": val_tokens}
    options = {"batch_size": 3, "eval_batches": 2, "max_lr": 0.1, "warmup_steps": 0}
    for name, every, seed in (("every 1", 1, 0), ("every 5", 5, 0), ("another seed", 5, 1)):
        model = filled(Bigram(2 * HELD_OUT, 4, dropout=0.5), rng)
        start = copy.deepcopy(model.table)
        config = ex.TrainConfig(steps=5, eval_every=every, seed=seed, **options)
        ex.train(model, train_tokens, val_tokens, config)
        observed[name] = {"calls": list(model.calls), "start": start, "table": model.table}
    return observed


@test_train_undisturbed.explain
def _(got, want):
    runs = ("every 1", "every 5", "another seed")
    often, seldom = (np.concatenate(trained_on(got[name]["calls"])) for name in runs[:2])
    looks = {name: evaluations(got[name]["calls"]) for name in runs}
    if [len(looks[name]) for name in runs] != [5, 1, 1]:
        numbers = f"{len(looks['every 1'])} and {len(looks['every 5'])}"
        yield f"in two trainings, 5 evaluations and 1 are asked for; yours reads the held-out text {numbers} times."
    elif any(starts_of(look, want["held out"]) is None for name in runs for look in looks[name]):
        yield "an evaluation reads something other than windows of the held-out text."
    elif not all(travelled(got[name]["table"], want[name]["start"], 0.8) for name in runs):
        yield "five steps with lr = 0.1 leave the weights where they are, or move one by more than 0.8."
    elif often.shape != seldom.shape or (often != seldom).any():
        yield "with more evaluations, training draws other batches: which generator does an evaluation draw from?"
    elif any(windows != looks["every 1"][0] for windows in looks["every 1"]):
        yield "two evaluations read different windows, so their losses can't be compared: whose generator draws them?"
    elif not close(got["every 1"]["table"], got["every 5"]["table"], 1e-6):
        yield "with more evaluations in between, the weights end up elsewhere: what does an evaluation change?"
    elif looks["every 5"] == looks["another seed"]:
        yield "with another config.seed an evaluation reads the same windows: which seed does its generator start at?"


@check(
    "train: in training mode on the training text; evaluated on the held-out text",
    compare="nothing",
    free=("calls*",),
    exact=("texts*",),
)
def test_train_mode(ex: Exercise, rng: Random):
    train_tokens, val_tokens = two_texts(rng)
    model = filled(Bigram(2 * HELD_OUT, 5, dropout=0.5), rng).eval()
    config = ex.TrainConfig(steps=6, batch_size=3, eval_every=2, eval_batches=2, warmup_steps=0)
    ends = []  # how many calls there were by the end of each step
    ex.train(model, train_tokens, val_tokens, config, lambda *_: ends.append(len(model.calls)))
    return {"texts": [train_tokens, val_tokens], "calls": list(model.calls), "ends": ends}


@test_train_mode.explain
def _(got, want):
    calls, ends = got["calls"], got["ends"]
    by_step = [
        [call for call in calls[begin:end] if call["graph"]] for begin, end in zip([0, *ends], ends, strict=False)
    ]
    trained = [call for call in calls if call["graph"]]
    held_out = [call for call in calls if (call["ids"] >= HELD_OUT).any() and not call["graph"]]
    sizes, looks = [sum(len(call["ids"]) for call in step) for step in by_step], evaluations(calls)
    if any((call["ids"] >= HELD_OUT).any() for call in trained):
        yield "the model meets held-out text with gradients enabled: is it trained on it?"
    elif any(call["ids"].shape[-1] != 5 for call in trained):
        width = next(call["ids"].shape[-1] for call in trained if call["ids"].shape[-1] != 5)
        yield f"the model's context_length is 5; a window of {width} tokens is trained on."
    elif sizes != [3] * 6:
        yield f"batch_size is 3; in your six steps the model reads {sizes} windows with gradients enabled."
    elif any(starts_of(call["ids"], want["texts"][0]) is None for call in trained):
        yield "the model is trained on something other than windows of the text."
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
    elif any(len(windows) != 6 for windows in looks):
        number = next(len(windows) for windows in looks if len(windows) != 6)
        yield f"an evaluation reads {number} windows; eval_batches = 2 batches of batch_size = 3 are 6."


class Stop(Exception):
    """Raised by a probe in on_step, as when somebody presses Ctrl-C there."""


@check("train: a training that is stopped and resumed goes as one that is not", points=2, compare="nothing")
def test_resume(ex: Exercise, rng: Random):
    train_tokens, val_tokens = rng.ids(6, 200), rng.ids(6, 200)
    config = ex.TrainConfig(steps=7, batch_size=3, max_lr=0.1, warmup_steps=2, eval_every=3, eval_batches=2, seed=4)
    observed = {}
    for kind, dropout in (("plain", 0.0), ("dropout", 0.5)):
        for stop in (None, 2, 6):
            told: list[list[object]] = []

            def on_step(step: int, loss: float, told=told, stop=stop) -> None:
                told.append([step, loss])
                if len(told) == stop:
                    raise Stop

            model, state = filled(Bigram(6, 5, dropout), rng), ex.TrainState()
            start = copy.deepcopy(model.table)
            history = None
            with contextlib.suppress(Stop):
                history = ex.train(model, train_tokens, val_tokens, config, on_step, state)
            if history is None:
                if kind == "plain":
                    torch.manual_seed(stop)  # somebody drew numbers before it went on
                history = ex.train(model.eval(), train_tokens, val_tokens, config, on_step, state)
            rows = [[row["step"], row["train_loss"], row["val_loss"]] for row in history]
            observed[f"{kind}, {stop}"] = {"start": start, "rows": rows, "told": told, "table": model.table}
    return observed


@test_resume.explain
def _(got, want):
    for kind in ("plain", "dropout"):
        whole = got[f"{kind}, None"]
        if [step for step, _ in whole["told"]] != [*range(1, 8)] or [row[0] for row in whole["rows"]] != [3, 6, 7]:
            yield "seven steps with eval_every = 3 are seven calls of on_step, and rows of the steps 3, 6 and 7."
        if not travelled(whole["table"], want[f"{kind}, None"]["start"], 0.8):
            yield "seven steps with lr = 0.1 leave the weights where they are, or move one by more than 0.8."
        if kind == "dropout" and close(whole["told"], got["plain, None"]["told"], 1e-6):
            yield "the losses of a model with dropout are those of one without: does dropout act?"
        with_dropout = " of a model with dropout" if kind == "dropout" else ""
        for stop in (2, 6):
            resumed, case = got[f"{kind}, {stop}"], f"a training{with_dropout} stopped in on_step at step {stop}"
            steps_told, steps_kept = [step for step, _ in resumed["told"]], [row[0] for row in resumed["rows"]]
            if steps_told != [*range(1, 8)]:
                yield f"{case} and resumed makes the steps {steps_told[stop:]} then; left are {[*range(stop + 1, 8)]}."
            elif steps_kept != [3, 6, 7]:
                yield f"{case} and resumed has rows of the steps {steps_kept}; one that is not stopped of 3, 6 and 7."
            elif not close(resumed["told"][:stop], whole["told"][:stop], 1e-6):
                yield f"{case} has other losses before the stop than one that is not stopped."
            elif not close(resumed["told"][stop], whole["told"][stop], 1e-6):
                yield (
                    f"{case} and resumed has another loss in its first step after the stop than one that is not. "
                    "Where does what is random in a step come from?"
                )
            elif not close(resumed["told"], whole["told"], 1e-6) or not close(resumed["table"], whole["table"], 1e-6):
                yield (
                    f"{case} and resumed has the same loss in its first step after the stop as one that is not, and "
                    "ends up with other weights. What does a step need to know of those before?"
                )
            elif not close(resumed["rows"], whole["rows"], 1e-6):
                yield f"{case} and resumed has a history with other losses than one that is not stopped."


### END HIDDEN TESTS
