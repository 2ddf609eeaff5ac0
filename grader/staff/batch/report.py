"""The class report: one HTML page with the scores, the hardest checks, shared misconceptions and look-alikes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from grader.content.syllabus import Entry
from grader.files import write_atomically
from grader.results import CheckResult, WrongTurn
from grader.staff.batch.record import Record
from grader.staff.batch.run import Batch
from grader.staff.lookalikes.groups import Group

BINS = 10
HARDEST = 15


@dataclass(frozen=True)
class Bar:
    """One bar of a chart: what it stands for, how many, and its share of the longest."""

    label: str
    count: int
    share: float


def write_report(
    records: Sequence[Record], entries: Sequence[Entry], batch: Batch, alike: Sequence[tuple[Group, str]]
) -> None:
    """Write `report.html`, a page that needs no other file but those of the look-alikes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("report.html.jinja").render(
        terms=batch.terms,
        records=records,
        graded=[record for record in records if record.result is not None],
        isolation=sorted({record.result.isolation for record in records if record.result is not None}),
        histogram=histogram(records),
        middle=middle(records),
        exercises=[_exercise(records, entry) for entry in entries],
        hardest=hardest(records),
        misconceptions=misconceptions(records),
        alike=alike,
        left_out=batch.folder.left_out,
        gone=batch.standing.gone,
    )
    write_atomically(batch.out / "report.html", page, private=True)


def histogram(records: Iterable[Record]) -> list[Bar]:
    """Return how many students have which share of the points."""
    counts = [0] * BINS
    for points, most in _points(records):
        counts[min(BINS - 1, int(BINS * points / most))] += 1
    labels = [f"{100 * i // BINS} to {100 * (i + 1) // BINS} %" for i in range(BINS)]
    longest = max(counts) or 1
    return [Bar(label, count, count / longest) for label, count in zip(labels, counts, strict=True)]


def middle(records: Iterable[Record]) -> float:
    """The median share of the points."""
    shares = [points / most for points, most in _points(records)]
    return median(shares) if shares else 0.0


def hardest(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The checks that the smallest share of those who tried them pass."""
    tried: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    says: dict[str, str] = {}
    for check in _checks(records):
        if check.status not in ("todo", "blocked"):
            says[check.id] = check.says
            tried[check.id] += 1
            passed[check.id] += check.status == "pass"
    rows: list[dict[str, Any]] = [
        {"id": id, "says": says[id], "tried": tried[id], "passed": passed[id], "share": passed[id] / tried[id]}
        for id in tried
        if passed[id] < tried[id]
    ]
    return sorted(rows, key=lambda row: (row["share"], -row["tried"], row["id"]))[:HARDEST]


def misconceptions(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The misconceptions that were named, by how many students share them."""
    holders: dict[tuple[str, str], set[str]] = {}
    turns: dict[tuple[str, str], WrongTurn] = {}
    for record in records:
        for check in _checks([record]):
            for turn in check.misconception.of if check.misconception else ():
                key = (check.id.partition("::")[0], turn.id)
                holders.setdefault(key, set()).add(record.student)
                turns[key] = turn
    rows: list[dict[str, Any]] = [
        {"stem": key[0], "turn": turns[key], "count": len(holders[key]), "students": sorted(holders[key])}
        for key in holders
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["stem"], row["turn"].id))


def _exercise(records: Sequence[Record], entry: Entry) -> dict[str, Any]:
    results = [
        exercise
        for record in records
        if record.result is not None
        for exercise in record.result.exercises
        if exercise.stem == entry.stem
    ]
    points = [result.points for result in results]
    return {
        "label": entry.label,
        "title": entry.title,
        "begun": sum(result.status != "todo" for result in results),
        "passed": sum(result.status == "pass" for result in results),
        "mean": sum(points) / len(points) if points else 0.0,
        "most": results[0].max_points if results else 0,
    }


def _points(records: Iterable[Record]) -> Iterable[tuple[int, int]]:
    """The points of each student who was graded, and of how many."""
    return [(record.result.points, record.result.max_points) for record in records if record.result is not None]


def _checks(records: Iterable[Record]) -> Iterable[CheckResult]:
    return [
        check
        for record in records
        if record.result is not None
        for exercise in record.result.exercises
        for check in exercise.checks
    ]
