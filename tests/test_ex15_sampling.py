"""What sampling must do: the checks of exercise 15. They judge probabilities and frequencies, never single draws."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from grader.checks import Exercise, Random, check, close, on_meta, raised

SHARES = (0.42, 0.27, 0.16, 0.10, 0.05)  # sums of 0.42, 0.69, 0.85, 0.95: no top_p below is near one of them


def shuffled(shares: tuple[float, ...], rng: Random, rows: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Logits (rows, V) whose softmax is the given shares, in another order and with another offset in each row."""
    logits = [np.log(rng.numpy.permutation(shares)) + rng.uniform(-3, 3) for _ in range(rows)]
    return torch.tensor(np.stack(logits), dtype=dtype)


class Machine(nn.Module):
    """A stand-in for a GPT: what comes next depends on the last token of the window and on its first."""

    def __init__(self, rng: Random, vocab_size: int, context_length: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab_size, context_length=context_length)
        self.last = nn.Parameter(rng.tensor(vocab_size, vocab_size, scale=3.0))
        self.first = nn.Parameter(rng.tensor(vocab_size, vocab_size, scale=3.0))
        self.dropout = nn.Dropout(dropout)
        self.seen: list[dict[str, bool]] = []

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, None]:  # noqa: ARG002
        length, limit = ids.size(1), self.config.context_length
        if length > limit:
            raise ValueError(f"ids has length T = {length}, but context_length is {limit}")
        logits = self.dropout(self.last[ids] + self.first[ids[:, :1]])  # (B, T, V)
        self.seen.append({"training": self.training, "graph": logits.requires_grad})
        return logits, None


class Die(nn.Module):
    """A model that gives the same logits whatever came before."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=len(logits), context_length=8)
        self.logits = nn.Parameter(logits)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, None]:  # noqa: ARG002
        return self.logits.expand(*ids.shape, -1), None


def shares_of(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The softmax of each row."""
    exps = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    return exps / exps.sum(-1, keepdims=True)


def sum_to_one(probs: np.ndarray):
    """A sentence about the first row that is no distribution, if there is one."""
    sums = probs.sum(-1)
    for row in np.flatnonzero(np.abs(sums - 1.0) > 1e-3):
        yield f"row {row} of your probabilities sums to {sums[row]:.3f} instead of 1."
        return


@check("temperature divides the logits before the softmax", axes={"half": "text token", "double": "text token"})
def test_temperature(ex: Exercise, rng: Random):
    rows, vocab_size = rng.sizes(2, low=3)
    logits = rng.tensor(rows, vocab_size, scale=2.0)
    return {
        "one": ex.next_token_probs(logits),
        "half": ex.next_token_probs(logits, temperature=0.5),
        "double": ex.next_token_probs(logits, temperature=2.0),
    }


@test_temperature.explain
def _(got, want):
    yield from sum_to_one(got["one"])
    if got["half"].max(-1).mean() < got["double"].max(-1).mean():
        yield (
            "at a temperature of 0.5 your distribution is flatter than at 2. A low temperature makes the best token "
            "stand out more: do you multiply by the temperature, or divide?"
        )


@check("temperature 0 is greedy: everything on the most likely token")
def test_temperature_zero(ex: Exercise, rng: Random):
    rows, vocab_size = rng.sizes(2, low=3)
    return ex.next_token_probs(rng.tensor(rows, vocab_size), temperature=0.0)


@check("top-k keeps the k most likely tokens of each row and renormalizes them", axes={"": "text token"})
def test_top_k(ex: Exercise, rng: Random):
    rows, vocab_size = rng.sizes(2, low=5)
    return ex.next_token_probs(rng.tensor(rows, vocab_size, scale=2.0), top_k=3)


@test_top_k.explain
def _(got, want):
    kept = (got > 0).sum(-1)
    if (kept != 3).any():
        row = int(np.flatnonzero(kept != 3)[0])
        own = " Has each row its own k best?" if (kept != kept[0]).any() else ""
        yield f"for top_k = 3, row {row} has {kept[row]} tokens above zero.{own}"
    yield from sum_to_one(got)


@check("top-p keeps the smallest set that reaches p: the token that crosses the line stays", points=2)
def test_top_p(ex: Exercise, rng: Random):
    logits = shuffled(SHARES, rng, rng.integers(3, 7))
    probs = {f"top_p={p}": ex.next_token_probs(logits, top_p=p) for p in (0.3, 0.6, 0.8, 0.9)}
    return {"logits": logits} | probs


@test_top_p.explain
def _(got, want):
    shares = shares_of(want["logits"])
    for p in (0.3, 0.6, 0.8, 0.9):
        mine, right = got[f"top_p={p}"] > 0, want[f"top_p={p}"] > 0
        for row in np.flatnonzero((mine != right).any(-1)):
            kept = shares[row][mine[row]]
            said = f"for top_p={p} and the probabilities {SHARES} in some order, row {row} keeps {len(kept)} of them"
            if kept.sum() < p - 1e-4:
                yield f"{said}, {kept.sum():.2f} in all: top_p is not reached. Does the token that crosses it stay?"
            elif kept.sum() - kept.min() > p + 1e-4:
                yield f"{said}, {kept.sum():.2f} in all: without the least of them, top_p would be reached as well."
            elif kept.min() < shares[row][~mine[row]].max():
                yield f"{said}, and not the likeliest. In which order do you add up, and in which do you cut?"
        yield from sum_to_one(got[f"top_p={p}"])


@check("generate appends the right number of tokens, and greedily the most likely ones", axes={"text": "text position"})
def test_greedy_continuation(ex: Exercise, rng: Random):
    batch, length, new = rng.sizes(3, low=2, high=6)
    model, prompts = Machine(rng, vocab_size=11, context_length=length + new), rng.ids(11, batch, length)
    return {"prompts": prompts, "text": ex.generate(model, prompts, new, temperature=0.0)}


@test_greedy_continuation.explain
def _(got, want):
    mine, right, length = got["text"], want["text"], want["prompts"].shape[1]
    first = next((i for i in range(right.shape[1]) if (mine[:, i] != right[:, i]).any()), None)
    if first is not None and first < length:
        yield f"the prompts do not come back as they were: they differ at position {first}."
    elif first is not None:
        yield (
            f"your texts differ at position {first}: {mine[:, first].tolist()}, where {right[:, first].tolist()} are "
            "the most likely tokens by the last row of the logits."
        )


### BEGIN HIDDEN TESTS
@check("temperature 0: of tokens that tie for the most likely, one gets everything", compare="structure")
def test_ties(ex: Exercise, rng: Random):
    (vocab_size,) = rng.sizes(1, low=5)
    logits = rng.tensor(4, vocab_size)
    for row, count in enumerate((1, 2, 3, vocab_size)):
        logits[row, rng.numpy.permutation(vocab_size)[:count]] = 9.0
    return {"logits": logits, "probs": ex.next_token_probs(logits, temperature=0.0)}


@test_ties.explain
def _(got, want):
    for row, (mine, scores) in enumerate(zip(got["probs"], want["logits"], strict=True)):
        best, above = scores == scores.max(), mine > 0
        tie = f"{best.sum()} tokens tie for the most likely" if best.sum() > 1 else "one token is the most likely"
        if not close(mine.sum(), 1.0):
            yield f"row {row}, in which {tie}, sums to {mine.sum():.3g} instead of 1."
        elif above.sum() != 1:
            yield f"in row {row}, {tie}, and {above.sum()} share the probability."
        elif not best[above].all():
            yield f"in row {row}, {tie}, and everything is on another one."


@check("first the temperature, then top-k, then top-p on what top-k has kept, renormalized", points=2, after=test_top_p)
def test_order(ex: Exercise, rng: Random):
    logits = shuffled(SHARES, rng, rng.integers(3, 7))
    return {
        "top-k and top-p": ex.next_token_probs(logits, top_k=3, top_p=0.7),
        "temperature 2 and top-p": ex.next_token_probs(logits, temperature=2.0, top_p=0.6),
        "temperature 0.5 and top-p": ex.next_token_probs(logits, temperature=0.5, top_p=0.8),
        "all three": ex.next_token_probs(logits, temperature=1.5, top_k=3, top_p=0.63),
        "greedy": ex.next_token_probs(logits, temperature=0.0, top_k=3, top_p=0.9),
        "logits": logits,
    }


def kept_by(shares: np.ndarray, top_p: float) -> np.ndarray:
    """Which tokens of each row are in the smallest set that reaches top_p."""
    before = np.array([[row[row > one].sum() for one in row] for row in shares])  # what the likelier tokens have
    return before < top_p


@test_order.explain
def _(got, want):
    logits = want["logits"]
    cold, warm = shares_of(logits), shares_of(logits, 1.5)
    best = np.sort(logits, -1)[:, -3:-2] <= logits
    mine = {name: got[name] > 0 for name in want if name != "logits"}
    if (mine["top-k and top-p"] == (kept_by(cold, 0.7) & best)).all() and (
        mine["all three"] == (kept_by(warm, 0.63) & best)
    ).all():
        yield (
            "with top-k and top-p together you keep the tokens that the probabilities of all tokens give, before "
            "top-k has cut. Which probabilities does top-p add up?"
        )
    elif (mine["temperature 2 and top-p"] == kept_by(cold, 0.6)).all() and (
        mine["temperature 0.5 and top-p"] == kept_by(cold, 0.8)
    ).all():
        yield (
            "with a temperature and top-p together you keep the tokens that a temperature of 1 gives. Which "
            "probabilities does top-p add up: those before the temperature has acted, or those after?"
        )
    elif (mine["greedy"].sum(-1) != 1).any():
        yield "with temperature 0, more than one token or none is left when top_k and top_p are given, too."


@check("the ends of the scale: top_k of 1, V and more, top_p of 0, 1 and hardly more than nothing, a temperature of 0")
def test_ends(ex: Exercise, rng: Random):
    logits = shuffled(SHARES, rng, 4)
    logits[1] = logits[1] * 6.0  # a row that is almost sure, beside others that are not
    options = [
        ("top_k", 1),
        ("top_k", 5),
        ("top_k", 12),
        ("top_p", 0.0),
        ("top_p", 1e-6),
        ("top_p", 0.75),
        ("top_p", 1.0),
    ]
    found = {f"{name} = {value}": ex.next_token_probs(logits, **{name: value}) for name, value in options}
    # The likeliest token is ahead by less than a division by nearly nothing can show.
    near = rng.tensor(3, 9, scale=1e-3)
    near[:, 2], near[:, 5] = 5e-3, 5e-3 - 2e-9
    return found | {"a narrow lead, temperature 0": ex.next_token_probs(near, temperature=0.0)}


@check("tokens at minus infinity are never drawn, and huge logits or a tiny temperature do no harm")
def test_stability(ex: Exercise, rng: Random):
    logits = rng.tensor(3, 9)
    logits[0, 1], logits[0, 4] = -torch.inf, -torch.inf
    logits[1, :7] = -torch.inf
    huge = rng.tensor(3, 9, scale=1e4)
    low = rng.tensor(3, 9, scale=1e6) - 1e10  # below any number that might hide a token instead of -inf
    return {
        "banned": ex.next_token_probs(logits),
        "banned, top-k": ex.next_token_probs(logits, top_k=4),
        "banned, top-p": ex.next_token_probs(logits, top_p=0.9),
        "banned, greedy": ex.next_token_probs(logits, temperature=0.0),
        "huge": ex.next_token_probs(huge, top_k=4, top_p=0.9),
        "far below zero": ex.next_token_probs(low, top_k=4),
        "cold": ex.next_token_probs(shuffled(SHARES, rng, 3), temperature=1e-3, top_p=0.9),
        "hot": ex.next_token_probs(logits[2:], temperature=1e6),
    }


@check("the probabilities keep the dtype of the logits", compare="structure")
def test_dtypes(ex: Exercise, rng: Random):
    exact = shuffled(SHARES, rng, 3, dtype=torch.float64)
    rough = exact.to(torch.bfloat16)
    return {
        "logits": [exact, rough],
        "float64": ex.next_token_probs(exact, temperature=0.8, top_k=4),
        "float64, greedy": ex.next_token_probs(exact, temperature=0.0),
        "bfloat16": ex.next_token_probs(rough, temperature=0.8, top_k=4),
        "bfloat16, greedy": ex.next_token_probs(rough, temperature=0.0),
    }


@test_dtypes.explain
def _(got, want):
    for dtype, logits, room in zip(("float64", "bfloat16"), want["logits"], (1e-6, 3e-2), strict=True):
        best = logits == logits.max(-1, keepdims=True)
        shares = shares_of(logits, 0.8) * (logits > logits.min(-1, keepdims=True))
        exact = {dtype: shares / shares.sum(-1, keepdims=True), f"{dtype}, greedy": best * 1.0}
        for name, right in exact.items():
            if not close(got[name], right, room):
                worst = float(np.abs(got[name] - right).max())
                yield f"in {name}, a probability is off by {worst:.2g}; computed from these logits exactly."


@check("it runs on the device of the logits", compare="structure", free=("{*",), after=test_temperature)
def test_device(ex: Exercise, rng: Random):
    logits = rng.tensor(4, 7)
    options = ({"temperature": 0.0}, {"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.6})
    return {
        str(option): on_meta(lambda device, option=option: ex.next_token_probs(logits.to(device), **option))
        for option in options
    }


@test_device.explain
def _(got, want):
    for option in want:
        if got[option]["strays"]:
            yield f"with {option} a tensor is not on the device of the logits. Is a tensor made without `device=`?"


@check("a negative temperature, a top_k below 1 and a top_p outside 0..1 are a ValueError that names the value")
def test_wrong_arguments(ex: Exercise, rng: Random):
    logits, ids = rng.tensor(2, 6), rng.ids(6, 2, 3)
    model = Machine(rng, vocab_size=6, context_length=8)
    return {
        "temperature": raised(lambda: ex.next_token_probs(logits, temperature=-0.5), [-0.5]),
        "top_k of 0": raised(lambda: ex.next_token_probs(logits, top_k=0), [0]),
        "top_k below 0": raised(lambda: ex.next_token_probs(logits, top_k=-3), [-3]),
        "top_p above 1": raised(lambda: ex.next_token_probs(logits, top_p=1.5), [1.5]),
        "top_p below 0": raised(lambda: ex.next_token_probs(logits, top_p=-0.1), [-0.1]),
        "greedy": raised(lambda: ex.next_token_probs(logits, temperature=0.0, top_p=1.5), [1.5]),
        "generate": raised(lambda: ex.generate(model, ids, 2, top_k=-2), [-2]),
        "top_k beyond V": raised(lambda: ex.next_token_probs(logits, top_k=7)),
    }


@check("no argument is changed in place: neither the logits nor the prompts", after=test_temperature)
def test_arguments_unchanged(ex: Exercise, rng: Random):
    logits, ids = rng.tensor(3, 8), rng.ids(8, 3, 4)
    for option in (
        {"temperature": 0.0},
        {"temperature": 0.7},
        {"top_k": 3},
        {"top_p": 0.6},
        {"top_k": 4, "top_p": 0.5},
    ):
        ex.next_token_probs(logits, **option)
    ex.generate(Machine(rng, vocab_size=8, context_length=16), ids, 5, generator=rng.generator())
    return {"logits": logits, "ids": ids}


@check(
    "what no longer fits into the context length is out of sight: the model sees the last tokens, the text keeps all"
)
def test_crops(ex: Exercise, rng: Random):
    window = rng.integers(3, 6)
    model = Machine(rng, vocab_size=13, context_length=window)
    short, long = rng.ids(13, 3, 2), rng.ids(13, 3, 9)
    narrow = Machine(rng, vocab_size=13, context_length=1)
    return {
        "window": window,
        "grown": ex.generate(model, short, 12, temperature=0.0),
        "long prompt": ex.generate(model, long, 7, temperature=0.0),
        "one token wide": ex.generate(narrow, long, 5, temperature=0.0),
    }


@test_crops.explain
def _(got, want):
    wrong = np.flatnonzero((got["grown"] != want["grown"]).any(0))
    if len(wrong) and wrong[0] > want["window"]:
        yield "a text is right as long as it fits into the window, and another from then on: which tokens stay in it?"
    for name in ("long prompt", "one token wide"):
        if not len(wrong) and (got[name][:, :9] == want[name][:, :9]).all() and (got[name] != want[name]).any():
            yield f"{name}: the prompt, longer than the window, is not continued as its end asks for."


@check("tokens are drawn as often as their probabilities say", points=2, compare="structure", exact=("draws*",))
def test_frequencies(ex: Exercise, rng: Random):
    logits = shuffled(SHARES, rng, 1)[0]
    model, start = Die(logits), torch.zeros(40, 1, dtype=torch.int64)
    generator = rng.generator()
    observed: dict[str, dict[str, object]] = {}
    for name, options in (("plain", {}), ("cut", {"temperature": 0.7, "top_k": 4, "top_p": 0.9})):
        drawn = ex.generate(model, start, 100, generator=generator, **options)[:, 1:]  # (40, 100)
        for what, found in {
            "probs": ex.next_token_probs(logits[None], **options)[0],
            "shares": torch.stack([(drawn == token).double().mean() for token in range(len(logits))]),
            "draws": list(drawn.shape),
            "one text for all": bool((drawn == drawn[:1]).all()),
            "one token for a text": bool((drawn == drawn[:, :1]).all()),
        }.items():
            observed.setdefault(what, {})[name] = found
    return observed


@test_frequencies.explain
def _(got, want):
    for name, how in (("plain", "with no option"), ("cut", "with temperature=0.7, top_k=4, top_p=0.9")):
        probs, shares, size = got["probs"][name], got["shares"][name], int(np.prod(want["draws"][name]))
        spread = np.sqrt(probs * (1 - probs) / size)  # of a share, if the draws are independent
        off = ~(np.abs(shares - probs) <= 6 * spread + 1e-9)
        if got["draws"][name] != want["draws"][name]:
            yield f"{how}, 40 texts were to get 100 tokens each; without the prompts they are {got['draws'][name]}."
        elif got["one text for all"][name]:
            yield f"{how}, 40 texts of one batch all get the same 100 tokens: how many tokens are drawn in a step?"
        elif got["one token for a text"][name]:
            yield f"{how}, a text gets one token 100 times: is it drawn anew in each step?"
        elif off.any():
            token = int(np.flatnonzero(off)[0])
            yield (
                f"{how}, a token to which your next_token_probs gives {probs[token]:.3f} makes up {shares[token]:.3f} "
                f"of {size} draws."
            )


@check("the generator decides, and it alone: the same state gives the same text", compare="structure")
def test_generator(ex: Exercise, rng: Random):
    model, ids = Die(torch.zeros(50)), torch.tensor([[7], [0], [31]])  # by its prompt each text is known
    seed = rng.integers(0, 2**31)
    torch.manual_seed(1)
    first = ex.generate(model, ids, 20, generator=torch.Generator().manual_seed(seed))
    torch.manual_seed(2)
    generator = torch.Generator().manual_seed(seed)
    again = ex.generate(model, ids, 20, generator=generator)
    further = ex.generate(model, ids, 20, generator=generator)
    torch.manual_seed(3)
    without = [ex.generate(model, ids, 20), ex.generate(model, ids, 20)]
    torch.manual_seed(3)
    repeated = ex.generate(model, ids, 20)
    return {"first": first, "again": again, "further": further, "without": without, "repeated": repeated}


@test_generator.explain
def _(got, want):
    texts = (got["first"], got["further"], *got["without"], got["repeated"])
    if not all(((0 <= text) & (text < 50)).all() for text in texts):  # noqa: SIM300
        yield "some tokens are outside 0..V-1."
    if any((text[:, 0] != want["first"][:, 0]).any() for text in texts):
        yield "the prompts do not come back as they were."
    if (got["first"] != got["again"]).any():
        yield "two generators with the same seed give different texts: does the draw use the generator it was given?"
    if (got["again"] == got["further"]).all():
        yield "one generator gives the same text twice in a row: is it seeded again somewhere inside?"
    if (got["without"][0] == got["without"][1]).all():
        yield "without a generator, two calls give the same text: is something seeded inside?"
    if (got["without"][0] != got["repeated"]).any():
        yield "without a generator, `torch.manual_seed` does not make the text repeat: where does it draw from?"


@check("the model runs in evaluation mode and without a graph, and gets its mode back")
def test_mode(ex: Exercise, rng: Random):
    ids, result = rng.ids(7, 2, 3), {}
    for training in (True, False):
        model = Machine(rng, vocab_size=7, context_length=16, dropout=0.5).train(training)
        text = ex.generate(model, ids, 4, temperature=0.0)
        modes = [model.training, model.dropout.training]
        name = "training" if training else "evaluating"
        result[name] = {
            "text": text,
            "seen": {key: any(call[key] for call in model.seen) for key in ("training", "graph")},
            "modes after": modes,
            "grad enabled": torch.is_grad_enabled(),
        }
    return result


@test_mode.explain
def _(got, want):
    for name in want:
        found = got[name]
        if found["seen"]["training"]:
            yield "while it generates, the model is in training mode: what does dropout do then?"
        if found["seen"]["graph"]:
            yield "the model's logits carry a graph for gradients that nobody asked for: it grows with every token."
        if found["modes after"] != want[name]["modes after"]:
            yield f"a model that was {name} is no longer so afterwards: `model.training` tells what to put back."
        if not found["grad enabled"]:
            yield "after generate, gradients are switched off for everybody: whoever switches them off puts them back."


@check("prompts come back whole in front, for any batch and length, and int64; no new tokens is fine")
def test_prompts(ex: Exercise, rng: Random):
    model = Machine(rng, vocab_size=9, context_length=16)
    return {
        "nothing new": ex.generate(model, rng.ids(9, 3, 6), 0),
        "batch of one": ex.generate(model, rng.ids(9, 1, 1), 6, temperature=0.0),
        "one new": ex.generate(model, rng.ids(9, 5, 2), 1, top_k=1),
        "wide": ex.generate(model, rng.ids(9, 17, 3), 3, top_p=0.0),
    }


### END HIDDEN TESTS
