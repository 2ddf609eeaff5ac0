"""Writing the map of a run into its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lab.files import write_atomically
from lab.map.pack import pack
from lab.map.page import render
from lab.runs import Run
from lab.task import Task


def write_map(task: Task[Any], model: nn.Module, run: Run, state: Mapping[str, Any]) -> Path:
    """Write `map.html` into a run's folder.

    Args:
        task: what the run is about.
        model: its model, trained; it comes back in evaluation mode and on the CPU.
        run: the run.
        state: its checkpoint.

    Raises:
        LabError: the page can't show a model of this kind, or the file can't be written.
    """
    write_atomically(run.map, render(pack(task, model, run, state)))
    return run.map
