"""The reversal task: its words, its runs, and what is shown of them."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from grader.probing.assembly import Assembly, read_folder
from lab import runs
from lab.attention import cross_attention
from lab.cli import main
from lab.console import Meter
from lab.errors import LabError
from lab.pieces import Pieces, open_pieces
from lab.recipes import REVERSE
from lab.reversal import (
    BOS,
    EOS,
    PAD,
    RECORD,
    WINDOW,
    Backwards,
    ReversePlan,
    ReverseTask,
    as_text,
    checked_word,
    encode,
    held_out_words,
    reversed_targets,
    spell,
)

CPU = torch.device("cpu")
TINY = ["--layers", "1", "--heads", "2", "--width", "8", "--batch-size", "3", "--steps", "8"]
Lab = Callable[..., Result]


@pytest.fixture(scope="module")
def pieces() -> Iterator[Pieces]:
    with open_pieces(None) as opened:
        yield opened


@pytest.fixture
def task(pieces: Pieces) -> ReverseTask:
    return ReversePlan({**REVERSE, "width": 8, "heads": 2, "layers": 1, "batch_size": 4}).begin(pieces, 3, CPU)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Run a command with its runs in a folder of the test's own."""

    def call(command: str, *options: Any) -> Result:
        where = ["--runs", str(tmp_path / "runs")]
        return CliRunner().invoke(main, [command, *where, *map(str, options)], catch_exceptions=False)

    return call


@pytest.fixture
def train(lab: Lab) -> Lab:
    """Train a tiny model of the reference for a few steps."""
    return lambda *options: lab("train", "--task", "reverse", "--reference", *TINY, *options)


def refused(result: Result, *says: str) -> bool:
    """Exit code 2, a short error, no traceback."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert all(part in result.output for part in says), result.output
    return True


# ---- the words -------------------------------------------------------------------------------------------------------


def test_a_target_is_the_word_backwards_an_eos_and_padding() -> None:
    words = ["abc", "z", "abcdefghijkl"]
    targets = reversed_targets(encode(words))
    assert targets.shape == (3, 13)
    assert targets[0].tolist() == [5, 4, 3, EOS, *[PAD] * 9]
    assert [spell(row) for row in targets.tolist()] == [word[::-1] for word in words]
    assert (targets == EOS).sum(1).tolist() == [1, 1, 1]


def test_what_is_no_letter_is_shown_as_a_question_mark() -> None:
    assert spell([3, BOS, 4, PAD, EOS, 5]) == "a?b?"


def test_the_held_out_words_are_different_of_every_length_and_never_more_than_a_tenth() -> None:
    words = held_out_words(0)
    assert words == held_out_words(0) != held_out_words(1)
    assert len(set(words)) == len(words)
    counts = [sum(len(word) == length for word in words) for length in range(1, 13)]
    assert counts == [2, 67, *[90] * 10]
    assert set("".join(words)) == set("abcdefghijklmnopqrstuvwxyz")


def test_no_word_that_is_held_out_is_ever_drawn(task: ReverseTask) -> None:
    drawn = task.draw(20_000, torch.Generator().manual_seed(0))
    words = {spell(row) for row in drawn.tolist() for row in [[i for i in row if i != PAD]]}
    assert not words & set(task.held_out)
    singles = {word for word in words if len(word) == 1}
    assert len(singles) == 24  # all of them but the two that are held out
    lengths = np.bincount((drawn != PAD).sum(1).numpy(), minlength=13)[1:] / len(drawn)
    assert np.abs(lengths - 1 / 12).max() < 0.02


def test_letters_stand_in_front_and_padding_behind(task: ReverseTask) -> None:
    real = task.draw(200, torch.Generator().manual_seed(1)) != PAD
    assert (real.int().diff(dim=1) <= 0).all()
    assert real[:, 0].all()


@pytest.mark.parametrize("word", ["Hello", "a b", "\u00e9t\u00e9", "a" * 13, "x1"])
def test_a_word_that_the_model_can_t_know_is_refused(word: str) -> None:
    with pytest.raises(LabError, match="the prompt has"):
        checked_word(word)


# ---- what is measured ------------------------------------------------------------------------------------------------


def test_exact_counts_whole_words_with_their_eos(task: ReverseTask, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = reversed_targets(task.words)
    model = task.build_model()

    def written(change: Callable[[torch.Tensor], Any]) -> float:
        output = targets.clone()
        change(output)
        monkeypatch.setattr(task, "ex", StandIn(task.ex, output))
        return task.exact(model)

    total = len(task.held_out)
    assert written(lambda _: None) == 1.0
    assert written(lambda output: output[5, 0].fill_(3 if output[5, 0] != 3 else 4)) == pytest.approx(1 - 1 / total)
    assert written(lambda output: output[output == EOS].fill_(3)) == 1.0  # a copy: nothing has changed
    assert written(lambda output: output.masked_fill_(output == EOS, 3)) == 0.0


class StandIn:
    """Exercise 12 with a decoder that writes what it is told."""

    def __init__(self, ex: Any, output: torch.Tensor) -> None:
        self.ex = ex
        self.output = output

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ex, name)

    def greedy_decode(self, *_: Any) -> torch.Tensor:
        return self.output


def test_the_lab_s_own_learning_rate_is_the_paper_s_curve_with_the_given_peak(task: ReverseTask) -> None:
    warmup = task.config.warmup_steps
    rates = [task.learning_rate(step) for step in range(1, 4 * warmup + 1)]
    assert max(rates) == rates[warmup - 1] == pytest.approx(REVERSE["lr"])
    assert rates[0] == pytest.approx(REVERSE["lr"] / warmup)
    assert rates[4 * warmup - 1] == pytest.approx(REVERSE["lr"] / 2)


def test_every_window_of_the_text_holds_a_whole_word_and_that_is_reversed(task: ReverseTask) -> None:
    text = as_text(task.words[200:260])
    windows = text.unfold(0, WINDOW, 1)  # every one there is
    asked: list[torch.Tensor] = []

    def loss(_: Any, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(words)
        return words, words

    Backwards(torch.nn.Identity(), loss)(windows, windows)
    starts = [-(-start // RECORD) for start in range(len(windows))]  # the first word that begins in it
    assert torch.equal(asked[0], task.words[200:260][starts])


def test_a_loop_that_computes_a_loss_of_its_own_is_told_so(task: ReverseTask) -> None:
    with pytest.raises(LabError, match="let it take the model's"):
        task.engine(task.build_model())(task.train_tokens[:WINDOW][None])


def test_an_evaluation_leaves_the_mode_and_draws_nothing(task: ReverseTask) -> None:
    model = task.build_model().train()
    state = torch.get_rng_state()
    first, second = ((task.held_out_loss(model), task.sample(model)) for _ in range(2))
    assert first == second
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


# ---- where it looked -------------------------------------------------------------------------------------------------

CALL = "x = self.cross_residual(x, lambda h: self.cross_attention(h, memory, mask=memory_mask))"
STYLES = {
    "as in the reference": CALL,
    "by position": CALL.replace("mask=memory_mask", "None, memory_mask"),
    "with the weights": CALL.replace("mask=memory_mask)", "memory, memory_mask, True)[0]"),
    "with the weights, by name": CALL.replace("mask=memory_mask)", "mask=memory_mask, return_weights=True)[0]"),
    "all by name": CALL.replace("(h, memory,", "(query=h, key=memory, value=memory,"),
    "past the module": CALL.replace("cross_attention(", "cross_attention.forward("),
}


@pytest.mark.parametrize("style", STYLES)
def test_the_weights_are_seen_however_a_layer_calls_its_attention(style: str) -> None:
    sources = read_folder(runs.ROOT / "solutions", "reference")
    sources["ex11_decoder"] = sources["ex11_decoder"].edited([(CALL, STYLES[style])] if STYLES[style] != CALL else [])
    with Assembly(sources) as assembly:
        torch.manual_seed(0)
        model = assembly.exercise("ex12_transformer").Transformer(9, 9, d_model=8, n_heads=2, d_ff=8)
        src, tgt_in = torch.tensor([[3, 4, 5, 6]]), torch.tensor([[1, 6, 5]])
        before = model(src, tgt_in)
        maps = cross_attention(model, src, tgt_in)
        assert torch.equal(model(src, tgt_in), before)  # no hook is left behind
    if style == "past the module":
        assert maps == []
        return
    assert [layer.shape for layer in maps] == [(2, 3, 4)] * 2
    assert all(np.allclose(layer.sum(-1), 1.0, atol=1e-6) for layer in maps)
    assert not np.allclose(maps[0], maps[1])


# ---- the commands ----------------------------------------------------------------------------------------------------


def test_train_leaves_a_folder_with_everything(train: Lab, tmp_path: Path) -> None:
    result = train("--name", "words")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "runs" / "words"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "held-out.txt", "checkpoint.pt", "history.jsonl", "loss.png", "results.json", "sample.txt",
        "attention.png",
        "map.html",
    }  # fmt: skip
    for picture in ("loss.png", "attention.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    assert re.search(r"step +8/8 +loss \d\.\d+ +[\d,]+ tokens/s +0:00 left", result.output)
    assert re.search(r"step +8  train \d\.\d+  held out \d\.\d+ .*\n +\d+\.\d% right: [a-z]{4} -> ", result.output)
    assert "of the 969 held-out words" in result.output


def test_the_configuration_says_what_it_is_about(train: Lab, tmp_path: Path) -> None:
    train("--seed", 5, "--lr", 0.002)
    config = json.loads((tmp_path / "runs" / "001-reverse" / "config.json").read_text())
    assert config["task"] == "reverse"
    assert config["model"] == {"d_model": 8, "n_heads": 2, "n_layers": 1, "d_ff": 32}
    assert (config["recipe"]["seed"], config["recipe"]["max_lr"], config["recipe"]["steps"]) == (5, 0.002, 8)


def test_ctrl_c_then_resume_gives_the_history_of_an_uninterrupted_run(
    train: Lab, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("--name", "whole")
    show = Meter.show

    def show_and_press(meter: Meter, step: int, loss: float) -> None:
        show(meter, step, loss)
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Meter, "show", show_and_press)
    stopped = train("--name", "stopped")
    assert stopped.exit_code == 130
    assert "RESUME=1" in stopped.output
    monkeypatch.undo()

    resumed = lab("train", "--resume", "--task", "reverse")
    assert resumed.exit_code == 0, resumed.output
    for file in ("history.jsonl", "results.json", "sample.txt"):
        assert (tmp_path / "runs" / "stopped" / file).read_text() == (tmp_path / "runs" / "whole" / file).read_text()


def test_what_is_borrowed_is_said_of_what_is_used_alone(lab: Lab, folder: Any, tmp_path: Path) -> None:
    result = lab("train", "--task", "reverse", "--exercises", folder.path, *TINY)
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "runs" / "001-reverse" / "config.json").read_text())
    assert {"ex12_transformer", "ex14_training"} <= set(config["pieces"]["borrowed"])
    assert not {"ex13_gpt", "ex16_capstone"} & set(config["pieces"]["borrowed"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--text", "x"], "--text"),
        (["--corpus", "plays"], "--corpus"),
        (["--context", "9"], "--context"),
        (["--heads", "3", "--width", "9"], "odd"),
        (["--heads", "3", "--width", "8"], "--width 8"),
        (["--width", "65536", "--layers", "1000"], "GiB"),
        (["--task", "sorting"], "--task"),
    ],
)
def test_a_wrong_option_is_refused_before_a_run_begins(
    options: list[str], says: str, train: Lab, tmp_path: Path
) -> None:
    assert refused(train(*options), says)
    assert not (tmp_path / "runs").exists()


def test_sample_shows_words_what_was_written_and_whether_that_is_right(train: Lab, lab: Lab, tmp_path: Path) -> None:
    train("--name", "words")
    result = lab("sample")
    assert result.exit_code == 0, result.output
    rows = [line.split(maxsplit=2) for line in result.stdout.splitlines()[2:]]
    held_out = (tmp_path / "runs" / "words" / "held-out.txt").read_text().split()
    assert [len(row[0]) for row in rows] == list(range(1, 13))
    assert {row[0] for row in rows} <= set(held_out)
    assert all(row[-1] == "right" or row[-1].endswith(f"it should be {row[0][::-1]}") for row in rows)
    assert "words, after step 8 of 8" in result.stderr
    assert "attention.png" in result.stderr


def test_sample_reverses_a_word_of_the_user_s(train: Lab, lab: Lab) -> None:
    train()
    result = lab("sample", "--prompt", "hello")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith("hello")
    assert refused(lab("sample", "--prompt", "Hello!"), "'!', 'H'", "abcdefghijklmnopqrstuvwxyz")
    assert refused(lab("sample", "--prompt", "abcdefghijklm"), "13 letters", "up to 12")


def test_options_that_mean_nothing_to_a_run_are_refused(train: Lab, lab: Lab) -> None:
    train()
    assert refused(lab("sample", "--temperature", "0.5", "--top-k", "3"), "--temperature, --top-k")


def test_a_task_finds_its_own_runs(train: Lab, lab: Lab) -> None:
    train("--name", "words")
    assert refused(lab("sample", "--task", "text"), "make train TASK=text")
    assert refused(lab("sample", "--task", "text", "--run", "words"), "reverse")
    assert lab("sample", "--task", "reverse").exit_code == 0


def test_a_run_from_before_there_were_tasks_is_about_text(tmp_path: Path) -> None:
    runs.create(tmp_path, "old", "plays", {})
    assert runs.find(tmp_path, "old").task == "text"


def test_a_run_of_a_task_that_is_not_known_is_a_clear_error(train: Lab, lab: Lab, tmp_path: Path) -> None:
    train("--name", "words")
    path = tmp_path / "runs" / "words" / "config.json"
    path.write_text(path.read_text().replace('"task": "reverse"', '"task": "sorting"'))
    assert refused(lab("sample"), "sorting")


def test_held_out_words_that_were_changed_are_a_clear_error(train: Lab, lab: Lab, tmp_path: Path) -> None:
    train("--name", "words")
    (tmp_path / "runs" / "words" / "held-out.txt").write_text("Not\nthese\n")
    assert refused(lab("sample"), "held-out.txt")


@pytest.mark.parametrize(("loop", "steps", "loss"), [("exercise 14", 200, 1.5), ("the lab's own", 120, 2.8)])
def test_the_task_is_learned(
    loop: str, steps: int, loss: float, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to the end, which takes half a minute, but far enough that it can be no accident: 3.37 is knowing nothing."""
    if loop != "exercise 14":
        monkeypatch.setattr("lab.reversal.has_loop", lambda _: False)
    result = lab("train", "--task", "reverse", "--reference", "--steps", steps, "--width", 48)
    assert result.exit_code == 0, result.output
    assert ("yours come with exercise 14" in result.output) == (loop != "exercise 14")
    folder = tmp_path / "runs" / "001-reverse"
    assert json.loads((folder / "config.json").read_text())["loop"] == loop
    assert json.loads((folder / "results.json").read_text())["loss"] < loss


def test_what_a_learner_changes_in_their_loop_shows(lab: Lab, folder: Any) -> None:
    folder.solve("14", ("            on_step(step, ", '            print("mine", step)\n            on_step(step, '))
    result = lab("train", "--task", "reverse", "--exercises", folder.path, *TINY)
    assert result.exit_code == 0, result.output
    assert "mine 8" in result.output


def test_a_run_goes_on_with_the_loop_that_it_began_with(
    train: Lab, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("--name", "words")
    config = tmp_path / "runs" / "words" / "config.json"
    config.write_text(config.read_text().replace('"steps": 8', '"steps": 9'))
    monkeypatch.setattr("lab.reversal.has_loop", lambda _: False)
    assert lab("sample").exit_code == 0  # no loop is needed for that
    assert refused(lab("train", "--resume"), "began with your loop of exercise 14, which does not pass any more")
