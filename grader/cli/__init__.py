"""The command line: python -m grader ... Each module here is a family of commands; importing it adds them to `main`."""

import importlib
import pkgutil

from grader.cli.app import main

__all__ = ["main"]

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
