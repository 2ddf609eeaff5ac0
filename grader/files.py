"""Paths, and writing that loses nothing: a file is replaced whole or not at all, and copied before it is replaced."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

from grader.errors import GraderError

ROOT = Path(__file__).resolve().parent.parent
BACKUPS = ROOT / "exercises" / "backups"


def shown(filename: str) -> str:
    """A path as a learner would type it: relative to the folder they are in, if it is below it."""
    try:
        relative = os.path.relpath(filename)
    except ValueError:  # another drive
        return filename
    return filename if relative.startswith("..") else relative


def real(path: Path) -> Path:
    """The absolute path behind all links; one that leads in a circle is left where it begins."""
    return Path(os.path.realpath(path))  # Path.resolve raises RuntimeError at a circle before Python 3.13


def digest(text: str) -> str:
    """Return a hash of a text that does not depend on its line ends."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def write_atomically(path: Path, text: str, private: bool = False) -> None:
    """Replace a file's content in one step: a crash leaves the old content, never half of the new.

    Args:
        path: the file.
        text: its new content.
        private: nobody but its owner may read it.

    Raises:
        GraderError: the file can't be written.
    """
    target = real(path)  # a link stays a link
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        mode = 0o600 if private else 0o666
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists() and not private:
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise GraderError(f"Can't write {path}: {error.strerror or error}.") from None


def private_folder(path: Path) -> None:
    """Make a folder, if it is not there yet, that nobody but its owner may look into.

    Raises:
        GraderError: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise GraderError(f"Can't make the folder {path}: {error.strerror or error}.") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        FileNotFoundError: there is none.
        GraderError: it can't be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise GraderError(f"Can't read {path}: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GraderError(f"{path} is damaged: {error}") from None


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


def back_up(path: Path, folder: Path = BACKUPS) -> Path:
    """Copy a file to `folder`, under its own name and the time.

    Raises:
        GraderError: the copy can't be made; then nothing that depends on it may happen.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        backup = free(folder / f"{path.stem}.{stamp()}{path.suffix}")
        copy_whole(path, backup)
    except OSError as error:
        raise GraderError(f"Can't keep a backup of {path} in {folder}: {error.strerror or error}.") from None
    return backup


def copy_whole(path: Path, target: Path) -> None:
    """Copy a file and its times: the copy is there as a whole or not at all.

    Raises:
        OSError: it can't be read or written, as on a full disk.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        shutil.copy2(path, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # a disk may turn out to be full only now
        temporary.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
