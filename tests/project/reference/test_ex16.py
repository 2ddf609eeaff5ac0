"""The reference of exercise 16 against what information theory says, and its corners."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from grader.files import ROOT
from lab import baselines, corpora


def markov_text(length: int, seed: int) -> tuple[str, float]:
    """A text drawn from a Markov chain on four letters, and the entropy rate of the chain in nats."""
    transitions = np.array(
        [[0.05, 0.85, 0.05, 0.05], [0.1, 0.1, 0.7, 0.1], [0.45, 0.05, 0.05, 0.45], [0.9, 0.04, 0.03, 0.03]]
    )
    stationary = np.linalg.matrix_power(transitions, 500)[0]
    rate = -(stationary[:, None] * transitions * np.log(transitions)).sum()
    rng = np.random.default_rng(seed)
    state, states = 0, []
    for _ in range(length):
        state = rng.choice(4, p=transitions[state])
        states.append(state)
    return "".join("abcd"[state] for state in states), float(rate)


@pytest.fixture(scope="module")
def trained(reference: Callable):
    """A short training on a Markov chain: the exercise, what came back, and the chain's entropy rate."""
    ex = reference("ex16_capstone")
    text, rate = markov_text(40000, seed=0)
    config = ex.TrainConfig(
        steps=80, batch_size=8, max_lr=2e-3, min_lr=1e-4, warmup_steps=10, eval_every=40, eval_batches=8, seed=3
    )
    return ex, ex.train_language_model(text, config, device="cpu"), rate


def test_the_held_out_loss_comes_down_to_the_entropy_rate(trained) -> None:
    _, (_, _, history), rate = trained
    assert [row["step"] for row in history] == [40, 80]
    assert history[0]["val_loss"] > history[1]["val_loss"]
    assert history[1]["val_loss"] == pytest.approx(rate, rel=0.03)


def test_greedy_text_takes_the_likeliest_transitions(trained) -> None:
    ex, (model, tokenizer, _), _ = trained
    follower = {"a": "b", "b": "c", "d": "a"}  # after c, a and d are equally likely
    text = ex.complete(model, tokenizer, "d", 200, temperature=0.0)
    assert len(text) == 201
    assert all(after == follower[before] for before, after in pairwise(text) if before in follower)


def test_written_text_has_the_statistics_of_the_chain(trained) -> None:
    ex, (model, tokenizer, _), _ = trained
    text = ex.complete(model, tokenizer, "a", 1500, temperature=1.0, generator=torch.Generator().manual_seed(0))
    pairs = [after for before, after in pairwise(text) if before == "a"]
    assert pairs.count("b") / len(pairs) == pytest.approx(0.85, abs=0.08)


def test_merges_do_as_well_as_characters(reference: Callable) -> None:
    ex = reference("ex16_capstone")
    text = "Grüße aus Köln: „naïve“ Füße, größere Füße. " * 60
    tokenizer = ex.of("ex02_tokenizers").BPETokenizer.train(text, 280)
    train, val = ex.split_corpus(text, tokenizer, val_fraction=0.25)
    assert tokenizer.decode(torch.cat([train, val]).tolist()) == text
    assert len(val) / (len(train) + len(val)) == pytest.approx(0.25, abs=0.01)
    model = ex.build_model(tokenizer.vocab_size, context_length=8, d_model=16, n_heads=2, n_layers=1)
    written = ex.complete(model, tokenizer, "Grüße, Öl", 20, generator=torch.Generator().manual_seed(0))
    assert written.startswith("Grüße, Öl")


def test_the_parameters_are_those_of_the_formula_and_the_small_change(reference: Callable) -> None:
    ex = reference("ex16_capstone")
    for vocab_size, context, width, layers in ((65, 64, 128, 4), (31, 16, 24, 2)):
        model = ex.build_model(vocab_size, context_length=context, d_model=width, n_heads=4, n_layers=layers)
        matrices = 12 * layers * width**2 + (vocab_size + context) * width
        biases = layers * (4 * width + 5 * width) + (2 * layers + 1) * 2 * width
        assert sum(p.numel() for p in model.parameters()) == model.num_parameters() == matrices + biases


def test_a_fresh_model_knows_nothing(reference: Callable) -> None:
    ex = reference("ex16_capstone")
    torch.manual_seed(0)
    ids = torch.randint(90, (8, 65))
    _, loss = ex.build_model(90)(ids[:, :-1], ids[:, 1:])
    assert loss.item() == pytest.approx(math.log(90), abs=0.1)


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="pretends to have a GPU")
@pytest.mark.parametrize(("cuda", "mps", "taken"), [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps")])
def test_auto_prefers_cuda_then_mps(reference: Callable, monkeypatch: pytest.MonkeyPatch, cuda, mps, taken) -> None:
    ex = reference("ex16_capstone")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    asked: list[str] = []

    def to(_module: torch.nn.Module, device: str) -> torch.nn.Module:
        asked.append(str(device))
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.nn.Module, "to", to)
    with pytest.raises(KeyboardInterrupt):
        ex.train_language_model("to be or not to be, " * 50, ex.TrainConfig(steps=1))
    assert asked == [taken]


@pytest.mark.parametrize(
    ("row", "name"), [("Tiny Shakespeare", "tinyshakespeare"), ("the plays of `make demo`", "plays")]
)
def test_what_the_lesson_says_of_counting_is_what_the_lab_counts(row: str, name: str) -> None:
    if name == "tinyshakespeare" and not (corpora.DATA / "tinyshakespeare.txt").exists():
        pytest.skip("Tiny Shakespeare has not been downloaded: make train ARGS='--corpus tinyshakespeare'")
    corpus = corpora.load(name)
    if corpus.name != name:
        pytest.skip(f"there is only {corpus.source}")
    lesson = (ROOT / "solutions" / "ex16_capstone.py").read_text(encoding="utf-8")
    (line,) = (line for line in lesson.splitlines() if line.startswith(f"    {row}  "))
    cut = len(corpus.text) - len(corpus.text) // 10
    losses = [baselines.loss(corpus.text[:cut], corpus.text[cut:], order) for order in (1, 2, 3, 5)]
    assert line.split()[-4:] == [f"{loss:.3f}" for loss in losses]


def test_the_texts_in_the_lesson_are_those_that_the_counts_write() -> None:
    corpus = corpora.load()
    if corpus.name != "plays":
        pytest.skip(f"there is only {corpus.source}")
    train = corpus.text[: len(corpus.text) - len(corpus.text) // 10]
    held_out = corpus.text[len(train) :]
    lines = (ROOT / "solutions" / "ex16_capstone.py").read_text(encoding="utf-8").splitlines()
    for order, name in ((0, "any character"), (2, "pairs"), (3, "triples"), (5, "five letters")):
        at = next(i for i, line in enumerate(lines) if line.endswith(f"   {name}") and line.split()[0][1] == ".")
        loss = baselines.loss(train, held_out, order) if order else math.log(len(set(corpus.text)))
        assert lines[at].split()[0] == f"{loss:.2f}"
        written = "".join(baselines.write(train, order, 150, seed=1).replace("\n", "/").split())
        assert written.startswith("".join((lines[at + 1] + lines[at + 2]).split())), name
    assert f"six letters: {baselines.loss(train, held_out, 6):.3f}" in "\n".join(lines)
