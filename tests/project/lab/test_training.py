"""The resumable loop: the same history as the capstone's, with and without an interruption."""

from __future__ import annotations

import copy
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lab import loop, runs
from lab.console import Meter, Screen
from lab.corpora import Corpus
from lab.loop import Interrupted, run_training
from lab.pieces import Pieces, open_pieces
from lab.runs import Run
from lab.text import TextTask, full_loss
from lab.training import Diverged, Training

TEXT = "the cat sat on the mat, and the dog sat on the cat.\n" * 40
SIZES = {"context_length": 8, "d_model": 8, "n_heads": 2, "n_layers": 1}


@pytest.fixture(scope="module")
def pieces() -> Iterator[Pieces]:
    with open_pieces(None) as opened:
        yield opened


@pytest.fixture
def start(pieces: Pieces) -> Callable[..., Training]:
    """Begin a training, small unless told otherwise; the same one each time."""

    def begin(sizes: dict[str, int] = SIZES, dropout: float = 0.0, **recipe: Any) -> Training:
        chosen = {"steps": 12, "batch_size": 3, "warmup_steps": 2, "eval_every": 5, "eval_batches": 2, "seed": 3}
        config = pieces.training.TrainConfig(**{**chosen, **recipe})
        tokenizer = pieces.capstone.build_tokenizer(TEXT)
        torch.manual_seed(config.seed)
        model = pieces.capstone.build_model(tokenizer.vocab_size, dropout=dropout, **sizes)
        corpus, sizes = Corpus("cats", "cats", TEXT), {"context_length": model.config.context_length}
        task = TextTask(pieces, corpus, tokenizer, sizes, vars(config), torch.device("cpu"))
        return Training(task, model)

    return begin


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return runs.create(tmp_path, "cats", "cats", {})


def finish(training: Training) -> Training:
    training.run()
    return training


class Stop(Exception):
    """As when somebody presses Ctrl-C."""


def advance(training: Training, steps: int) -> Training:
    """Make some steps and stop there."""

    def count(_: float) -> None:
        if training.step == steps:
            raise Stop

    if steps:
        with pytest.raises(Stop):
            training.run(count)
    return training


def test_the_history_is_that_of_the_capstone(pieces: Pieces, start: Callable[..., Training]) -> None:
    training = finish(start({}, steps=5, eval_every=2))
    seen: list[tuple[int, float]] = []
    _, _, history = pieces.capstone.train_language_model(
        TEXT, training.config, "cpu", lambda step, loss: seen.append((step, loss))
    )
    assert training.history == history
    assert list(enumerate(training.losses, start=1)) == seen


def test_with_dropout_too_the_history_is_that_of_exercise_14(pieces: Pieces, start: Callable[..., Training]) -> None:
    training = start(dropout=0.3)
    task: Any = training.task
    model = copy.deepcopy(training.model)
    history = pieces.training.train(model, task.train_tokens, task.val_tokens, training.config)
    torch.manual_seed(12345)  # what was drawn before a training must not matter
    again = Training(task, training.model)
    assert finish(again).history == history


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(start: Callable[..., Training]) -> None:
    assert finish(start()).losses == finish(start()).losses != finish(start(seed=4)).losses


@pytest.mark.parametrize("stop", [0, 1, 5, 11, 12])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resumed_is_the_same_as_never_interrupted(
    start: Callable[..., Training], run: Run, stop: int, dropout: float
) -> None:
    whole = finish(start(dropout=dropout))
    first = start(dropout=dropout)
    run.save(advance(first, stop).state())
    torch.manual_seed(12345)  # another process
    second = start(dropout=dropout)
    second.restore(run.load())
    finish(second)
    assert second.history == whole.history
    assert second.losses == whole.losses
    for ours, theirs in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_the_learner_changes_in_their_loop_shows_in_the_run(
    start: Callable[..., Training], run: Run, pieces: Pieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the learning rate, and a row that says more: whatever `train` does, the lab's run is that."""
    theirs, cosine_lr = pieces.training.train, pieces.training.cosine_lr
    calls: list[int] = []

    def train(model: Any, train_tokens: Any, val_tokens: Any, config: Any, on_step: Any, state: Any) -> Any:
        calls.append(config.steps)
        history = theirs(model, train_tokens, val_tokens, config, on_step, state)
        for row in history:
            row["note"] = "mine"
        return history

    monkeypatch.setattr(pieces.training, "train", train)
    monkeypatch.setitem(theirs.__globals__, "cosine_lr", lambda *given: cosine_lr(*given) / 2)
    training = start()
    run_training(training, run, Screen(plain=True))
    assert calls == [0, 12]
    assert {row["note"] for row in training.history} == {"mine"}
    assert [row["lr"] for row in training.history] == [
        cosine_lr(step, training.config.max_lr, training.config.min_lr, 2, 12) / 2 for step in (5, 10, 12)
    ]


def test_what_is_written_on_the_way_changes_nothing(start: Callable[..., Training], run: Run) -> None:
    watched = start(dropout=0.3)
    run_training(watched, run, Screen(plain=True))
    assert watched.history == finish(start(dropout=0.3)).history


def test_ctrl_c_stops_after_the_step_and_saves_it(
    start: Callable[..., Training], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = Meter.show

    def show_and_press(meter: Meter, step: int, loss: float) -> None:
        show(meter, step, loss)
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Meter, "show", show_and_press)
    with pytest.raises(Interrupted) as stopped:
        run_training(start(), run, Screen(plain=True))
    assert stopped.value.step == run.load()["step"] == 7
    monkeypatch.undo()

    second = start()
    second.restore(run.load())
    run_training(second, run, Screen(plain=True))
    whole = start()
    run_training(whole, runs.create(run.folder.parent, "whole", "cats", {}), Screen(plain=True))
    assert second.losses == whole.losses
    assert second.samples == whole.samples
    assert list(second.samples) == [5, 10, 12]
    assert (run.folder / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_ctrl_c_breaks_off_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), loop.stop_requests():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with loop.stop_requests():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_divergence_stops_the_training_and_keeps_the_last_good_checkpoint(
    start: Callable[..., Training], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = start(steps=20, eval_every=4)
    show = Meter.show

    def show_and_poison(meter: Meter, step: int, loss: float) -> None:
        show(meter, step, loss)
        if step == 9:
            with torch.no_grad():
                next(training.model.parameters()).fill_(math.nan)

    monkeypatch.setattr(Meter, "show", show_and_poison)
    with pytest.raises(Diverged, match=r"step 10.*--lr"):
        run_training(training, run, Screen(plain=True))
    assert run.load()["step"] == 8


def test_weights_that_are_not_finite_are_not_worth_a_checkpoint(start: Callable[..., Training]) -> None:
    training = start()
    with torch.no_grad():
        next(training.model.parameters())[0] = math.inf
    with pytest.raises(Diverged):
        training.state()


def test_a_checkpoint_of_another_model_is_refused(start: Callable[..., Training], run: Run) -> None:
    run.save(start().state())
    with pytest.raises(Exception, match="does not fit your model any more"):
        start({**SIZES, "d_model": 4}).restore(run.load())


def test_the_full_loss_counts_every_window_once(start: Callable[..., Training]) -> None:
    model = finish(start()).model
    tokens: Tensor = start().task.val_tokens  # type: ignore[attr-defined]  # (M,)
    length = SIZES["context_length"]
    by_hand = []
    with torch.no_grad():
        for at in range(0, len(tokens) - length, length):
            logits, _ = model(tokens[None, at : at + length])
            log_probs = logits[0].log_softmax(-1)  # (T, V)
            by_hand += [-log_probs[t, tokens[at + t + 1]].item() for t in range(length)]
    assert len(by_hand) == (len(tokens) - 1) // length * length
    mean = sum(by_hand) / len(by_hand)
    assert full_loss(model, tokens) == pytest.approx(mean, rel=1e-5)
    assert full_loss(model, tokens, batch_size=3) == pytest.approx(mean, rel=1e-5)


def test_the_full_loss_leaves_the_model_s_mode(start: Callable[..., Training]) -> None:
    training = start(dropout=0.5)
    task = training.task
    assert isinstance(task, TextTask)
    losses = [full_loss(training.model, task.val_tokens) for _ in range(2)]
    assert losses[0] == losses[1]
    assert training.model.training


def test_nobody_s_tokens_are_changed(start: Callable[..., Training]) -> None:
    training = start()
    task: Any = training.task
    before: Tensor = task.train_tokens.clone()
    finish(training)
    assert torch.equal(task.train_tokens, before)
