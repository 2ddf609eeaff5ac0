"""The first thing that runs in a sandbox's process: it gets every module that it may have as text, and nothing else.

`python -I -S -c` runs this file's text, so that no file of the grader has to be readable. The modules come on stdin, as
one line with a length and as much JSON; they are put into `sys.modules` under the names by which they know each other.
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
from collections.abc import Sequence
from typing import Any, BinaryIO


class SitePackages:
    """Finds the top-level modules that are named, in their folder, and no others that are installed beside them."""

    def __init__(self, folders: list[str], names: list[str]) -> None:
        self.folders = folders
        self.names = frozenset(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is not None or name not in self.names:
            return None
        return importlib.machinery.PathFinder.find_spec(name, self.folders, target)


def receive(stream: BinaryIO) -> dict[str, Any]:
    """Read the parcel: modules (name and text), folders and names of libraries, the main module and its options."""
    return dict(json.loads(stream.read(int(stream.readline()))))


def unpack(parcel: dict[str, Any]) -> None:
    """Make the modules, in their order, each on those before it."""
    sys.dont_write_bytecode = True
    sys.meta_path.append(SitePackages(parcel["folders"], parcel["names"]))
    for name, text in parcel["modules"]:
        module = types.ModuleType(name)
        module.__file__ = f"<{name}>"
        if any(other.startswith(f"{name}.") for other, _ in parcel["modules"]):
            module.__path__ = []
        sys.modules[name] = module
        package, _, short = name.rpartition(".")
        if package:
            setattr(sys.modules[package], short, module)
            module.__package__ = package
        exec(compile(text, f"<{name}>", "exec", dont_inherit=True), module.__dict__)


if __name__ == "__main__":
    parcel = receive(sys.stdin.buffer)
    unpack(parcel)
    sys.modules[parcel["main"]].main(**parcel["options"])
