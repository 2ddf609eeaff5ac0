"""Progress: what a learner did (`history`), where that leaves them (`standing`), and how it is shown (`screen`).

Commands that grade the learner's own folder call `record`; others call `note`. Neither ever fails or stops a command:
what could not be kept comes back as lines to be printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from grader.content.stubs import FOLDER
from grader.content.syllabus import load
from grader.errors import GraderError
from grader.files import real
from grader.probing.assembly import Source
from grader.progress.history import Event, History
from grader.progress.standing import Standing, complete, following, prints, sources, survey
from grader.results import ExerciseResult

__all__ = ["Event", "History", "Standing", "complete", "following", "note", "record", "standings", "survey"]


def record(
    results: Iterable[ExerciseResult], exercises: Path, learner: Mapping[str, Source] | None = None
) -> list[str]:
    """Keep what a run of the checks found, if it graded the learner's own folder.

    A result that says nothing new (the same files, the same points) is not kept twice.

    Args:
        results: what came of each exercise.
        exercises: the folder that was graded; any but `exercises/` leaves no trace.
        learner: the sources that were graded, by stem (`Grading.learner`); read from the folder if None.

    Returns:
        Lines for the learner about what could not be kept or had to be mended; usually none.
    """
    results = list(results)
    if not results or real(exercises) != real(FOLDER):
        return []
    entries = {entry.stem: entry for entry in load()}
    learner = sources(exercises) if learner is None else learner
    history = History()
    try:
        last = {event.ex: event.data for event in history.events() if event.what == "graded"}
        new = []
        for result in results:
            data = {
                "status": result.status,
                "points": result.points,
                "max_points": result.max_points,
                "prints": prints(entries[result.stem], learner),
            }
            begun = result.stem in last or result.status != "todo" or result.points > 0
            if begun and last.get(result.stem) != data:
                new.append(Event("graded", result.stem, data))
        history.add(new)
    except GraderError as error:
        return [*history.notes, f"Your progress was not saved: {error}"]
    return history.notes


def note(what: str, ex: str, **data: Any) -> list[str]:
    """Keep that something happened (a hint was shown, a question answered); what went wrong comes back as lines."""
    history = History()
    try:
        history.add([Event(what, ex, data)])
    except GraderError as error:
        return [*history.notes, f"Your progress was not saved: {error}"]
    return history.notes


def standings() -> tuple[list[Standing], list[str]]:
    """Return where the learner stands, and what there is to say about the progress file.

    Raises:
        GraderError: the progress file can't be read.
    """
    history = History()
    return survey(history.events()), history.notes
