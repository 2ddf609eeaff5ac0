"""Every task, by its name and its model."""

from __future__ import annotations

from typing import Any

from lab.errors import LabError
from lab.llama import LlamaTask
from lab.reversal import ReverseTask
from lab.runs import Run
from lab.task import Task
from lab.text import TextTask

TEXT: dict[str, type[TextTask]] = {task.architecture: task for task in (TextTask, LlamaTask)}
ALL: list[type[Task[Any]]] = [*TEXT.values(), ReverseTask]
TASKS = {(task.name, task.architecture): task for task in ALL}


def task_of(run: Run) -> type[Task[Any]]:
    """Return what a run is about.

    Raises:
        LabError: this lab knows no such task.
    """
    kind = run.task, run.architecture
    if kind not in TASKS:
        about, *known = (" ".join(filter(None, words)) for words in (kind, *TASKS))
        raise LabError(f"{run.folder} is about {about!r}; this lab knows {', '.join(known)}: choose another run")
    return TASKS[kind]
