"""What code under test writes to files goes nowhere: whoever keeps a log loses no points by it, and keeps nothing.

No wall: Landlock refuses to write, whatever stands here. A log, a picture or a checkpoint that works at home is taken
for written, so that the same code gets the same verdict.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
from functools import wraps
from typing import Any


def write_nowhere() -> None:
    """From now on, opening a file to write it opens the null device where the system refuses, in this process."""
    builtins.open = io.open = _open  # pathlib and others use that of io
    os.mkdir = _mkdir
    torch = sys.modules.get("torch")
    if torch is not None:
        vars(torch)["save"] = _save(vars(torch)["save"])


_real_open, _real_mkdir = io.open, os.mkdir


@wraps(_real_open)
def _open(file: Any, mode: str = "r", *options: Any, **named: Any) -> Any:
    try:
        return _real_open(file, mode, *options, **named)
    except OSError:
        if isinstance(file, int) or not set(mode) & set("wax"):
            raise
        return _real_open(os.devnull, mode.replace("x", "w"), *options, **named)


@wraps(_real_mkdir)
def _mkdir(*place: Any, **named: Any) -> None:
    try:
        _real_mkdir(*place, **named)
    except PermissionError:
        return


def _save(save: Any) -> Any:
    @wraps(save)
    def saved(obj: Any, f: Any, *options: Any, **named: Any) -> None:
        try:
            save(obj, f, *options, **named)
        except (OSError, RuntimeError):  # torch opens a file by its own means, and says so by either
            if not isinstance(f, str | os.PathLike):
                raise
            save(obj, io.BytesIO(), *options, **named)

    return saved
