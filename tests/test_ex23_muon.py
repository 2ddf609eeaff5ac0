"""What Muon and the speedrun must do: the checks of exercise 23."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grader.checks import Exercise, Random, check, close, on_meta, raised

NESTEROV = {"nesterov": True, "steps": 5}
USUAL = {
    "momentum": 0.95,
    **NESTEROV,
}  # given wherever the defaults are not what is checked: one wrong one costs one check


def weight(rng: Random, rows: int, columns: int, dtype: torch.dtype = torch.float64) -> nn.Parameter:
    """A parameter."""
    return nn.Parameter(rng.tensor(rows, columns, dtype=dtype))


def steps(optimizer: Any, named: dict[str, Any], gradients: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The parameters after each step with given gradients; a parameter that is not named has none in that step."""
    after = []
    for given in gradients:
        for name, parameter in named.items():
            parameter.grad = given[name].clone() if name in given else None
        optimizer.step()
        after.append({name: parameter.detach().clone() for name, parameter in named.items()})
    return after


def drawn(rng: Random, named: dict[str, Any], count: int) -> list[dict[str, Tensor]]:
    """Gradients for some steps."""
    return [{name: rng.tensor(*w.shape, dtype=w.dtype) for name, w in named.items()} for _ in range(count)]


def chant(rng: Random, words: int) -> str:
    """A text of few words, whose letters follow from those before."""
    lexicon = ("ababa", "cecec", "didid", "fofof", "gugug", "hahah")
    return " ".join(rng.pick(lexicon) for _ in range(words))


@check("newton_schulz: the iteration, on a matrix with fewer rows than columns", points=2)
def test_newton_schulz(ex: Exercise, rng: Random):
    rows, columns = 3, 5 + rng.integers(0, 3)
    matrix = rng.tensor(rows, columns, dtype=torch.float64)
    return {"one step": ex.newton_schulz(matrix.clone(), 1), "five steps": ex.newton_schulz(matrix)}


@test_newton_schulz.explain
def _(got, want):
    mine, due = got["one step"], want["one step"]
    factor = (mine * due).sum() / (due * due).sum()
    if close(mine, factor * due, 1e-6) and not close(factor, 1.0, 1e-4):
        yield f"after one step your matrix is {factor:.3g} times what it should be."


@check("newton_schulz: more rows than columns", after=test_newton_schulz)
def test_newton_schulz_tall(ex: Exercise, rng: Random):
    tall, square = rng.tensor(7, 3, dtype=torch.float64), rng.tensor(4, 4, dtype=torch.float64)
    return {"tall": ex.newton_schulz(tall), "square": ex.newton_schulz(square)}


@check("Muon: the steps with Nesterov momentum", points=2, after=test_newton_schulz)
def test_muon(ex: Exercise, rng: Random):
    named = {"w": weight(rng, 3, 5)}
    start, memory = named["w"].detach().clone(), named["w"].data_ptr()
    after = steps(ex.Muon(named.values(), lr=0.1, momentum=0.9, **NESTEROV), named, drawn(rng, named, 4))
    return {"start": start, "after": after, "in its place": named["w"].data_ptr() == memory}


@test_muon.explain
def _(got, want):
    mine, due = got["after"][0]["w"] - want["start"], want["after"][0]["w"] - want["start"]
    if close(mine, 0.0, 1e-12):
        yield "after a step with a gradient the parameter is where it was: is it changed in place?"
    elif close(mine, -due, 1e-6):
        yield "the first step goes up the gradient instead of down."
    elif not got["in its place"]:
        yield "after some steps the parameter's numbers are at another place in memory: is it changed in place?"


class Small(nn.Module):
    """Matrices, vectors and a cube inside the blocks, tables and a tied head outside."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(7, 4))
        self.positions = nn.Parameter(torch.zeros(5, 4))
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 4, bias=False)) for _ in range(2))
        self.blocks[0].shared = self.blocks[1][0]
        self.blocks[1].cube = nn.Parameter(torch.zeros(2, 3, 4))
        self.blocks[1].mix = nn.Parameter(torch.zeros(3, 4))
        self.blocks[1].gain = nn.Parameter(torch.ones(4))
        self.blocks[1].frozen = nn.Parameter(torch.ones(4, 4), requires_grad=False)
        self.norm = nn.Parameter(torch.ones(4))
        self.after_blocks = nn.Linear(4, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.table


def sorted_names(model: nn.Module, parameters: Any) -> list[str]:
    """The names of parameters, in the order of the alphabet; each under its first name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return sorted(names.get(id(parameter), "another tensor") for parameter in parameters)


@check("split_parameters: the matrices of the blocks, and everything else", points=2)
def test_split(ex: Exercise, rng: Random):
    gpt = ex.of("ex13_gpt")
    model = gpt.GPT(gpt.GPTConfig(7, 5, d_model=4, n_heads=2, n_layers=2))
    matrices, others = ex.split_parameters(model)
    return {"matrices": sorted_names(model, matrices), "others": sorted_names(model, others)}


@check(
    "speedrun: a model that is called as a GPT, a tokenizer of characters, a history",
    compare="structure",
    free=("history*", "context*"),
)
def test_speedrun(ex: Exercise, rng: Random):
    text = chant(rng, 300)
    model, tokenizer, history = ex.speedrun(text, seed=1, steps=2)
    ids = torch.tensor([tokenizer.encode(text[:40]), tokenizer.encode(text[40:80])])
    logits, loss = model.eval()(ids[:, :-1], ids[:, 1:])
    alone, nothing = model(ids[:1, :7])
    window = min(model.config.context_length, 256)
    whole, _ = model(torch.tensor([tokenizer.encode(text[:window])]))
    return {
        "ids": ids,
        "decoded": tokenizer.decode(tokenizer.encode(text[:40])),
        "history": [
            {name: row.get(name) for name in ("step", "val_loss")} if isinstance(row, dict) else "no dict"
            for row in history
        ],
        "context": model.config.context_length,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "logits": logits,
        "loss": loss,
        "alone": {"first": model(ids[:1, :1])[0], "first 7": alone},
        "in a whole window": whole[:, :7],
        "no targets": nothing is None,
    }


@test_speedrun.explain
def _(got, want):
    if (got["ids"] != want["ids"]).any():
        yield "the tokenizer does not give each character its place in the sorted alphabet of the text."
        return
    if got["decoded"] != want["decoded"]:
        yield f"the tokenizer decodes what it made of {want['decoded']!r} as {got['decoded']!r}."
        return
    for row in got["history"]:
        if isinstance(row, str):
            yield "a row of the history is no dict."
            return
        if not isinstance(row["step"], int) or not isinstance(row["val_loss"], float):
            yield f"a row of the history has {row}: it needs a number for `step`, and a Python float for `val_loss`."
            return
    if got["history"][-1]["step"] != 2:
        yield f"the last row of the history is {got['history'][-1]}: it needs the number of the last step, 2."
        return
    if not isinstance(got["context"], int) or got["context"] < 64:
        yield f"the model's context_length is {got['context']}: at least 64 characters have to fit."
        return
    if got["parameters"] > 1_000_000:  # none at all is fine: counts are buffers
        yield f"the model has {got['parameters']} parameters: 1,000,000 are allowed."
        return
    logits, targets = got["logits"].astype(float), want["ids"][:, 1:]
    logs = (
        logits
        - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
        - logits.max(-1, keepdims=True)
    )
    due = -np.take_along_axis(logs, targets[..., None], -1).mean()
    if not close(got["loss"], due, 1e-3):
        yield f"the loss is {float(got['loss']):.4g}; the mean cross-entropy of the logits is {due:.4g}."
    elif got["no targets"] is not True:
        yield "without targets the model should return None for the loss."
    elif not close(got["in a whole window"], logits[:1, :7], 1e-3):
        yield f"the logits of the first 7 characters are others in a window of {min(got['context'], 256)} characters."
    else:
        for what, part in got["alone"].items():
            if not close(part, logits[:1, : part.shape[1]], 1e-3):
                which = "character" if what == "first" else "7 characters"
                yield f"the logits of the first {which} are others when what comes after is not there."
                return


class Enough(Exception):
    """Ends a run that goes on and on."""


MANY = 6  # steps that nobody has asked for


@check("speedrun: on_step is called for each step, from 1 to the number that was asked for")
def test_speedrun_steps(ex: Exercise, rng: Random):
    text, heard = chant(rng, 300), {}
    for steps in (2, 3):
        numbers: list[int] = []

        def on_step(step: int, loss: float, numbers: list[int] = numbers) -> None:
            numbers.append(step)
            if len(numbers) > MANY:
                raise Enough

        with suppress(Enough):
            ex.speedrun(text, on_step=on_step, steps=steps)
        heard[f"steps={steps}"] = numbers
    return heard


@test_speedrun_steps.explain
def _(got, want):
    for asked, numbers in got.items():
        if len(numbers) > MANY:
            yield f"with {asked}, on_step is called more than {MANY} times."
        elif numbers != want[asked]:
            yield f"with {asked}, on_step is called for the steps {numbers}."


### BEGIN HIDDEN TESTS
@check("newton_schulz: any number of steps, none included", after=test_newton_schulz)
def test_newton_schulz_steps(ex: Exercise, rng: Random):
    matrix = rng.tensor(3, 6, dtype=torch.float64)
    return {f"steps {count}": ex.newton_schulz(matrix.clone(), steps=count) for count in (0, 2, 3, 8)}


@check("newton_schulz: large singular values end near 1, zeros stay zero", after=test_newton_schulz)
def test_spectrum(ex: Exercise, rng: Random):
    found = {}
    for scale in (1e-4, 1.0, 1e6):
        left, right = (torch.linalg.qr(rng.tensor(size, size, dtype=torch.float64))[0] for size in (5, 8))
        values = torch.tensor([1.0, 0.3, 0.05, 0.02, 0.0], dtype=torch.float64)
        found[f"times {scale:g}"] = ex.newton_schulz(scale * (left * values) @ right[:5])
    found["zeros"] = ex.newton_schulz(torch.zeros(3, 4))
    return found


@check("newton_schulz: bfloat16 is worked on in float32, and comes back as bfloat16", after=test_newton_schulz)
def test_low_precision(ex: Exercise, rng: Random):
    strong = 50 * rng.tensor(4, 1) * rng.tensor(1, 6)  # beside it, rounding is as large as all the rest
    return ex.newton_schulz((strong + rng.tensor(4, 6)).bfloat16())


@check("newton_schulz leaves its argument as it is", after=test_newton_schulz)
def test_argument_unchanged(ex: Exercise, rng: Random):
    wide, tall = rng.tensor(3, 5), rng.tensor(5, 3)
    ex.newton_schulz(wide)
    ex.newton_schulz(tall)
    return {"wide": wide, "tall": tall}


@check("newton_schulz: the result is on the device of the matrix", after=test_newton_schulz)
def test_device(ex: Exercise, rng: Random):
    matrix = rng.tensor(3, 5)
    return on_meta(lambda on: ex.newton_schulz(matrix.to(on)))


@test_device.explain
def _(got, want):
    if got["strays"]:
        yield "a tensor of yours is not on the device of the matrix: which one is made without `device=`?"


@check("Muon: momentum without Nesterov", after=test_muon)
def test_plain_momentum(ex: Exercise, rng: Random):
    named = {"w": weight(rng, 4, 6)}
    optimizer = ex.Muon(named.values(), lr=0.05, momentum=0.8, nesterov=False, steps=5)
    return steps(optimizer, named, drawn(rng, named, 4))


@check("Muon: the defaults", after=test_muon)
def test_defaults(ex: Exercise, rng: Random):
    named = {"w": weight(rng, 3, 5)}
    return steps(ex.Muon(named.values()), named, drawn(rng, named, 3))


@check("Muon: a matrix with more rows than columns takes longer steps", after=test_muon)
def test_shapes(ex: Exercise, rng: Random):
    named = {"tall": weight(rng, 8, 2), "wide": weight(rng, 2, 8), "square": weight(rng, 3, 3)}
    start = {name: parameter.detach().clone() for name, parameter in named.items()}
    return {"start": start, "after": steps(ex.Muon(named.values(), lr=0.1, **USUAL), named, drawn(rng, named, 2))}


@test_shapes.explain
def _(got, want):
    for name, start in want["start"].items():
        mine, due = got["after"][0][name] - start, want["after"][0][name] - start
        factor = (mine * due).sum() / (due * due).sum()
        if close(mine, factor * due, 1e-6) and not close(factor, 1.0, 1e-4):
            yield f"a matrix of shape {start.shape} takes a step {factor:.3g} times as long as it should be."
            return


@check("Muon: decoupled decay, before the step", after=test_muon)
def test_decay(ex: Exercise, rng: Random):
    named = {"w": weight(rng, 3, 4)}
    moved = steps(ex.Muon(named.values(), lr=0.1, weight_decay=0.5, **USUAL), named, drawn(rng, named, 3))
    still = {"w": weight(rng, 3, 4)}
    zeros = [{"w": torch.zeros(3, 4, dtype=torch.float64)}] * 2
    decayed = steps(ex.Muon(still.values(), lr=0.1, weight_decay=0.5, **USUAL), still, zeros)
    return {"moved": moved, "gradient of zeros": decayed}


@check("Muon: without a gradient a parameter is left alone; each has a buffer of its own", after=test_muon)
def test_no_gradient(ex: Exercise, rng: Random):
    named = {name: weight(rng, 3, 2) for name in ("always", "late", "sometimes", "never")}
    turns = [("always", "sometimes"), ("always",), ("always", "late", "sometimes"), ("always", "late")]
    gradients = [{name: rng.tensor(3, 2, dtype=torch.float64) for name in turn} for turn in turns]
    return steps(ex.Muon(named.values(), lr=0.1, weight_decay=0.3, **USUAL), named, gradients)


@check("Muon: groups have options of their own, which may change between steps", after=test_muon)
def test_groups(ex: Exercise, rng: Random):
    named = {"own": weight(rng, 2, 3), "rest": weight(rng, 3, 3)}
    own = {"params": [named["own"]], "lr": 0.3, "momentum": 0.5, "nesterov": False, "steps": 2, "weight_decay": 0.1}
    optimizer = ex.Muon([own, {"params": [named["rest"]]}], lr=0.05, **USUAL)
    first = steps(optimizer, named, drawn(rng, named, 2))
    for group in optimizer.param_groups:
        group["lr"] *= 3.0
    return {"first steps": first, "after a new lr": steps(optimizer, named, drawn(rng, named, 2))}


@check("Muon: state_dict and load_state_dict carry on where another optimizer stopped", after=test_muon)
def test_state(ex: Exercise, rng: Random):
    named = {"w": weight(rng, 3, 4)}
    optimizer = ex.Muon(named.values(), lr=0.1, **USUAL)
    steps(optimizer, named, drawn(rng, named, 3))
    saved = copy.deepcopy(optimizer.state_dict())
    copies = {"w": nn.Parameter(named["w"].detach().clone())}
    resumed = ex.Muon(copies.values(), lr=0.7)
    resumed.load_state_dict(saved)
    return steps(resumed, copies, drawn(rng, copies, 2))


@check("Muon: the gradients themselves are left as they are", after=test_muon)
def test_gradients_unchanged(ex: Exercise, rng: Random):
    w = weight(rng, 3, 4)
    w.grad = rng.tensor(3, 4, dtype=torch.float64)
    optimizer = ex.Muon([w], lr=0.1, weight_decay=0.3)
    for _ in range(3):
        optimizer.step()
    return {"gradient": w.grad}


@check("Muon: a closure is called once, before the step, with gradients; its loss is returned", after=test_muon)
def test_closure(ex: Exercise, rng: Random):
    w = weight(rng, 3, 4)
    optimizer = ex.Muon([w], lr=0.1, **USUAL)
    calls: list[bool] = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = (w * w).sum()
        if loss.requires_grad:
            loss.backward()
        return loss

    returned = optimizer.step(closure)
    return {"calls": calls, "returned": returned, "w": w, "without": optimizer.step()}


@check("Muon: what is not a matrix is a ValueError that mentions AdamW")
def test_no_matrices(ex: Exercise, rng: Random):
    matrix, vector, cube = (nn.Parameter(torch.ones(*shape)) for shape in ((2, 3), (4,), (2, 3, 4)))
    return {
        "a vector": raised(lambda: ex.Muon([matrix, vector]), mentions=["AdamW"]),
        "a cube": raised(lambda: ex.Muon([cube]), mentions=["AdamW"]),
        "in a group": raised(lambda: ex.Muon([{"params": [matrix]}, {"params": [vector]}]), mentions=["AdamW"]),
        "matrices": raised(lambda: ex.Muon([matrix])),
    }


@check("split_parameters: shared, frozen and oddly shaped ones", points=2, after=test_split)
def test_split_odd(ex: Exercise, rng: Random):
    model = Small()
    matrices, others = ex.split_parameters(model)
    return {"matrices": sorted_names(model, matrices), "others": sorted_names(model, others)}


def heard(ex: Exercise, text: str, seed: int, count: int = 3) -> tuple[list[float], Tensor]:
    """The losses of some steps of a speedrun, and the logits of the model that comes back."""
    losses: list[float] = []
    torch.rand(3)  # what was drawn before makes no difference
    model, tokenizer, _ = ex.speedrun(text, seed=seed, on_step=lambda step, loss: losses.append(loss), steps=count)
    with torch.no_grad():
        return losses, model.eval()(torch.tensor([tokenizer.encode(text[:64])]))[0]


@check("speedrun: the same seed gives the same losses, another seed others", after=test_speedrun_steps)
def test_speedrun_seed(ex: Exercise, rng: Random):
    text = chant(rng, 300)
    (one, _), (again, _), (other, _) = (heard(ex, text, seed) for seed in (3, 3, 4))
    floats = all(isinstance(loss, float) and 0 <= loss < 100 for loss in one)
    return {
        "losses": {"floats below 100": floats, "not all the same": len(set(one)) > 1},
        "the same again": close(one, again, 1e-4),
        "with another seed": close(one, other, 1e-7),
    }


@test_speedrun_seed.explain
def _(got, want):
    if not got["losses"]["floats below 100"]:
        yield "the losses that on_step gets in the first three steps are not all Python floats between 0 and 100."
    elif not got["losses"]["not all the same"]:
        yield "on_step gets the same loss in each of the first three steps."
    elif not got["the same again"]:
        yield "two calls with the same text and seed give other losses."
    elif got["with another seed"]:
        yield "two seeds give the same losses."


TENTHS = {"first": 0, "fifth": 4, "ninth": 8}  # all that a speedrun trains on, by examples


@check("speedrun: the first nine tenths of the text are trained on, and the last has no part", after=test_speedrun_seed)
def test_speedrun_held_out(ex: Exercise, rng: Random):
    text = chant(rng, 300)
    tenth = len(text) // 10

    def sorted_from(start: int, stop: int) -> str:
        return text[:start] + "".join(sorted(text[start:stop])) + text[stop:]

    steps = 8  # so many that each tenth has a part in some, for batches of any usual size
    losses, logits = heard(ex, text, 3, steps)
    other, rest = heard(ex, sorted_from(len(text) - tenth + 1, len(text)), 3, steps)
    parts = {name: heard(ex, sorted_from(at * tenth, (at + 1) * tenth), 3, steps)[0] for name, at in TENTHS.items()}
    return {
        "the same losses": close(losses, other, 1e-4),
        "the same model": close(logits, rest, 1e-3),
        "the same without": {name: close(losses, part, 1e-7) for name, part in parts.items()},
    }


@test_speedrun_held_out.explain
def _(got, want):
    if not got["the same losses"]:
        yield "the losses change with the last tenth of the text, which is not to be trained on."
    elif not got["the same model"]:
        yield "the losses of the steps stay when the last tenth of the text changes, but another model comes back."
    for name in TENTHS:
        if got["the same without"][name]:
            yield f"the losses stay when the {name} tenth of the text changes: are nine tenths of it trained on?"


@check(
    "speedrun: 40 steps teach it more than how frequent the characters are, and from all nine tenths",
    points=2,
    limit=60.0,
    compare="structure",
)
def test_speedrun_learns(ex: Exercise, rng: Random):
    text = chant(rng, 500)
    most, start = len(text) * 2 // 3, len(text) - len(text) // 10
    found = []
    for read in (text, text[:most] + "".join(sorted(text[most:start])) + text[start:]):
        model, tokenizer, _ = ex.speedrun(read, seed=2, steps=40)
        ids = torch.tensor(tokenizer.encode(text[-257:]))
        with torch.no_grad():
            found.append(model.eval()(ids[:256].view(4, 64))[0])
    return {"ids": ids, "logits": found[0], "from another text": found[1]}


@test_speedrun_learns.explain
def _(got, want):
    ids = want["ids"]
    shares = np.bincount(ids, minlength=got["logits"].shape[-1]) / len(ids)
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    logits = got["logits"].astype(float)
    logs = logits - logits.max(-1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(-1, keepdims=True))
    loss = -np.take_along_axis(logs, ids[1:].reshape(4, 64, 1), -1).mean()
    if not loss < entropy:
        yield f"after 40 steps the held-out loss is {loss:.3g}; how frequent the characters are gives {entropy:.3g}."
    elif close(got["from another text"], logits, 1e-7):
        yield "after 40 steps the model is the same if the text changes after two thirds, before its last tenth."


### END HIDDEN TESTS
