"""Tables of a batch: one CSV with a row for each student, one for each exercise of each, one for each check of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from grader.files import write_atomically
from grader.staff.batch.run import Record

Row = Sequence[Any]


def write_tables(records: Sequence[Record], stems: Sequence[str], out: Path) -> list[Path]:
    """Write `students.csv`, `exercises.csv` and `checks.csv`."""
    tables = {
        "students.csv": students(records, stems),
        "exercises.csv": exercises(records),
        "checks.csv": checks(records),
    }
    for name, rows in tables.items():
        write_atomically(out / name, as_csv(rows))
    return [out / name for name in tables]


def students(records: Iterable[Record], stems: Sequence[str]) -> Iterator[Row]:
    """The points of each student, in all and by exercise."""
    yield ["student", "points", "max_points", *stems, "problem", "notes"]
    for record in records:
        result = record["result"] or {"points": 0, "max_points": "", "exercises": []}
        points = {exercise["stem"]: exercise["points"] for exercise in result["exercises"]}
        yield [
            record["student"],
            result["points"],
            result["max_points"],
            *(points.get(stem, 0) for stem in stems),
            record["problem"],
            "; ".join(record["notes"]),
        ]


def exercises(records: Iterable[Record]) -> Iterator[Row]:
    """Each exercise of each student."""
    yield ["student", "exercise", "status", "points", "max_points", "borrowed", "misconceptions"]
    for record, exercise in _exercises(records):
        named = {turn["id"] for check in exercise["checks"] for turn in (check["misconception"] or {"of": []})["of"]}
        yield [
            record["student"],
            exercise["stem"],
            exercise["status"],
            exercise["points"],
            exercise["max_points"],
            " ".join(exercise["borrowed"]),
            " ".join(sorted(named)),
        ]


def checks(records: Iterable[Record]) -> Iterator[Row]:
    """Each check of each student."""
    yield ["student", "exercise", "check", "hidden", "status", "points", "max_points", "seconds", "message"]
    for record, exercise in _exercises(records):
        for check in exercise["checks"]:
            yield [
                record["student"],
                exercise["stem"],
                check["id"].partition("::")[2],
                check["hidden"],
                check["status"],
                check["points"],
                check["max_points"],
                check["seconds"],
                check["message"],
            ]


def as_csv(rows: Iterable[Row]) -> str:
    """Rows as CSV; a cell that a spreadsheet would take for a formula is disarmed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_disarmed(cell) for cell in row] for row in rows)
    return text.getvalue()


def _disarmed(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _exercises(records: Iterable[Record]) -> Iterator[tuple[Record, dict[str, Any]]]:
    for record in records:
        if record["result"] is not None:
            for exercise in record["result"]["exercises"]:
                yield record, exercise
