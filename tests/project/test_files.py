"""Writing that loses nothing: what can't be written whole leaves nothing behind."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.errors import GraderError
from grader.files import back_up, read_toml


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A learner's file."""
    path = tmp_path / "ex01.py"
    path.write_text("x = 1\n" * 1000)
    return path


def full(*_: object) -> None:
    """What a full disk answers."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_written(source: Path, target: Path) -> None:
    """A copy that comes to the end of the disk."""
    target.write_bytes(source.read_bytes()[:10])
    full()


def test_a_backup_is_the_file_with_its_times(mine: Path, tmp_path: Path):
    os.utime(mine, (10**9, 10**9))
    backup = back_up(mine, tmp_path / "backups")
    assert backup.read_bytes() == mine.read_bytes()
    assert backup.stat().st_mtime == 10**9
    assert back_up(mine, tmp_path / "backups") != backup


@pytest.mark.parametrize(("place", "failing"), [("copy2", half_written), ("fsync", full)])
def test_a_full_disk_leaves_no_backup_that_is_none(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, failing: Callable
):
    monkeypatch.setattr(shutil if place == "copy2" else os, place, failing)
    with pytest.raises(GraderError, match=r"Can't keep a backup.*No space left"):
        back_up(mine, tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []
    assert mine.read_text() == "x = 1\n" * 1000


def test_a_toml_file_that_is_none_is_named(tmp_path: Path):
    path = tmp_path / "a.toml"
    with pytest.raises(FileNotFoundError):
        read_toml(path)
    for content in (b"[", b"\xff", b"a = 1\na = 2"):
        path.write_bytes(content)
        with pytest.raises(GraderError, match=r"a\.toml is damaged"):
            read_toml(path)
    path.write_text("a = [1]\n")
    assert read_toml(path) == {"a": [1]}
    with pytest.raises(GraderError, match="Can't read"):
        read_toml(tmp_path)
