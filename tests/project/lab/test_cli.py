"""The lab's commands as a user sees them: what they write, what they say about bad input, and their exit codes."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from grader.probing.assembly import Assembly, read_folder
from lab import corpora, demo, pieces, runs
from lab.cli import main
from lab.console import Meter
from lab.corpora import Corpus
from lab.loop import in_a_line
from lab.pieces import open_pieces
from lab.recipes import PRESETS
from lab.scoreboard import scoreboard
from lab.text import TextPlan, TextTask
from lab.training import Training, load_weights

TEXT = "ANNE:\nthe cat sat on the mat, and the dog sat on the cat.\n\n" * 40
TINY = ["--context", "8", "--layers", "1", "--heads", "2", "--width", "8", "--batch-size", "3"]
Lab = Callable[..., Result]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Run a command with its runs in a folder of the test's own."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")

    def call(command: str, *options: Any) -> Result:
        where = ["--runs", str(tmp_path / "runs")]
        return CliRunner().invoke(main, [command, *where, *map(str, options)], catch_exceptions=False)

    return call


@pytest.fixture
def train(lab: Lab, tmp_path: Path) -> Lab:
    """Train a tiny model of the reference for a few steps."""

    def call(*options: Any) -> Result:
        text = ["--text", tmp_path / "text.txt"]
        return lab("train", "--reference", *text, *TINY, "--steps", 8, *options)

    return call


def refused(result: Result, *says: str) -> bool:
    """Exit code 2, a short error, no traceback."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    for part in says:
        assert part in result.output
    return True


@pytest.mark.parametrize(("model", "called"), [("gpt", "transformer"), ("llama", "Llama")])
def test_the_map_of_a_run_is_one_file_that_can_be_written_again(
    train: Lab, lab: Lab, tmp_path: Path, model: str, called: str
) -> None:
    train("--name", "cats", "--model", model)
    path = tmp_path / "runs" / "cats" / "map.html"
    first = path.read_text(encoding="utf-8")
    assert f"The reference&#39;s {called} from a bird&#39;s eye" in first
    assert "https:" not in first  # nothing comes from elsewhere
    path.unlink()
    result = lab("map", "--run", "cats")
    assert result.exit_code == 0, result.output
    assert "It needs no network" in result.output
    assert path.read_text(encoding="utf-8") == first


def test_a_map_of_nothing_is_refused(train: Lab, lab: Lab, tmp_path: Path) -> None:
    assert refused(lab("map"), "there is no trained run")
    train("--name", "cats")
    (tmp_path / "runs" / "cats" / "checkpoint.pt").write_bytes(b"damaged")
    assert refused(lab("map"), "is damaged")


def test_train_leaves_a_folder_with_everything(train: Lab, tmp_path: Path) -> None:
    result = train("--name", "cats")
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "runs" / "cats").iterdir()}
    assert names == {
        "config.json", "corpus.txt", "checkpoint.pt", "history.jsonl", "loss.png", "map.html", "results.json",
        "sample.txt",
    }  # fmt: skip


def test_train_shows_steps_loss_speed_and_time_left_and_the_baselines(train: Lab) -> None:
    output = train().output
    assert re.search(r"step +8/8 +loss \d\.\d+ +[\d,]+ tokens/s +0:00 left", output)
    assert re.search(r"step +8  train \d\.\d+  held out \d\.\d+", output)
    assert all(name in output for name in ("uniform", "unigram", "bigram", "trigram", "five-gram", "> GPT"))


def test_each_evaluation_shows_what_the_model_writes_and_keeps_it(train: Lab, tmp_path: Path) -> None:
    output = train("--name", "cats", "--steps", 40, "--lr", 0.03).output
    rows = [json.loads(line) for line in (tmp_path / "runs" / "cats" / "history.jsonl").read_text().splitlines()]
    assert len({row["sample"] for row in rows}) == len(rows) == 4  # it has learned something in between
    for row in rows:
        assert in_a_line(row["sample"]) in output
    page = (tmp_path / "runs" / "cats" / "map.html").read_text(encoding="utf-8")
    assert all(json.dumps(row["sample"], ensure_ascii=False) in page for row in rows)


def test_the_scoreboard_puts_the_model_where_it_belongs() -> None:
    counted = {"uniform": 4.0, "trigram": 2.0, "five-gram": 1.6}
    lines = scoreboard("mine", counted, "your GPT", 1.8).splitlines()[2:]
    assert [line.split("  ")[0] for line in lines] == ["uniform", "trigram", "> your GPT", "five-gram"]
    assert lines[2].split()[-2:] == ["1.800", "2.597"]  # 1.8 / ln 2
    known = scoreboard("plays", counted, "your GPT", 1.2)
    assert known.index("nanoGPT on a laptop *") < known.index("five-gram") < known.index("nanoGPT on a GPU *")
    assert known.index("nanoGPT on a GPU *") < known.index("> your GPT")
    assert "Tiny Shakespeare" in known.splitlines()[-1]


def test_the_configuration_holds_all_that_it_takes_to_do_the_run_again(train: Lab, tmp_path: Path) -> None:
    train("--name", "cats", "--seed", 5, "--lr", 0.002)
    config = json.loads((tmp_path / "runs" / "cats" / "config.json").read_text())
    assert config["corpus"]["sha256"] == Corpus("", "", TEXT).sha256
    assert config["model"] == {"context_length": 8, "d_model": 8, "n_heads": 2, "n_layers": 1, "dropout": 0.0}
    assert (config["recipe"]["seed"], config["recipe"]["max_lr"], config["recipe"]["steps"]) == (5, 0.002, 8)
    assert config["pieces"] == {"exercises": None, "borrowed": []}
    assert {"python", "torch"} <= config["versions"].keys()


def test_the_same_command_twice_gives_the_same_history_and_sample(train: Lab, tmp_path: Path) -> None:
    for name in ("first", "second"):
        train("--name", name)
    for file in ("history.jsonl", "sample.txt", "results.json"):
        assert (tmp_path / "runs" / "first" / file).read_text() == (tmp_path / "runs" / "second" / file).read_text()


def test_several_threads_give_the_same_history_again(train: Lab, tmp_path: Path) -> None:
    """Of a size at which PyTorch lets several threads add to the gradient of the embeddings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        for name in "abc":
            train("--name", name, "--context", 64, "--batch-size", 16, "--width", 128)
    finally:
        torch.set_num_threads(threads)
    losses = {(tmp_path / "runs" / name / "history.jsonl").read_text() for name in "abc"}
    assert len(losses) == 1
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_is_borrowed_from_the_reference_is_said_and_kept(lab: Lab, folder: Any, tmp_path: Path) -> None:
    arguments = ["--exercises", folder.path, "--text", tmp_path / "text.txt", *TINY, "--steps", 2]
    result = lab("train", *arguments, "--name", "mine")
    assert result.exit_code == 0, result.output
    assert "borrowed from the reference" in result.output
    config = json.loads((tmp_path / "runs" / "mine" / "config.json").read_text())
    assert "ex13_gpt" in config["pieces"]["borrowed"]
    sampled = lab("sample", "--tokens", 5)
    assert sampled.exit_code == 0, sampled.output
    assert "borrowed from the reference" in sampled.stderr


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

    resumed = lab("train", "--resume")
    assert resumed.exit_code == 0, resumed.output
    for file in ("history.jsonl", "results.json"):
        assert (tmp_path / "runs" / "stopped" / file).read_text() == (tmp_path / "runs" / "whole" / file).read_text()


def test_resuming_a_finished_run_changes_nothing(train: Lab, lab: Lab, tmp_path: Path) -> None:
    train("--name", "cats")
    before = (tmp_path / "runs" / "cats" / "history.jsonl").read_text()
    result = lab("train", "--resume", "cats")
    assert result.exit_code == 0
    assert "is finished" in result.output
    assert (tmp_path / "runs" / "cats" / "history.jsonl").read_text() == before


@pytest.mark.parametrize(
    "option", [["--steps", "9"], ["--text", "x"], ["--seed", "1"], ["--name", "x"], ["--reference"]]
)
def test_resume_refuses_what_the_run_has_settled(option: list[str], train: Lab, lab: Lab) -> None:
    train()
    assert refused(lab("train", "--resume", *option), option[0])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--steps", "0"], "--steps"),
        (["--steps", "many"], "--steps"),
        (["--batch-size", "-1"], "--batch-size"),
        (["--lr", "nan"], "--lr"),
        (["--lr", "inf"], "--lr"),
        (["--lr", "0"], "--lr"),
        (["--width", "10", "--heads", "3"], "--width 10"),
        (["--seed", "-1"], "--seed"),
        (["--device", "tpu"], "--device"),
        (["--name", "../up"], "can't be the name"),
        (["--corpus", "plays"], "--corpus and --text"),
        (["--resume", "missing"], "can't be given"),
        (["--context", "5000"], "too few"),
        (["--width", "65536", "--layers", "1000"], "GiB"),
        (["--batch-size", "65536", "--context", "65536"], "GiB"),
    ],
)
def test_a_wrong_option_is_refused_before_a_run_begins(
    options: list[str], says: str, train: Lab, tmp_path: Path
) -> None:
    assert refused(train(*options), says)
    assert not (tmp_path / "runs").exists()


def test_a_device_that_is_not_there_is_refused(train: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert refused(train("--device", "cuda"), "--device cuda")


def test_a_name_that_is_taken_is_refused(train: Lab) -> None:
    train("--name", "cats")
    assert refused(train("--name", "cats"), "--resume cats")


def test_a_folder_without_exercises_is_refused(lab: Lab, tmp_path: Path) -> None:
    arguments = ["--text", tmp_path / "text.txt", *TINY]
    assert refused(lab("train", "--exercises", tmp_path, *arguments), "exercises")
    assert refused(lab("train", "--exercises", tmp_path / "nowhere", *arguments), "nowhere")


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"\xff\xfe", b"too short"])
def test_a_bad_text_is_refused(content: bytes, lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    assert refused(lab("train", "--reference", "--text", path), "bad.txt")


def test_a_download_that_fails_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offline = lambda: corpora.tiny_shakespeare("http://127.0.0.1:1/", tmp_path)  # noqa: E731
    monkeypatch.setitem(corpora.NAMED, "tinyshakespeare", offline)
    assert refused(lab("train", "--reference", "--corpus", "tinyshakespeare"), "--text FILE")


def test_runs_that_can_t_be_written_are_a_clear_error(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    assert refused(lab("train", "--reference", "--text", tmp_path / "text.txt", *TINY), "runs")


def test_divergence_is_a_clear_error_and_the_run_stays_usable(
    train: Lab, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Training.run

    def poisoned(training: Training, after_step: Callable[[float], object]) -> None:
        def poison(loss: float) -> None:
            after_step(loss)
            if training.step == 5:
                with torch.no_grad():
                    next(training.model.parameters()).fill_(math.nan)

        run(training, poison)

    monkeypatch.setattr(Training, "run", poisoned)
    result = train("--name", "wild")
    assert result.exit_code == 1
    assert "the loss is no longer a number at step 6 " in result.output
    assert "--lr" in result.output
    assert "Traceback" not in result.output
    assert lab("sample", "--run", "wild", "--tokens", 3).exit_code == 0


def test_sample_writes_the_prompt_and_what_follows_to_stdout(train: Lab, lab: Lab) -> None:
    train("--name", "cats")
    result = lab("sample", "--prompt", "the cat", "--tokens", 20)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("the cat")
    assert len(result.stdout) == len("the cat") + 20 + 1
    assert "cats, after step 8 of 8" in result.stderr


def test_sample_repeats_itself_for_a_seed_and_not_for_another(train: Lab, lab: Lab) -> None:
    train()
    texts = [lab("sample", "--seed", seed, "--tokens", 40).stdout for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_stream_is_what_one_call_would_give(train: Lab, lab: Lab) -> None:
    result = train("--name", "cats")
    assert result.exit_code == 0
    streamed = lab("sample", "--prompt", "the", "--tokens", 30, "--seed", 7, "--top-k", 12, "--top-p", 0.5).stdout
    run = runs.find(Path(re.search(r"Everything is in (.+)/cats,", result.output)[1]))
    with open_pieces(None) as pieces:
        task = TextTask.reopen(pieces, run, torch.device("cpu"))
        model = task.build_model()
        load_weights(model, run.load())
        generator = torch.Generator().manual_seed(7)
        once = pieces.capstone.complete(model, task.tokenizer, "the", 30, 0.8, 12, 0.5, generator)
    assert streamed == once + "\n"


def test_a_prompt_that_the_model_can_t_read_is_refused_with_the_alphabet(train: Lab, lab: Lab) -> None:
    train()
    assert refused(lab("sample", "--prompt", "Zo\u00eb"), r"'Z', '\xeb'", r"\n ,.:AENacdeghmnost")


def test_without_a_run_sample_and_resume_say_what_to_do(lab: Lab) -> None:
    assert refused(lab("sample"), "make train")
    assert refused(lab("train", "--resume"), "make train")


@pytest.mark.parametrize(
    "options",
    [
        ["--temperature", "-1"], ["--temperature", "nan"],
        ["--temperature", "1e-9"], ["--top-k", "0"], ["--top-p", "1.5"], ["--tokens", "-1"],
        ["--run", "missing"], ["--run", "../up"],
    ],
)  # fmt: skip
def test_wrong_sampling_options_are_refused(options: list[str], train: Lab, lab: Lab) -> None:
    train()
    assert refused(lab("sample", *options))


def test_a_checkpoint_that_no_longer_fits_is_a_clear_error(train: Lab, lab: Lab, tmp_path: Path) -> None:
    train("--name", "cats")
    path = tmp_path / "runs" / "cats" / "config.json"
    config = json.loads(path.read_text())
    config["model"]["d_model"] = 16
    path.write_text(json.dumps(config))
    assert refused(lab("sample"), "does not fit your model any more")


def test_a_learner_may_choose_bytes_and_merges(
    train: Lab, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = read_folder(runs.ROOT / "solutions", "reference")
    capstone = sources["ex16_capstone"].edited([("return CharTokenizer(text)", "return BPETokenizer.train(text, 270)")])
    monkeypatch.setattr(pieces, "reference_assembly", lambda: Assembly({**sources, "ex16_capstone": capstone}))
    result = train("--name", "merges")
    assert result.exit_code == 0, result.output
    losses = json.loads((tmp_path / "runs" / "merges" / "results.json").read_text())
    # Before it has learned much, a model spends about ln V nats on a token, of which there are fewer than characters.
    assert losses["gpt"] < math.log(270) * 0.9
    assert losses["unit"] == "nats per character"
    assert lab("sample", "--prompt", "the \u732b", "--tokens", 5).stdout.startswith("the \u732b")


def test_help_and_a_wrong_option_do_not_wait_for_torch() -> None:
    code = "import sys, lab.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=runs.ROOT, check=False).returncode == 0


# ---- as another process ----------------------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "lab"]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


def long_run(tmp_path: Path, **options: Any) -> subprocess.Popen[str]:
    """A training that would take for ever; returns when it has made its first evaluation."""
    (tmp_path / "text.txt").write_text(TEXT)
    process = subprocess.Popen(
        [*COMMAND, "train", "--reference", "--runs", str(tmp_path / "runs"), "--text", str(tmp_path / "text.txt"),
         *TINY, "--steps", "1000000", "--name", "long"],
        cwd=runs.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options,
    )  # fmt: skip
    history = tmp_path / "runs" / "long" / "history.jsonl"
    deadline = time.monotonic() + 60
    while not (history.is_file() and history.stat().st_size) and time.monotonic() < deadline:
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.02)
    return process


@POSIX
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_says_how_to_go_on(signum: int, code: int, tmp_path: Path) -> None:
    process = long_run(tmp_path)
    process.send_signal(signum)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "Traceback" not in output
    step = runs.find(tmp_path / "runs", "long").load()["step"]
    assert f"Stopped after step {step:,} of 1,000,000" in output
    assert "make train RESUME=1" in output


@POSIX
def test_a_run_that_is_killed_keeps_its_last_checkpoint_whole(tmp_path: Path) -> None:
    process = long_run(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    run = runs.find(tmp_path / "runs", "long")
    state = run.load()
    assert state["step"] == state["history"][-1]["step"] == len(state["losses"]) > 0


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_stream_that_can_t_show_every_character_will_do(encoding: str, tmp_path: Path) -> None:
    text = tmp_path / "zo\u00eb.txt"
    text.write_text("\u732b sat on the \u2713 mat\n" * 80, encoding="utf-8")
    options = ["--runs", str(tmp_path / "runs"), "--reference", "--text", str(text), *TINY, "--steps", "2"]
    done = subprocess.run(
        [*COMMAND, "train", *options],
        cwd=runs.ROOT,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout


# ---- the demo --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo on a text that is learned in a few steps, without the grading."""
    monkeypatch.setattr(demo, "grade", lambda **_: True)
    plan = TextPlan
    monkeypatch.setattr(demo, "TextPlan", lambda corpus, given: plan(corpus, {**PRESETS["tiny"], **given}))
    monkeypatch.setattr(corpora, "load", lambda: Corpus("cats", "cats", "abcdefghijklmnop qrstuvwxyz\n" * 400))


@pytest.mark.usefixtures("small_demo")
def test_the_demo_shows_the_losses_a_sample_and_what_to_do_next(lab: Lab) -> None:
    output = lab("demo", "--steps", 1).output
    for part in ("unigram", "bigram", "trigram", "GPT", "nats", "bits", "make sample", "make test"):
        assert part in output


@pytest.mark.usefixtures("small_demo")
def test_the_demo_fails_when_the_model_does_not_beat_the_trigrams(lab: Lab) -> None:
    result = lab("demo", "--steps", 1)
    assert result.exit_code == 1
    assert "does not beat the trigram baseline" in result.output


@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize(("passes", "code"), [(True, 0), (False, 1)])
def test_the_demo_succeeds_when_it_does_and_the_reference_passes(
    passes: bool, code: int, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "".join(f"{'ab' * n} {'c' * (n % 5)}\n" for n in range(1, 9)) * 30
    )  # what comes next depends on more than two
    monkeypatch.setattr(corpora, "load", lambda: Corpus("cats", "cats", text))
    monkeypatch.setattr(demo, "grade", lambda **_: passes)
    result = lab("demo", "--steps", 150)
    assert "beats the trigram baseline" in result.output
    assert result.exit_code == code, result.output
