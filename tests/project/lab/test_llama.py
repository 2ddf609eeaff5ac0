"""A Llama in the place of the GPT: the same commands, at equal parameters, and what is said where it can't be built."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from grader.content.syllabus import load
from lab import pieces as assembling
from lab import runs
from lab.cli import main
from lab.console import Meter
from lab.corpora import Corpus
from lab.errors import LabError
from lab.llama import LlamaTask
from lab.pieces import Pieces, open_pieces
from lab.rivals import rival
from lab.text import TextPlan
from lab.training import count

if not any(entry.stem == "ex22_llama" for entry in load()):
    pytest.skip("the exercises here do not reach the Llama", allow_module_level=True)

TEXT = "ANNE:\nthe cat sat on the mat, and the dog sat on the cat.\n\n" * 40
TINY = ["--context", 8, "--layers", 1, "--heads", 2, "--width", 8, "--batch-size", 3, "--steps", 8]
Lab = Callable[..., Result]


@pytest.fixture(scope="module")
def pieces() -> Iterator[Pieces]:
    with open_pieces(None) as opened:
        yield opened


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Run a command with its runs in a folder of the test's own."""

    def call(command: str, *options: Any) -> Result:
        where = ["--runs", tmp_path / "runs"]
        return CliRunner().invoke(main, [command, *map(str, (*where, *options))], catch_exceptions=False)

    return call


@pytest.fixture
def train(lab: Lab, tmp_path: Path) -> Lab:
    """Train a tiny model of the reference for a few steps, a Llama unless told otherwise."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")

    def call(*options: Any, model: str = "llama") -> Result:
        return lab("train", "--reference", "--text", tmp_path / "text.txt", *TINY, "--model", model, *options)

    return call


def begun(pieces: Pieces, **given: Any) -> LlamaTask:
    """The task of a Llama on the text."""
    task = TextPlan(Corpus("cats", "cats", TEXT), given, LlamaTask).begin(pieces, 0, torch.device("cpu"))
    assert isinstance(task, LlamaTask)
    return task


@pytest.mark.parametrize(
    "given", [{}, {"context": 32, "width": 36, "heads": 3, "layers": 3}, {"context": 100, "width": 8, "heads": 1}]
)
def test_a_llama_has_as_many_parameters_as_the_gpt(pieces: Pieces, given: dict[str, int]) -> None:
    task = begun(pieces, **given)
    gpt = pieces.capstone.build_model(
        task.tokenizer.vocab_size,
        **{field: task.sizes[field] for field in ("context_length", "d_model", "n_heads", "n_layers")},
    )
    counts = [count(task.llama({**task.sizes, "d_ff": task.sizes["d_ff"] + more})) for more in (-1, 0, 1)]
    distances = [abs(found - count(gpt)) for found in counts]
    assert min(distances) == distances[1], "another inner width comes nearer"
    assert distances[1] < 0.02 * count(gpt)


def test_heads_are_shared_where_they_come_in_pairs(pieces: Pieces) -> None:
    assert begun(pieces, width=16, heads=4).sizes["n_kv_heads"] == 2
    assert begun(pieces, width=18, heads=3).sizes["n_kv_heads"] == 3


def test_heads_that_rotary_positions_can_t_turn_are_refused(pieces: Pieces) -> None:
    with pytest.raises(LabError, match=r"--width 6 and --heads 2 make heads of 3 numbers.*twice the heads"):
        begun(pieces, width=6, heads=2)


def test_a_run_says_which_model_it_has(train: Lab, tmp_path: Path) -> None:
    result = train()
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "runs" / "001-text-llama" / "config.json").read_text())
    assert (config["task"], config["architecture"]) == ("text", "llama")
    assert set(config["model"]) == {"context_length", "d_model", "n_heads", "n_kv_heads", "n_layers", "d_ff"}
    assert re.search(r"> Llama +\d", result.output)
    assert "llama" in json.loads((tmp_path / "runs" / "001-text-llama" / "results.json").read_text())
    train(model="gpt")
    config = json.loads((tmp_path / "runs" / "002-text" / "config.json").read_text())
    assert config["architecture"] == "gpt"


def test_a_run_of_earlier_days_has_the_gpt(tmp_path: Path) -> None:
    assert runs.create(tmp_path, "old", "plays", {"task": "text"}).architecture == "gpt"
    assert runs.create(tmp_path, "words", "plays", {"task": "reverse"}).architecture == ""


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
    assert train("--name", "stopped").exit_code == 130
    monkeypatch.undo()
    train("--name", "later", model="gpt")
    resumed = lab("train", "--resume", "--model", "llama")  # the last Llama, though a GPT was trained since
    assert resumed.exit_code == 0, resumed.output
    assert "Going on with stopped after step 5 of 8" in resumed.output
    for file in ("history.jsonl", "results.json"):
        assert (tmp_path / "runs" / "stopped" / file).read_text() == (tmp_path / "runs" / "whole" / file).read_text()


def test_sample_takes_the_last_run_or_that_of_a_model(train: Lab, lab: Lab) -> None:
    train("--name", "l")
    train("--name", "g", model="gpt")
    for options, name in (([], "g"), (["--model", "llama"], "l"), (["--run", "l"], "l")):
        result = lab("sample", "--tokens", 20, *options)
        assert result.exit_code == 0, result.output
        assert f"{name}, after step 8 of 8" in result.stderr
        assert len(result.stdout) == 21
    refusal = lab("sample", "--run", "g", "--model", "llama")
    assert refusal.exit_code == 2
    assert "the model of the run g is gpt, not llama" in refusal.output


def test_where_no_run_has_the_model_it_is_said_how_to_get_one(train: Lab, lab: Lab) -> None:
    train(model="gpt")
    refusal = lab("sample", "--model", "llama")
    assert refusal.exit_code == 2
    assert re.search(r"no trained run of the model llama in .* yet: make train MODEL=llama", refusal.output)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--dropout", "0.1"], "--dropout means nothing to a Llama"),
        (["--task", "reverse"], "--model means nothing to the task reverse"),
    ],
)
def test_what_means_nothing_is_refused(options: list[str], says: str, lab: Lab, tmp_path: Path) -> None:
    result = lab("train", "--reference", "--model", "llama", *options)
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
    assert not (tmp_path / "runs").exists()


def test_the_dropout_of_a_preset_is_left_out_and_that_is_said(train: Lab, tmp_path: Path) -> None:
    left_out = "The dropout of the preset gpu is left out: a Llama has none."
    assert left_out in " ".join(train("--preset", "gpu", "--name", "l").output.split())
    assert "left out" not in train("--preset", "gpu", "--name", "g", model="gpt").output
    assert json.loads((tmp_path / "runs" / "g" / "config.json").read_text("utf-8"))["model"]["dropout"] == 0.2


def test_a_run_is_compared_with_one_of_the_other_model(train: Lab) -> None:
    alone = train("--name", "alone")
    assert re.search(r"^[\d,]+ parameters\. The same without MODEL=llama trains a GPT", alone.output, re.MULTILINE)
    train("--name", "g", model="gpt")
    beside = train("--name", "l", "--seed", 1).output
    losses = {
        name: float(re.search(rf"^{name} +(\d\.\d+)", beside, re.MULTILINE)[1]) for name in ("> Llama", "GPT, run g")
    }
    apart = abs(losses["> Llama"] - losses["GPT, run g"])
    said = re.search(
        r"([\d,]+) parameters beside the ([\d,]+) of the GPT in g\.\nAfter as many steps on the same text, the loss of "
        r"the Llama is ([\d.]+) nats (lower|higher)\.",
        beside,
    )
    assert said, beside
    sizes = [int(number.replace(",", "")) for number in said.group(1, 2)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)
    assert float(said[3]) == pytest.approx(apart, abs=0.0011)
    assert (said[4] == "lower") == (losses["> Llama"] < losses["GPT, run g"])


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": {"steps": 9, "batch_size": 3}},
        {"recipe": {"steps": 8, "batch_size": 4}},
        {"corpus": {"sha256": "another"}},
        {"model": {"context_length": 16}},
        {"parameters": 1011},
        {"architecture": "llama"},
        {"task": "reverse", "architecture": ""},
    ],
)
def test_what_can_t_be_compared_is_not(tmp_path: Path, other: dict[str, Any]) -> None:
    recipe = {"steps": 8, "batch_size": 3}
    same = {
        "task": "text", "corpus": {"sha256": "one"}, "recipe": recipe, "model": {"context_length": 8},
        "parameters": 1000, "pieces": {"exercises": "exercises"},
    }  # fmt: skip
    mine = runs.create(tmp_path, "mine", "cats", {**same, "architecture": "llama"})
    for name, more, loss in (("first", {}, 2.0), ("other", other, 1.0)):
        run = runs.create(tmp_path, name, "cats", {"architecture": "gpt", **same, **more})
        run.checkpoint.write_bytes(b"")
        (run.folder / "results.json").write_text(json.dumps({run.architecture: loss}))
    runs.create(tmp_path, "unfinished", "cats", {**same, "architecture": "gpt"})
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    found = rival(mine)
    assert found
    assert found.label == "your GPT, run first"
    assert found.compared(mine, 1.5).endswith(
        "of your GPT in first.\nAfter as many steps on the same text, the loss of your Llama is 0.500 nats lower."
    )
    assert found.compared(mine, 2.0004).endswith("is the same.")


def test_a_copy_without_the_exercise_says_so(train: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shorter = [entry for entry in load() if entry.stem < "ex17"]
    monkeypatch.setattr(assembling, "load", lambda: shorter)
    result = train()
    assert result.exit_code == 2
    assert re.search(r"this needs .*ex22_llama, and the exercises here end with ex16_capstone", result.output)
    assert not (tmp_path / "runs").exists()
    assert train(model="gpt").exit_code == 0
