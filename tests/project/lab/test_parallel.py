"""One training in several processes: the history of one, and what is said when a process is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from lab import launch, parallel, runs
from lab.cli import main
from lab.console import Screen
from lab.errors import LabError
from lab.parallel import Lost, Team

TEXT = "ANNE:\nthe cat sat on the mat, and the dog sat on the cat.\n\n" * 40
TINY = ["--context", "8", "--layers", "1", "--heads", "2", "--width", "8", "--batch-size", "5", "--seed", "3"]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")


@pytest.fixture
def train(tmp_path: Path) -> list[str]:
    """What trains a tiny model of the reference, without the number of steps and the run's name."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    where = ["--runs", str(tmp_path / "runs"), "--text", str(tmp_path / "text.txt")]
    return ["train", "--reference", "--device", "cpu", "--plain", *where, *TINY]


@pytest.fixture
def alone(train: list[str]) -> Callable[..., Result]:
    """Train in this process."""
    return lambda *options: CliRunner().invoke(main, [*train, *options], catch_exceptions=False)


def together(processes: int, arguments: list[str]) -> subprocess.Popen[str]:
    """Train in several processes, by torchrun."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [*torchrun, "-m", "lab", *arguments],
        cwd=runs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def history(tmp_path: Path, name: str) -> list[dict[str, Any]]:
    lines = (tmp_path / "runs" / name / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_two_processes_have_the_history_of_one(train: list[str], alone: Callable[..., Result], tmp_path: Path) -> None:
    """With five windows in a batch: one of them runs three, the other two."""
    process = together(2, [*train, "--steps", "8", "--name", "two"])
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert alone("--steps", "8", "--name", "one").exit_code == 0
    one, two = history(tmp_path, "one"), history(tmp_path, "two")
    assert [row["step"] for row in two] == [row["step"] for row in one]
    for ours, theirs in zip(two, one, strict=True):
        for name in ("train_loss", "val_loss", "lr", "tokens_seen"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-5), name
    weights = [torch.load(tmp_path / "runs" / name / "checkpoint.pt")["model"] for name in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, atol=1e-4, rtol=0)
    assert output.count("Run two: ") == output.count("Everything is in ") == 1  # rank 0 alone speaks
    assert "in 2 processes" in output
    assert [path.name for path in (tmp_path / "runs").iterdir()].count("two") == 1
    kinds = {path.name for path in (tmp_path / "runs" / "two").iterdir()}
    assert kinds == {path.name for path in (tmp_path / "runs" / "one").iterdir()}


def worker(parent: int, rank: int) -> int:
    """The number of a process that torchrun has started."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            above = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if above == parent and f"RANK={rank}".encode() in (path / "environ").read_bytes().split(b"\0"):
                return int(path.name)
    raise AssertionError(f"torchrun has no process of rank {rank}")


@LINUX
def test_when_a_process_is_killed_the_run_ends_clearly_and_goes_on_in_one(train: list[str], tmp_path: Path) -> None:
    process = together(2, [*train, "--steps", "1000000", "--eval-every", "20", "--name", "long"])
    folder = tmp_path / "runs" / "long"
    deadline = time.monotonic() + 300
    while not ((folder / "history.jsonl").is_file() and history(tmp_path, "long")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.05)
    os.kill(worker(process.pid, 1), signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "another process of this training is gone" in output
    assert "--resume long goes on from there" in output

    before = history(tmp_path, "long")
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["steps"] = before[-1]["step"] + 2
    (folder / "config.json").write_text(json.dumps(config))
    resumed = CliRunner().invoke(
        main, ["train", "--runs", str(tmp_path / "runs"), "--device", "cpu", "--resume", "long"], catch_exceptions=False
    )
    assert resumed.exit_code == 0, resumed.output
    after = history(tmp_path, "long")
    assert after[: len(before)] == before
    assert after[-1]["step"] == before[-1]["step"] + 2


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun tells the second of two processes."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("second_of_two")
def test_the_others_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert (launch.size(), launch.rank(), launch.local_rank()) == (2, 1, 1)
    Screen().say("one")
    LabError("two").show()
    Lost("three").show()  # but rank 0 may be the one that is gone
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "Error: three\n")


def test_a_task_whose_batches_can_t_be_shared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = CliRunner().invoke(main, ["train", "--task", "reverse", "--reference", "--runs", str(tmp_path)])
    assert result.exit_code == 2
    assert "start it without torchrun" in result.output


def test_only_a_lost_connection_is_called_one() -> None:
    for team, error in ((Team(0, 2), "shape mismatch"), (Team(), "Connection closed by peer")):
        with pytest.raises(RuntimeError, match=error), team.watched("mine"):
            raise RuntimeError(error)
    with pytest.raises(Lost, match="--resume mine"), Team(0, 2).watched("mine"):
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")


def test_alone_nothing_is_wrapped() -> None:
    model = nn.Linear(2, 2)
    assert Team().shared(model) is model
    with parallel.joined(torch.device("cpu")) as team, team.leader_first():
        assert (team.rank, team.size, team.told("it")) == (0, 1, "it")
