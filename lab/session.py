"""What the commands do: begin a run, go on with one, show what its model can do."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grader.content.syllabus import Entry
from lab import launch, runs
from lab.console import Screen
from lab.devices import choose_device, repeatable
from lab.errors import LabError
from lab.files import write_atomically, write_json
from lab.loop import Interrupted, run_training
from lab.map.write import write_map
from lab.parallel import joined
from lab.pieces import Pieces, open_pieces
from lab.runs import Run
from lab.task import Outcome, Plan, Request, Result, Task
from lab.tasks import task_of
from lab.training import Training, count, load_weights


def new_run(
    screen: Screen,
    root: Path,
    name: str | None,
    plan: Plan[Result],
    *,
    seed: int,
    device: str,
    exercises: Path | None,
) -> Result:
    """Train from the first step to the last, with the exercises of a folder, or with the reference if it is None.

    Raises:
        LabError: something about the data, the sizes or the exercises is wrong; no run has begun then.
    """
    where = choose_device(device)
    plan.check(where)
    require_sharing(plan.task)
    if plan.note:
        screen.say(plan.note)
    look = announce_grading(screen, exercises)
    with joined(where) as team, ExitStack() as stack:
        run = Run(root, {})
        with team.leader_first():
            pieces = stack.enter_context(open_pieces(exercises, plan.task.exercises, look, plan.task.helpers))
            screen.say(pieces.describe())
            task = plan.begin(pieces, seed, where)
            training = Training(task, task.build_model(), team)
            if team.leads:
                run = runs.create(root, name, plan.label, describe(task, count(training.model)), task.files())
        return _train(screen, run, task, training)


def resume_run(screen: Screen, run: Run, exercises: Path | None, device: str) -> Outcome:
    """Go on where a run was interrupted; its history will be the one that it would have had.

    Raises:
        LabError: there is nothing to go on with, or it no longer fits the exercises.
    """
    state = run.load()
    where = choose_device(device)
    require_sharing(task_of(run))
    with joined(where) as team, ExitStack() as stack:
        with team.leader_first():
            pieces = stack.enter_context(pieces_of(screen, run, exercises))
            task = task_of(run).reopen(pieces, run, where)
            training = Training(task, task.build_model(), team)
            training.restore(state)
        if training.finished:
            screen.say(f"{run.name} is finished: all {training.step:,} steps are done.")
        else:
            screen.say(f"Going on with {run.name} after step {training.step:,} of {training.config.steps:,}.")
        outcome: Outcome = _train(screen, run, task, training)
        return outcome


def require_sharing(task: type[Task[Any]]) -> None:
    """Refuse several processes where a task can't make use of them.

    Raises:
        LabError: it can't.
    """
    if launch.size() > 1 and not task.shares:
        raise LabError(f"the task {task.name} trains in one process: start it without torchrun")


def show_sample(run: Run, exercises: Path | None, request: Request) -> None:
    """Let a run's model do what it has learned, on stdout; which model that is goes to stderr.

    Raises:
        LabError: the run can't be used, or its model can't do anything with the prompt.
    """
    state = run.load()
    screen = Screen(file=sys.stderr)
    with pieces_of(screen, run, exercises) as pieces:
        task = task_of(run).reopen(pieces, run, choose_device("cpu"))
        model = task.build_model()
        load_weights(model, state)
        task.show(model, run, state["step"], request, screen)


def draw_map(screen: Screen, run: Run, exercises: Path | None) -> Path:
    """Write the map of a run that is there already, from the pieces that it was trained with.

    Raises:
        LabError: the run can't be used, or the page can't show its model.
    """
    state = run.load()
    with pieces_of(screen, run, exercises) as pieces:
        task = task_of(run).reopen(pieces, run, choose_device("cpu"))
        model = task.build_model()
        load_weights(model, state)
        return write_map(task, model, run, state)


@contextmanager
def pieces_of(screen: Screen, run: Run, exercises: Path | None) -> Iterator[Pieces]:
    """The pieces for a run that is there already: those that it began with, unless another folder is named."""
    about = run.config["pieces"]
    if exercises is None and about["exercises"] is not None:
        exercises = runs.ROOT / about["exercises"]
    look = announce_grading(screen, exercises)
    task = task_of(run)
    with open_pieces(exercises, task.exercises, look, task.helpers) as pieces:
        screen.say(pieces.describe())
        if sorted(pieces.borrowed) != sorted(about["borrowed"]):
            screen.say(f"When the run began, it borrowed other ones: {', '.join(about['borrowed']) or 'none'}.")
        yield pieces


def announce_grading(screen: Screen, exercises: Path | None) -> Callable[[Entry], None]:
    """Say what takes long; returns what says it of each exercise."""
    if exercises is not None:
        screen.say("Looking which of your exercises pass (seconds if they were graded before, else up to a minute) ...")
    return lambda entry: screen.say(f"  grading {entry.label} {entry.title} ...")


def describe(task: Task[Any], parameters: int) -> dict[str, Any]:
    """Return what config.json says: all that it takes to do the run again, and how large its model is."""
    pieces = task.pieces
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": task.name,
        **task.describe(),
        "parameters": parameters,
        "device": str(task.device),
        "pieces": {
            "exercises": runs.relative_to_root(pieces.exercises) if pieces.exercises is not None else None,
            "borrowed": list(pieces.borrowed),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _train(screen: Screen, run: Run, task: Task[Result], training: Training) -> Result:
    team = training.team
    screen.say(
        f"Run {run.name}: {task.introduction()}\n"
        f"{count(training.model):,} parameters, {training.config.steps:,} steps of {task.tokens_per_step:,} tokens, "
        f"on {training.device}{f', in {team.size} processes' if team.size > 1 else ''}."
    )
    name = team.told(run.name)
    try:
        with repeatable(training.device), team.watched(name):
            run_training(training, run, screen)
    except Interrupted as stop:
        screen.say(
            f"Stopped after step {stop.step:,} of {training.config.steps:,}; "
            f"everything is saved in {runs.shown(run.folder)}.\n"
            f"Go on with: make train RESUME=1   (python -m lab train --resume {run.name})"
        )
        sys.exit(128 + stop.signum)
    except KeyboardInterrupt:
        screen.say(
            f"Interrupted. The last checkpoint is in {runs.shown(run.folder)}: make train RESUME=1 goes on from there."
        )
        raise
    if not team.leads:
        sys.exit(0)
    outcome = task.finish(training.model, run)
    write_atomically(run.folder / "sample.txt", outcome.sample)
    write_json(run.folder / "results.json", outcome.results())
    try:
        write_map(task, training.model, run, training.state())
    except LabError as error:  # a model of another kind; everything else is there
        screen.say(f"There is no map of this run: {error}")
    return outcome
