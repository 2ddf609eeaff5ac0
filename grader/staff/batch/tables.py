"""Tables of a batch: one CSV with a row for each student, one for each exercise of each, one for each check of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from grader.files import write_atomically
from grader.results import ExerciseResult
from grader.staff.batch.record import Record
from grader.staff.words import harmless_cell

Row = Sequence[Any]


def write_tables(records: Sequence[Record], stems: Sequence[str], out: Path) -> list[Path]:
    """Write `students.csv`, `exercises.csv` and `checks.csv`."""
    tables = {
        "students.csv": students(records, stems),
        "exercises.csv": exercises(records),
        "checks.csv": checks(records),
    }
    for name, rows in tables.items():
        write_atomically(out / name, as_csv(rows), private=True)
    return [out / name for name in tables]


def students(records: Iterable[Record], stems: Sequence[str]) -> Iterator[Row]:
    """The points of each student, in all and by exercise. Who could not be graded has a reason instead of points."""
    yield ["student", "points", "max_points", *stems, "problem", "notes"]
    for record in records:
        result = record.result
        points = {} if result is None else {exercise.stem: exercise.points for exercise in result.exercises}
        total, most = (0, "") if result is None else (result.points, result.max_points)
        each = (points.get(stem, 0) for stem in stems)
        yield [record.student, total, most, *each, record.problem, "; ".join(record.notes)]


def exercises(records: Iterable[Record]) -> Iterator[Row]:
    """Each exercise of each student; of who could not be graded one row, with the reason."""
    yield ["student", "exercise", "status", "points", "max_points", "borrowed", "misconceptions", "problem"]
    for record in records:
        for exercise in _exercises(record):
            turns = (turn for check in exercise.checks if check.misconception for turn in check.misconception.of)
            named = " ".join(sorted({turn.id for turn in turns}))
            about = [exercise.status, exercise.points, exercise.max_points, " ".join(exercise.borrowed), named]
            yield [record.student, exercise.stem, *about, ""]
        if record.result is None:
            yield [record.student, "", "not graded", 0, "", "", "", record.problem]


def checks(records: Iterable[Record]) -> Iterator[Row]:
    """Each check of each student, with the submission's own words; one row, with the reason, of who was not graded."""
    yield ["student", "exercise", "check", "hidden", "status", "points", "max_points", "seconds", "message", "words"]
    for record in records:
        for exercise in _exercises(record):
            for check in exercise.checks:
                about = [check.name, check.hidden, check.status, check.points, check.max_points, check.seconds]
                yield [record.student, exercise.stem, *about, check.message, check.words]
        if record.result is None:
            yield [record.student, "", "", "", "not graded", 0, "", "", record.problem, ""]


def as_csv(rows: Iterable[Row]) -> str:
    """Rows as CSV; a cell that a spreadsheet would take for a formula is disarmed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([harmless_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _exercises(record: Record) -> list[ExerciseResult]:
    return [] if record.result is None else record.result.exercises
