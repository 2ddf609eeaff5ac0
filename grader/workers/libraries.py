"""Which installed libraries code under test may import, here and in the sandbox alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

LIBRARIES = ("torch", "numpy", "safetensors", "matplotlib")  # with all that they require
SPOKEN = "the standard library, NumPy, PyTorch and Matplotlib"


@dataclass(frozen=True)
class Libraries:
    """The installed packages that code under test may use."""

    folders: tuple[Path, ...]  # where they are installed
    names: tuple[str, ...]  # the top-level modules that can be imported
    paths: tuple[Path, ...]  # the files and folders that can be read


@cache
def libraries() -> Libraries:
    """PyTorch, NumPy, safetensors, Matplotlib and what they require, as they are installed here."""
    folders: dict[Path, None] = {}
    entries: dict[Path, None] = {}
    for distribution in _closure(LIBRARIES):
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not top.endswith(".dist-info"):
                folder = Path(str(distribution.locate_file("")))
                folders[folder] = None
                entries[folder / top] = None
    names = sorted({path.name.split(".")[0] for path in entries})
    return Libraries(tuple(folders), tuple(names), tuple(entries))


def _closure(names: tuple[str, ...]) -> Iterator[metadata.Distribution]:
    """The distributions of these names and those that they require (extras are left out)."""
    waiting, seen = list(names), set(names)
    while waiting:
        try:
            distribution = metadata.distribution(waiting.pop())
        except metadata.PackageNotFoundError:
            continue  # required elsewhere: another platform, another version of Python
        yield distribution
        for requirement in distribution.requires or ():
            name = re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()
            if "extra ==" not in requirement and name not in seen:
                seen.add(name)
                waiting.append(name)
