"""What a sandbox is given: the modules that it needs, as text, and the names of the libraries that it may import.

A module that goes into the sandbox imports nothing of the grader but others of this list (a test sees to it).
"""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path
from typing import Any

from grader.files import ROOT
from grader.workers.libraries import libraries

MODULES = (  # each one after those that it imports
    "grader.errors",
    "grader.probing",
    "grader.probing.trees",
    "grader.probing.random",
    "grader.probing.observation",
    "grader.probing.assembly",
    "grader.probing.prints",
    "grader.probing.stopwatch",
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
    "grader.sandbox.inside.absent",
    "grader.sandbox.inside.nowhere",
    "grader.sandbox.inside.shortcuts",
    "grader.sandbox.inside.child",
    "grader.sandbox.inside.server",
)
SERVER = "grader.sandbox.inside.server"
LONE_CHILD = "grader.sandbox.inside.child"


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


def standard_library() -> tuple[list[Path], list[Path]]:
    """Return what of the standard library can be read, and which folders can be listed.

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
