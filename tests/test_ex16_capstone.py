"""What the capstone must do: the checks of exercise 16.

A probe trains with the learner's code and returns the weights; the judge puts them into a GPT of the same sizes and
measures the loss itself, per character, so that all tokenizers are measured alike.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from grader.checks import Exercise, Random, check, close, filled, loaded, parameters, raised

SIZES = ("vocab_size", "context_length", "d_model", "n_heads", "n_layers", "d_ff", "bias")


def chorus(rng: Random, length: int) -> str:
    """A text in which each line has a voice, a letter that begins all of its words: `Bga Bfo Bga Bku`.

    To know the next voice one has to look back further than the two characters before it.
    """
    syllables = [consonant + rng.pick("aeiou") for consonant in rng.numpy.permutation(list("bdfgklmn"))[:4]]
    lines: list[str] = []
    while sum(map(len, lines)) < length:
        voice = rng.pick("ABCDEFGH")
        lines.append(" ".join(voice + rng.pick(syllables) for _ in range(rng.integers(8, 13))) + "\n")
    return "".join(lines)[:length]


def ngram_loss(train: str, test: str, order: int) -> float:
    """The loss per character, in nats, of counts of `order` characters in a row, mixed with those of fewer."""
    characters = len(set(train + test))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for size in range(order):
        for i in range(size, len(train)):
            counts[train[i - size : i]][train[i]] += 1
    total = 0.0
    for i, character in enumerate(test):
        chance = 1 / characters
        for size in range(min(order, i + 1)):
            seen = counts.get(test[i - size : i])
            if seen:
                chance = (seen[character] + len(seen) * chance) / (seen.total() + len(seen))
        total -= math.log(chance)
    return total / len(test)


def settings(ex: Exercise, steps: int, **changes: Any) -> Any:
    """A short training."""
    options = {
        "steps": steps,
        "batch_size": 8,
        "max_lr": 2e-3,
        "min_lr": 2e-4,
        "warmup_steps": 10,
        "weight_decay": 0.1,
        "betas": (0.9, 0.99),
        "grad_clip": 1.0,
        "eval_every": steps,
        "eval_batches": 1,
        "seed": 0,
    }
    return ex.of("ex14_training").TrainConfig(**(options | changes))


def trained(model: torch.nn.Module) -> dict[str, Any]:
    """A model as an observation: its sizes and its weights."""
    return {"sizes": {name: getattr(model.config, name) for name in SIZES}, "weights": parameters(model)}


def rebuilt(found: dict[str, Any], reference: Exercise) -> torch.nn.Module:
    """The observed model, as the reference's GPT."""
    gpt = reference.of("ex13_gpt")
    return loaded(gpt.GPT(gpt.GPTConfig(**found["sizes"])), found["weights"]).eval()


@torch.no_grad()
def losses(model: torch.nn.Module, ids: Any, stride: int | None = None) -> np.ndarray:
    """The loss of each token after the first, in windows of the context length (every `stride`, or side by side)."""
    tokens, length = torch.as_tensor(np.asarray(ids)), model.config.context_length
    results = []
    for start in range(0, len(tokens) - 1, stride or length):
        window = tokens[start : start + length + 1]
        if stride and len(window) <= length and start:
            break
        log_probs = model(window[None, :-1])[0][0].log_softmax(-1)
        results.append(-log_probs.gather(1, window[1:, None])[:, 0].numpy())
    return np.concatenate(results)


def held_out_loss(found: dict[str, Any], reference: Exercise, text: str) -> float:
    """The loss of an observed model on a text, per character."""
    return float(losses(rebuilt(found["model"], reference), found["ids"]).sum() / len(text))


def misread(found: dict[str, Any], text: str):
    """A sentence about a tokenizer that does not give the text back, or gives ids that the model can't have."""
    vocab_size = found["model"]["sizes"]["vocab_size"]
    if found["decoded"] != text:
        yield "what the returned tokenizer encodes, it does not decode to the same text."
    if not all(0 <= i < vocab_size for i in found["ids"]):
        yield f"the returned tokenizer gives ids outside 0..{vocab_size - 1}, for a model of that vocabulary."


@check("the tokenizer encodes the corpus to ids below vocab_size, and back", compare="nothing")
def test_tokenizer(ex: Exercise, rng: Random):
    text = chorus(rng, 600) + "\tNaïve “quotes”, 3 × 4 = 12…\n"
    tokenizer = ex.build_tokenizer(text)
    ids = tokenizer.encode(text)
    backwards = tokenizer.decode(tokenizer.encode(text[::-1]))
    listed = isinstance(ids, list) and bool(ids) and all(isinstance(i, int) for i in ids)
    return {
        "text": text,
        "a list of ints": listed,
        "ids": {"lowest": min(ids), "highest": max(ids)} if listed else {"lowest": 0, "highest": 0},
        "decoded": tokenizer.decode(ids),
        "backwards": backwards,
        "vocab_size": tokenizer.vocab_size,
    }


@test_tokenizer.explain
def _(got, want):
    lowest, highest = got["ids"]["lowest"], got["ids"]["highest"]
    if not got["a list of ints"]:
        yield "`encode` should give a list of Python ints."
    elif not 0 <= lowest <= highest < got["vocab_size"]:
        yield f"the ids go from {lowest} to {highest}, but vocab_size is {got['vocab_size']}."
    elif lowest == highest:
        yield f"every character of the corpus becomes the id {lowest}."
    if got["decoded"] != want["text"] or got["backwards"] != want["text"][::-1]:
        yield "what was encoded is not decoded to the same text: is any character of the corpus changed or left out?"


@check("the first part of the corpus is learned from, the last part is held out, and nothing is lost")
def test_split(ex: Exercise, rng: Random):
    text = chorus(rng, 400)
    tokenizer = ex.of("ex02_tokenizers").CharTokenizer(text)
    results = {"default": ex.split_corpus(text, tokenizer)}
    for fraction in (0.25, 0.5):
        results[str(fraction)] = ex.split_corpus(text, tokenizer, val_fraction=fraction)
    return {name: {"train": train, "val": val} for name, (train, val) in results.items()}


@check(
    "build_model gives a GPT for the vocabulary that knows nothing yet: its loss is near ln V",
    compare="structure",
    exact=("ids",),
)
def test_model(ex: Exercise, rng: Random):
    vocab_size = rng.integers(30, 90)
    model = ex.build_model(vocab_size)
    ids = rng.ids(vocab_size, 4, 8)
    is_gpt = isinstance(model, ex.of("ex13_gpt").GPT)
    return {"is a GPT": is_gpt, "ids": ids, "logits": model(ids)[0]}


@test_model.explain
def _(got, want):
    if not got["is a GPT"]:
        yield "build_model should give a GPT of exercise 13, or of a class made from it."
    vocab_size = want["logits"].shape[-1]
    logits = got["logits"][:, :-1]
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -np.take_along_axis(log_probs, want["ids"][:, 1:, None], axis=-1).mean()
    if close(logits, logits[:1, :1], 1e-9):
        yield "a fresh model gives every token the same logits, whatever it reads: are its weights drawn?"
    if not abs(loss - math.log(vocab_size)) < 0.4:
        yield f"a fresh model's loss should be near ln {vocab_size} = {math.log(vocab_size):.2f}; yours has {loss:.2f}."


@check("complete gives the prompt and what follows, as one string")
def test_complete(ex: Exercise, rng: Random):
    tokenizer = ex.of("ex02_tokenizers").CharTokenizer("abcdefgh ")
    gpt = ex.of("ex13_gpt")
    model = filled(gpt.GPT(gpt.GPTConfig(9, 12, d_model=16, n_heads=2, n_layers=2)), rng, dtype=torch.float64)
    return {
        "greedy": ex.complete(model, tokenizer, "bad", 8, temperature=0.0),
        "best of one": ex.complete(model, tokenizer, rng.text(5), 6, temperature=1.3, top_k=1),
        "nucleus of one": ex.complete(model, tokenizer, rng.text(5), 6, temperature=1.3, top_p=1e-3),
        "longer than the context": ex.complete(model, tokenizer, rng.text(20), 9, temperature=0.0),
        "nothing new": ex.complete(model, tokenizer, "head", 0),
        "space around it": ex.complete(model, tokenizer, " bad ", 7, temperature=0.0),
        "space alone": ex.complete(model, tokenizer, "  ", 7, temperature=0.0),
    }


@check("training starts near ln V, and on_step is called for every step", compare="nothing")
def test_start(ex: Exercise, rng: Random):
    heard: list[list[float]] = []
    model, _, _ = ex.train_language_model(
        chorus(rng, 8000), settings(ex, 4), device="cpu", on_step=lambda step, loss: heard.append([step, loss])
    )
    return {"heard": heard, "vocab_size": model.config.vocab_size}


@test_start.explain
def _(got, want):
    steps = [step for step, _ in got["heard"]]
    if steps != [1, 2, 3, 4]:
        yield f"in a training of 4 steps, on_step is called for the steps {steps}."
        return
    expected, first = math.log(got["vocab_size"]), got["heard"][0][1]
    if not abs(first - expected) < 0.4:
        yield (
            f"the first loss is {first:.2f}; a model that knows nothing has ln {got['vocab_size']} = {expected:.2f}. "
            "Does the first batch already meet a trained model, or weights that are too large?"
        )


@check(
    "eighty steps on a small corpus beat a table of letter pairs, on text that was never seen",
    points=2,
    limit=240.0,
    compare="nothing",
    free=("model*", "ids*"),
)
def test_beats_bigrams(ex: Exercise, rng: Random):
    text = chorus(rng, 36000)
    corpus, held_out = text[:33000], text[33000:]
    model, tokenizer, _ = ex.train_language_model(corpus, settings(ex, 80), device="cpu")
    ids = tokenizer.encode(held_out)
    found = {"model": trained(model), "ids": ids, "decoded": tokenizer.decode(ids)}
    return found | {"corpus": corpus, "held out": held_out}


@test_beats_bigrams.explain
def _(got, want, reference):
    text = want["held out"]
    yield from misread(got, text)
    loss, pairs = held_out_loss(got, reference, text), ngram_loss(want["corpus"], text, 2)
    if not loss < pairs:
        yield (
            f"your model's held-out loss is {loss:.3f} per character; a table of letter pairs gets {pairs:.3f}. Does "
            "the loss fall that on_step hears of? If so, is the model that you return the one that was trained?"
        )


### BEGIN HIDDEN TESTS
class Pairs:
    """A tokenizer in which two characters of `abcdefgh ` make one token."""

    pairs = tuple(one + other for one in "abcdefgh " for other in "abcdefgh ")
    vocab_size = len(pairs)

    def encode(self, text: str) -> list[int]:
        return [self.pairs.index(text[i : i + 2]) for i in range(0, len(text), 2)]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.pairs[i] for i in ids)


@check("split_corpus and complete use the tokenizer that they are given, whatever its tokens are")
def test_other_tokenizer(ex: Exercise, rng: Random):
    tokenizer, gpt = Pairs(), ex.of("ex13_gpt")
    train, val = ex.split_corpus(rng.text(400), tokenizer)
    model = filled(gpt.GPT(gpt.GPTConfig(tokenizer.vocab_size, 12, d_model=16, n_heads=2, n_layers=1)), rng)
    return {"train": train, "val": val, "text": ex.complete(model, tokenizer, rng.text(10), 7, temperature=0.0)}


SIZES_ASKED = {
    "vocab_size": (7, 5),
    "context_length": (9, 80),
    "d_model": (24, 6),
    "n_heads": (3, 1),
    "n_layers": (1, 3),
    "dropout": (0.25, 0.0),
}


@check("the sizes that build_model is asked for are the sizes that it builds", compare="nothing", exact=("asked*",))
def test_sizes(ex: Exercise, rng: Random):
    asked = {f"{name}={size}": {name: size} for name, sizes in SIZES_ASKED.items() for size in sizes}
    built: dict[str, Any] = {}
    for case, sizes in asked.items():
        try:
            model = ex.build_model(**({"vocab_size": 7, "d_model": 24, "n_heads": 2} | sizes))
        except TypeError:  # other keywords are a reading of the contract, too
            built[case] = "not asked for by this name"
            continue
        (built[case],) = (getattr(model.config, name) for name in sizes)
    return {"asked": {case: size for case, sizes in asked.items() for size in sizes.values()}, "built": built}


@test_sizes.explain
def _(got, want):
    for case, size in want["asked"].items():
        if got["built"][case] not in (size, "not asked for by this name"):
            yield f"build_model was asked for {case} and built {got['built'][case]}: is it passed on?"


@check("one batch can be learned by heart", limit=120.0, compare="nothing", free=("model*", "tokens*"))
def test_overfits_one_batch(ex: Exercise, rng: Random):
    vocab_size = 23
    model = ex.build_model(vocab_size)
    tokens = rng.ids(vocab_size, model.config.context_length + 1)  # one window, so every batch is the same
    config = settings(ex, 60, batch_size=1, weight_decay=0.0)
    ex.of("ex14_training").train(model, tokens, tokens, config)
    return {"model": trained(model), "tokens": tokens}


@test_overfits_one_batch.explain
def _(got, want, reference):
    loss = losses(rebuilt(got["model"], reference), got["tokens"].astype(np.int64)).mean()
    if not loss < 0.5:
        yield f"after 60 steps on one and the same window the loss is still {loss:.2f}. Does the model see its input?"


@check(
    "180 steps beat letter pairs and triples on unseen text, and come near the reference on the same budget",
    points=3,
    limit=300.0,
    compare="nothing",
    free=("model*", "ids*"),
)
def test_held_out_loss(ex: Exercise, rng: Random):
    text = chorus(rng, 43000)
    corpus, held_out = text[:40000], text[40000:]
    model, tokenizer, _ = ex.train_language_model(corpus, settings(ex, 180, warmup_steps=20), device="cpu")
    ids = tokenizer.encode(held_out)
    found = {"model": trained(model), "ids": ids, "decoded": tokenizer.decode(ids)}
    return found | {"corpus": corpus, "held out": held_out}


@test_held_out_loss.explain
def _(got, want, reference):
    text = want["held out"]
    yield from misread(got, text)
    loss = held_out_loss(got, reference, text)
    for name, order in (("letter pairs", 2), ("letter triples", 3)):
        baseline = ngram_loss(want["corpus"], text, order)
        if not loss < baseline:
            yield f"your model's held-out loss is {loss:.3f} per character; a table of {name} gets {baseline:.3f}."
    par = held_out_loss(want, reference, text)
    if not loss < 1.1 * par:
        yield (
            f"your model's held-out loss is {loss:.3f} per character; the reference reaches {par:.3f} on the same "
            "budget of steps and windows. Does the training get the whole first part and the whole configuration? (A "
            "model much smaller than the default one needs more steps than that.)"
        )


@check(
    "what is held out is not learned from, and the history's val_loss is the loss on it",
    points=2,
    limit=60.0,
    compare="nothing",
    free=("model*", "ending*", "train*", "val"),
)
def test_held_out_is_honest(ex: Exercise, rng: Random):
    ending = rng.text(240, "0123456789")  # the last 2 % of the text are digits, which occur nowhere before
    text = chorus(rng, 12000 - len(ending)) + ending
    model, tokenizer, history = ex.train_language_model(text, settings(ex, 30, eval_batches=16), device="cpu")
    train_tokens, val_tokens = ex.split_corpus(text, tokenizer)
    return {
        "model": trained(model),
        "ending": tokenizer.encode(ending),
        "train": train_tokens,
        "val": val_tokens,
        "val_loss": history[-1]["val_loss"],
    }


@test_held_out_is_honest.explain
def _(got, want, reference):
    model = rebuilt(got["model"], reference)
    ending, kinds = losses(model, got["ending"]).mean(), len(set(got["ending"]))
    apart = len(got["ending"]) <= len(got["val"])  # with many merges the digits may be more than a tenth of the tokens
    if apart and not ending > math.log(kinds) + 0.25:  # knows which tokens occur there, and no more
        yield (
            f"on tokens that only occur at the very end of the corpus, {kinds} of them, your model has a loss of "
            f"{ending:.2f}. One that has never seen them does worse than guessing among them ({math.log(kinds):.2f}): "
            "what is it trained on?"
        )
    learned = losses(model, got["train"][:2000].astype(np.int64)).mean()
    unseen = losses(model, got["val"].astype(np.int64), stride=8).mean()
    if not abs(got["val_loss"] - unseen) < abs(got["val_loss"] - learned):
        yield (
            f"your history ends with a val_loss of {got['val_loss']:.2f}. The model it belongs to has {unseen:.2f} on "
            f"the held-out part and {learned:.2f} on the other: which of them does `train` get as val_tokens?"
        )


@check(
    "the same seed gives the same history, whatever was drawn before; another seed another one, from other weights",
    compare="nothing",
    free=("fresh*",),
)
def test_reproducible(ex: Exercise, rng: Random):
    text = chorus(rng, 8000)
    runs, fresh = [], []
    for before, seed in ((1, 5), (2, 5), (1, 6)):
        torch.manual_seed(before)
        heard: list[float] = []
        config = settings(ex, 3, batch_size=4, seed=seed)
        _, _, history = ex.train_language_model(
            text, config, device="cpu", on_step=lambda _, loss, heard=heard: heard.append(loss)
        )
        runs.append({"losses": heard, "val_losses": [row["val_loss"] for row in history]})
        still = settings(ex, 1, batch_size=1, seed=seed, max_lr=0.0, min_lr=0.0)  # a step that moves nothing
        fresh.append(ex.train_language_model(text, still, device="cpu")[0].token_embedding.weight)
    return {"runs": runs, "fresh": fresh}


@test_reproducible.explain
def _(got, want):
    runs = got["runs"]
    if len(runs) != 3 or any(len(run["losses"]) != 3 or len(run["val_losses"]) != 1 for run in runs):
        yield "three steps with eval_every = 3 are three calls of on_step and one row."
        return
    first, again, other = runs
    if not close(first["losses"][0], again["losses"][0], 1e-6):
        yield "two runs with the same seed differ in their first loss: are the weights drawn before the seed is set?"
    elif not all(close(first[name], again[name], 1e-6) for name in ("losses", "val_losses")):
        yield "two runs with the same seed give different histories."
    elif not all(loss > 0 for run in runs for loss in (*run["losses"], *run["val_losses"])):
        yield "a loss is not above 0: the model can't know what the text draws at random."
    if close(first["losses"], other["losses"], 1e-6):
        yield "runs with the seeds 5 and 6 have the same losses: is config.seed used?"
    elif not all(table.std(axis).all() for table in got["fresh"] for axis in (0, 1)):
        yield "a row or a column of a fresh table of tokens is one number throughout: is it drawn?"
    elif len(got["fresh"]) != 3 or not close(*got["fresh"][:2], 1e-6):
        yield "two runs with the same seed start from different tables of tokens."
    elif close(*got["fresh"][1:], 1e-6):
        yield "runs with the seeds 5 and 6 start from the same table of tokens: what seeds the fresh weights?"


def occurs(row: list[int], tokens: list[int]) -> bool:
    """Whether a window is a piece of a sequence."""
    return np.array(row, dtype=np.int32).tobytes() in np.array(tokens, dtype=np.int32).tobytes()


@check(
    "training reads the first part of the text and no more, and evaluation the last",
    compare="nothing",
    free=("text*", "trained on*", "drawn*", "evaluated on*", "model*"),
)
def test_who_reads_what(ex: Exercise, rng: Random):
    text = chorus(rng, 6600) + "#" * 300 + rng.text(600, "0123456789")  # the cut lies among the hashes
    gpt = ex.of("ex13_gpt").GPT
    forward, read, drawn = gpt.forward, [], []

    def listening(self, ids, *others, **options):
        read.append((torch.is_grad_enabled(), ids.tolist()))
        return forward(self, ids, *others, **options)

    def drawing(self, ids, *_, **__):
        drawn.extend(ids.tolist() if torch.is_grad_enabled() else [])
        return None, torch.zeros((), requires_grad=True)

    try:
        gpt.forward = listening
        config = settings(ex, 6, warmup_steps=0, eval_batches=2)
        model, tokenizer, _ = ex.train_language_model(text, config, device="cpu")
        gpt.forward = drawing  # many windows, and no work
        ex.train_language_model(text, settings(ex, 20, batch_size=64), device="cpu")
    finally:
        gpt.forward = forward
    return {
        "trained on": [rows for grad, rows in read if grad],
        "drawn": drawn,
        "evaluated on": [row for grad, rows in read if not grad for row in rows],
        "text": tokenizer.encode(text),
        "model": trained(model),
    }


@test_who_reads_what.explain
def _(got, want, reference):
    count = len(got["text"])
    learned, held_out = got["text"][: count - count // 10 + 1], got["text"][count - count // 10 - 1 :]
    batches = got["trained on"]
    taken = sum(len(rows) for at, rows in enumerate(batches) if at == 0 or rows != batches[at - 1])  # a repeat is none
    if not all(occurs(row, got["text"]) for rows in batches for row in rows):
        yield "the model is trained on something other than pieces of the text."
    elif not all(occurs(row, learned) for rows in batches for row in rows):
        yield "the model is trained on the last tenth of the text, which should be held out."
    elif taken > 1.5 * 6 * 8:
        yield (
            f"the model goes through {taken} windows with gradients on, batch after batch; 6 steps of 8 windows are "
            "48. How many times is it trained?"
        )
    elif all(occurs(row, learned[: int(0.88 * count)]) for row in got["drawn"]):
        yield (
            f"none of {len(got['drawn'])} windows that are trained on reaches beyond the first 88 % of the text: the "
            "last tenth is to be held out, and all the rest to be learned from."
        )
    elif not any(occurs(row, held_out) for row in got["evaluated on"]):
        yield "no evaluation reads the last tenth of the text: which tokens does `train` get as val_tokens?"
    elif not all(occurs(row, held_out) or occurs(row, learned) for row in got["evaluated on"]):
        yield "an evaluation reads across the cut between the two parts."
    else:
        model = rebuilt(got["model"], reference)
        loss, fresh = losses(model, learned[:2000]).mean(), math.log(got["model"]["sizes"]["vocab_size"])
        if not loss < fresh - 0.3:
            yield (
                f"after six steps the loss on the text that was trained on is {loss:.2f}; a model that knows nothing "
                f"has {fresh:.2f}. Is the model that comes back the one that was trained?"
            )


@check("the history follows the config, and the model that comes back can write", compare="nothing")
def test_history(ex: Exercise, rng: Random):
    text = chorus(rng, 8000)
    config = settings(ex, 5, batch_size=3, eval_every=2)
    model, tokenizer, history = ex.train_language_model(text, config, device="cpu")
    written = ex.complete(model, tokenizer, text[:11], 12, generator=rng.generator())
    window = model.config.context_length
    rows = [{key: row[key] for key in ("step", "lr", "tokens_seen")} for row in history]
    finite = [math.isfinite(row["train_loss"]) and math.isfinite(row["val_loss"]) for row in history]
    return {"prompt": text[:11], "written": written, "history": rows, "finite": finite, "window": window}


@test_history.explain
def _(got, want, reference):
    steps = [row["step"] for row in got["history"]]
    if steps != [2, 4, 5]:
        yield f"with steps=5 and eval_every=2 the history has rows for the steps {steps}; expected [2, 4, 5]."
        return
    for row, expected, finite in zip(got["history"], want["history"], got["finite"], strict=True):
        if not math.isclose(row["lr"], expected["lr"], rel_tol=1e-6):
            yield f"at step {row['step']} the learning rate is {row['lr']:.2g}; the config says {expected['lr']:.2g}."
        if row["tokens_seen"] != row["step"] * 3 * got["window"]:
            yield f"after step {row['step']}, tokens_seen is {row['tokens_seen']}; is the batch size the config's?"
        if not finite:
            yield f"the losses of step {row['step']} are not finite."
    if not got["written"].startswith(want["prompt"]) or len(got["written"]) <= len(want["prompt"]):
        yield "with the model and the tokenizer that came back, complete gives no text that goes on from the prompt."


ACCELERATORS = {  # what is asked for one, and the answer where there is none
    (torch.cuda, "is_available"): False,
    (torch.cuda, "device_count"): 0,
    (torch.backends.mps, "is_available"): False,
    (torch.accelerator, "is_available"): False,
    (torch.accelerator, "current_accelerator"): None,
}


def devices(module: torch.nn.Module) -> list[str]:
    """The kinds of device that hold a module's parameters."""
    return sorted({parameter.device.type for parameter in module.parameters()})


class Reached(Exception):
    """Raised by a probe where it has seen enough."""


@check(
    'all is done on the device that is asked for; "auto" is the CPU where there is no other',
    compare="nothing",
    free=("meta*",),
)
def test_device(ex: Exercise, rng: Random):
    text, config, gpt = chorus(rng, 8000), settings(ex, 2, batch_size=1), ex.of("ex13_gpt").GPT
    before = {(owner, name): getattr(owner, name) for owner, name in [*ACCELERATORS, (gpt, "forward"), (gpt, "_apply")]}
    apply = gpt._apply
    found: dict[str, dict[str, list[str]]] = {}

    def training(self, ids, *_, **__):
        """Touch no number: the device may be one that stores none."""
        read = "the tokens to learn from" if torch.is_grad_enabled() else "the held-out tokens"
        found[device] |= {"the model": devices(self), read: [ids.device.type]}
        return None, torch.zeros((), requires_grad=True)

    def moving(self, work, *others, **options):
        """Move a model to the CPU from a device that stores no numbers, which PyTorch refuses."""
        try:
            return apply(self, work, *others, **options)
        except NotImplementedError:
            return apply(self, lambda tensor: torch.empty_like(tensor, device="cpu"), *others, **options)

    def writing(self, ids, *_, **__):
        found[device] |= {"the model that writes": devices(self), "the prompt": [ids.device.type]}
        raise Reached

    try:
        for (owner, name), answer in ACCELERATORS.items():
            setattr(owner, name, lambda *_, answer=answer, **__: answer)
        gpt._apply = moving
        for device in ("cpu", "auto", "meta"):
            found[device] = {}
            gpt.forward = training
            try:
                model, tokenizer, _ = ex.train_language_model(text, config, device=device)
                found[device]["the model that comes back"] = devices(model)
                gpt.forward = writing
                with suppress(Reached):
                    ex.complete(model, tokenizer, text[:9], 1)
            except (RuntimeError, TypeError) as error:
                if device != "meta" or "same device" in str(error) or "expected device" in str(error):
                    raise
                found[device]["looks at values"] = []  # nothing there has any: right, and not to be seen further
    finally:
        for (owner, name), function in before.items():
            setattr(owner, name, function)
    return found


@test_device.explain
def _(got, want):
    for device, expected in want.items():
        for name, places in expected.items():
            seen = got[device]
            mine = seen.get(name, places if "looks at values" in seen else ["no device that was seen"])
            if mine != places:
                meets = "Whatever meets in a computation has to be on one device: what are the model's inputs?"
                asks = "Who moves it there?" if "model that" in name else meets
                yield f"with device={device!r}, {name} should be on {places[0]}, not on {' and '.join(mine)}. {asks}"


@check("complete draws from the generator, writes as many tokens as asked, and leaves the model alone")
def test_complete_generator(ex: Exercise, rng: Random):
    tokenizer = ex.of("ex02_tokenizers").CharTokenizer("abcdefgh ")
    gpt = ex.of("ex13_gpt")
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 1, "dropout": 0.3}
    model = filled(gpt.GPT(gpt.GPTConfig(9, 12, **sizes)), rng, dtype=torch.float64, scale=0.05)
    model.train()
    torch.manual_seed(1)
    seed = rng.integers(0, 2**31)
    options = {"temperature": 1.0, "generator": torch.Generator().manual_seed(seed)}
    first, further = (ex.complete(model, tokenizer, "a bag", 40, **options) for _ in range(2))
    torch.manual_seed(2)
    again = ex.complete(model, tokenizer, "a bag", 40, temperature=1.0, generator=torch.Generator().manual_seed(seed))
    sure = filled(gpt.GPT(gpt.GPTConfig(9, 12, d_model=16, n_heads=2, n_layers=1)), rng).eval()
    lines = ex.of("ex02_tokenizers").CharTokenizer("abcdefg\n ")
    usual, cool, warm = (
        ex.complete(sure, lines, "a\nb", 200, generator=torch.Generator().manual_seed(seed), **options)
        for options in ({}, {"temperature": 0.8}, {"temperature": 2.0})
    )
    without = [ex.complete(sure, lines, "a", 60) for _ in range(2)]
    return {
        "prompt": [text[:5] for text in (first, further, again)],
        "lengths": [len(text) for text in (first, further, again, usual, *without)],
        "same generator, same text": first == again,
        "drawn on, other text": first != further,
        "by default as at 0.8": usual == cool,
        "warmer, other text": warm != cool,
        "without a generator, other text": without[0] != without[1],
        "training": [[each(part.training for part in m.modules()) for each in (all, any)] for m in (model, sure)],
        "weights": parameters(model),
        "all can be trained": all(weight.requires_grad for weight in model.parameters()),
    }


@test_complete_generator.explain
def _(got, want):
    for was, modes, due in zip(("training", "evaluating"), got["training"], want["training"], strict=True):
        if modes != due:
            yield f"a model that was {was} is not, or not all of it, after `complete`: who puts back what was changed?"
            return
    if not got["same generator, same text"]:
        yield "two generators of one seed give different texts: is the generator handed on to `generate`?"
    elif not got["by default as at 0.8"]:
        yield "without a temperature, 200 tokens are others than with 0.8, from generators of one seed."


@check("wrong arguments are refused: fractions outside 0..1, a text too short to split, empty or unknown prompts")
def test_wrong_arguments(ex: Exercise, rng: Random):
    tokenizer = ex.of("ex02_tokenizers").CharTokenizer("abcdefgh ")
    text = rng.text(400)
    gpt = ex.of("ex13_gpt")
    model = gpt.GPT(gpt.GPTConfig(9, 12, d_model=8, n_heads=2, n_layers=1))
    return {
        "a fraction above 1": raised(lambda: ex.split_corpus(text, tokenizer, 1.5), [1.5]),
        "a negative fraction": raised(lambda: ex.split_corpus(text, tokenizer, -0.1), [-0.1]),
        "one character": raised(lambda: ex.split_corpus("a", tokenizer)),
        "one token held out": raised(lambda: ex.split_corpus(text[:10], tokenizer)),
        "one token to learn from": raised(lambda: ex.split_corpus(text[:10], tokenizer, 0.9)),
        "two tokens in each part": raised(lambda: ex.split_corpus(text[:4], tokenizer, 0.5)),
        "an empty prompt": raised(lambda: ex.complete(model, tokenizer, "", 3)),
        "an unknown character": raised(lambda: ex.complete(model, tokenizer, "a%b", 3), ["%"]),
    }


### END HIDDEN TESTS
