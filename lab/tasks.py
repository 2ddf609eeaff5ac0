"""Every task, by its name."""

from __future__ import annotations

from typing import Any

from lab.errors import LabError
from lab.reversal import ReverseTask
from lab.runs import Run
from lab.task import Task
from lab.text import TextTask

TASKS: dict[str, type[Task[Any]]] = {task.name: task for task in (TextTask, ReverseTask)}


def task_of(run: Run) -> type[Task[Any]]:
    """Return what a run is about.

    Raises:
        LabError: this lab knows no such task.
    """
    if run.task not in TASKS:
        raise LabError(f"{run.folder} is about {run.task!r}; this lab knows {', '.join(TASKS)}: choose another run")
    return TASKS[run.task]
