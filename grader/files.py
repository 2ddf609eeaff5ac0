"""Dated backups: what is about to be replaced is copied first, and no backup ever replaces another."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from grader.errors import GraderError
from grader.syllabus import ROOT

FOLDER = ROOT / "exercises" / "backups"


def stamp() -> str:
    """The present moment, as a part of a file name."""
    return datetime.now().strftime("%Y-%m-%d-%H%M%S")


def free(path: Path) -> Path:
    """The path itself, or the first of `name-2`, `name-3`, ... that nothing has yet."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def back_up(path: Path, folder: Path = FOLDER) -> Path:
    """Copy a file to `folder`, under its own name and the time.

    Raises:
        GraderError: the copy can't be made; then nothing that depends on it may happen.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        backup = free(folder / f"{path.stem}.{stamp()}{path.suffix}")
        shutil.copy2(path, backup)
    except OSError as error:
        raise GraderError(f"Can't keep a backup of {path} in {folder}: {error.strerror or error}.") from None
    return backup
