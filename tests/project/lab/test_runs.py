"""Run folders and files: whole or not at all, found by name, never written over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from lab import runs
from lab.errors import LabError
from lab.files import write_atomically

LABEL = "My text, 2nd edition"


def make(root: Path, name: str | None = None, step: int | None = None) -> runs.Run:
    run = runs.create(root, name, LABEL, {"recipe": {}}, {"corpus.txt": "text"})
    if step is not None:
        run.save({"step": step, "history": [{"step": step}]})
    return run


def test_runs_are_numbered_and_named_after_their_corpus(tmp_path: Path) -> None:
    assert [make(tmp_path).name for _ in range(2)] == ["001-My-text-2nd-edition", "002-My-text-2nd-edition"]


def test_a_run_is_never_written_over(tmp_path: Path) -> None:
    make(tmp_path, "mine", step=3)
    with pytest.raises(LabError, match="--resume mine"):
        make(tmp_path, "mine")
    assert runs.find(tmp_path, "mine").load()["step"] == 3


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\\b", "-x", "a b", "x" * 101, "caf\u00e9"])
def test_a_name_that_is_no_folder_s_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="can't be the name of a run"):
        make(tmp_path / "runs", name)


def test_without_a_name_the_run_that_was_trained_last_is_found(tmp_path: Path) -> None:
    for step, name in enumerate(["b", "c", "a"]):
        make(tmp_path, name, step)
        os.utime(tmp_path / name / "checkpoint.pt", ns=(step, step))
    make(tmp_path, "untrained")
    assert runs.find(tmp_path).name == "a"


@pytest.mark.parametrize("name", [None, "missing"])
def test_where_there_is_none_the_error_says_so(name: str | None, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="there is no"):
        runs.find(tmp_path / "runs", name)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', "{}", "\udcff"])
def test_a_damaged_configuration_is_a_clear_error(content: str, tmp_path: Path) -> None:
    make(tmp_path, "mine", 1)
    (tmp_path / "mine" / "config.json").write_text(content, errors="surrogateescape")
    with pytest.raises(LabError, match=r"config\.json can't be read|format 99"):
        runs.find(tmp_path)


PICKLED = [b".", b"\x80\x02.", b"\x80\x02](K\x01e.", b"\x80\x02}q\x00."]  # no value at all, a list, nothing in it


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04", *PICKLED])
def test_a_damaged_checkpoint_is_a_clear_error(content: bytes, tmp_path: Path) -> None:
    run = make(tmp_path, "mine", 1)
    run.checkpoint.write_bytes(content)
    with pytest.raises(LabError, match=r"checkpoint\.pt is damaged.*Train a new run$"):
        run.load()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_checkpoint_that_was_cut_short_is_damaged(kept: float, tmp_path: Path) -> None:
    run = make(tmp_path, "mine", 1)
    run.save({"step": 4, "model": {"weight": torch.arange(1000.0)}, "history": []})
    whole = run.checkpoint.read_bytes()
    assert run.load()["step"] == 4
    run.checkpoint.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(LabError, match="is damaged"):
        run.load()


def test_a_checkpoint_runs_no_code_when_it_is_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    run = make(tmp_path, "mine", 1)
    torch.save({"step": Trap()}, run.checkpoint)
    with pytest.raises(LabError):
        run.load()
    assert not (tmp_path / "trapped").exists()


def test_the_history_is_a_row_per_line(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.save({"step": 4, "history": [{"step": 2, "val_loss": 3.0}, {"step": 4, "val_loss": 2.5}]})
    rows = [json.loads(line) for line in (run.folder / "history.jsonl").read_text().splitlines()]
    assert rows == [{"step": 2, "val_loss": 3.0}, {"step": 4, "val_loss": 2.5}]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, "old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, fail)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_write_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, "old")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom lab.files import write_atomically\n"
        "def die(file): file.write(b'x' * 100_000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), die)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(target)], cwd=runs.ROOT)
    assert killed.returncode == -9
    assert target.read_text() == "old"
