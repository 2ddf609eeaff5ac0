"""What a sandbox is given: the modules that it needs, as text, and the names of the libraries that it may import.

A module that goes into the sandbox imports nothing of the grader but others of this list (a test sees to it).
"""

from __future__ import annotations

import json
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from grader.files import ROOT

MODULES = (  # each one after those that it imports
    "grader.errors",
    "grader.probing",
    "grader.probing.random",
    "grader.probing.observation",
    "grader.probing.assembly",
    "grader.probing.prints",
    "grader.probing.outcome",
    "grader.checks",
    "grader.sandbox",
    "grader.sandbox.inside",
    "grader.sandbox.inside.syscalls",
    "grader.sandbox.inside.linux",
    "grader.sandbox.inside.landlock",
    "grader.sandbox.inside.seccomp",
    "grader.sandbox.inside.limits",
    "grader.sandbox.inside.wire",
    "grader.sandbox.inside.shortcuts",
    "grader.sandbox.inside.child",
    "grader.sandbox.inside.server",
)
LIBRARIES = ("torch", "numpy", "safetensors")  # with all that they require
SERVER = "grader.sandbox.inside.server"
LONE_CHILD = "grader.sandbox.inside.child"


@dataclass(frozen=True)
class Libraries:
    """What of the installed packages is there in a sandbox."""

    folders: tuple[Path, ...]  # where they are installed
    names: tuple[str, ...]  # the top-level modules that can be imported
    paths: tuple[Path, ...]  # the files and folders that can be read


def boot() -> str:
    """The program that unpacks a parcel."""
    return module_file("grader.sandbox.inside.boot").read_text(encoding="utf-8")


def parcel(main: str, **options: Any) -> bytes:
    """Everything a process in the sandbox gets to begin with, for the program of `boot`."""
    found = libraries()
    content = {
        "modules": [("grader", ""), *((name, module_file(name).read_text(encoding="utf-8")) for name in MODULES)],
        "folders": [str(folder) for folder in found.folders],
        "names": found.names,
        "main": main,
        "options": options,
    }
    body = json.dumps(content).encode("ascii")
    return b"%d\n%s" % (len(body), body)


def module_file(name: str) -> Path:
    """The file of one of the grader's modules."""
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def libraries() -> Libraries:
    """PyTorch, NumPy, safetensors and what they require, as they are installed here."""
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


def standard_library() -> tuple[list[Path], list[Path]]:
    """What of the standard library can be read, and which folders can be listed.

    Installed packages can stand in a folder inside it; that one is left out.
    """
    readable: list[Path] = []
    listable: list[Path] = []
    folders = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")}
    folders |= {Path(entry).resolve() for entry in sys.path if Path(entry).name == "lib-dynload"}
    for folder in sorted(folders):
        if any((folder / name).exists() for name in ("site-packages", "dist-packages")):
            listable.append(folder)
            readable += [path for path in sorted(folder.iterdir()) if path.name[-9:] != "-packages"]
        else:
            readable.append(folder)
    return readable, listable
