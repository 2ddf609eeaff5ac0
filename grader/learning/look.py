"""Looking: an exercise's experiment, run on the learner's own code, and the pictures that it draws (`make look`)."""

from __future__ import annotations

import random
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from grader.content import stubs
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT, shown
from grader.grading import Grading, built_on
from grader.nb.content import Experiment, content
from grader.probing.assembly import Assembly, unqualified

FOLDER = ROOT / "pictures"


@dataclass(frozen=True)
class Look:
    """What came of an experiment."""

    experiment: Experiment
    pictures: tuple[Path, ...]
    borrowed: tuple[str, ...]  # the stems of earlier exercises that are the reference's


def look(entry: Entry, exercises: Path, folder: Path = FOLDER) -> Look:
    """Run an exercise's experiment on the code in a folder and write its pictures; what it prints is printed.

    Earlier exercises that do not pass are the reference's, where that is at hand.

    Args:
        entry: the exercise.
        exercises: the folder with the learner's files.
        folder: where the pictures go; one that is there is replaced.

    Raises:
        GraderError: the exercise has no experiment, is not written yet, waits for an earlier one, or fails.
    """
    experiment = content(entry).experiment
    if experiment is None:
        raise GraderError(f"{entry.label} has no experiment to look at.")
    with Grading(exercises) as grading:
        if entry.stem in grading.unreadable:
            raise GraderError(grading.unreadable[entry.stem])
        own = grading.learner.get(entry.stem)
        if own is None or stubs.is_untouched(entry, own.text):
            path = shown(str(exercises / entry.stub.name))
            raise GraderError(f"Nothing is written in {path} yet. Write it, and look again.")
        chosen = grading.chosen(entry)
        if chosen.missing:
            raise GraderError(built_on(entry, chosen.missing))
        with Assembly(chosen.sources, more=grading.earlier(entry)) as assembly:
            pictures = _run(experiment, entry, assembly, folder)
    return Look(experiment, pictures, tuple(chosen.borrowed))


def _run(experiment: Experiment, entry: Entry, assembly: Assembly, folder: Path) -> tuple[Path, ...]:
    code = compile(experiment.code, f"<the experiment of {entry.label}>", "exec")
    _seed()
    with _figures() as figures:
        try:
            exec(code, {"check": SimpleNamespace(mine=lambda: assembly.exercise(entry.stem))})
        except (Exception, SystemExit) as error:
            raise GraderError(_told(error, entry, assembly)) from error
        return tuple(_write(figure, folder / _name(entry, number)) for number, figure in enumerate(figures(), start=1))


def _seed() -> None:
    """Seed every global generator, so that the same code always draws the same picture."""
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@contextmanager
def _figures() -> Iterator[Callable[[], list[Any]]]:
    """Draw without a display and in matplotlib's own style, whatever else is set; gives what lists the open figures."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    try:
        with plt.style.context("default"):
            yield lambda: [plt.figure(number) for number in plt.get_fignums()]
    finally:
        plt.close("all")


def _name(entry: Entry, number: int) -> str:
    return f"{entry.stem}.png" if number == 1 else f"{entry.stem}-{number}.png"


def _write(figure: Any, path: Path) -> Path:
    part = path.with_name(f".{secrets.token_hex(4)}.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(part, dpi=120)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise GraderError(f"Can't write {path}: {error.strerror or error}.") from None
    return path


def _told(error: BaseException, entry: Entry, assembly: Assembly) -> str:
    """Return what stopped an experiment, with the last line of the learner's own on the way to it."""
    files = {assembly.filename(stem) for stem, source in assembly.sources.items() if source.origin == "learner"}
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    where = f" at {shown(own[-1].filename)}:{own[-1].lineno}" if own else ""
    again = f"make test EX={entry.label[2:]} says more."
    if isinstance(error, NotImplementedError):
        return (
            f"The experiment of {entry.label} needs all of the exercise, and something is still to be written{where}."
        )
    said = unqualified(str(error))
    return (
        f"The experiment of {entry.label} stopped{where}: {type(error).__name__}{f': {said}' if said else ''}. {again}"
    )
