"""The list of the exercises: a line for each where the terminal is wide enough, and else two."""

from __future__ import annotations

from grader.content.edition import part
from grader.content.suite import checks_of, withheld
from grader.content.syllabus import Entry, load
from grader.screens.console import Printer


def show(plain: bool = False) -> None:
    """Print the exercises by part: their points and checks, how long each takes, and how steep it is."""
    out, entries = Printer(plain), load()
    title = max(len(entry.title) for entry in entries)
    rows = [(entry, *_points_and_checks(entry)) for entry in entries]
    lines = [f"  {e.label}  {e.title:<{title}}  {points}  {checks:<21}  {e.effort}" for e, points, checks in rows]
    wide = max(map(len, lines)) <= out.width
    part_of: str | None = None
    for (entry, points, checks), line in zip(rows, lines, strict=True):
        if entry.part != part_of:
            part_of = entry.part
            out.line(f"{part_of} (a bonus)" if entry.bonus else part_of, style="bold")
        if wide:
            out.line(line.rstrip())
        else:
            out.line(f"  {entry.label}  {entry.title}")
            out.line(f"        {', '.join(filter(None, (points.strip(), checks, entry.effort)))}", style="dim")
    absent = any(withheld(entry) for entry in entries)
    out.line()
    out.block(
        "A hidden check counts like any other and does not show what it puts in, so that code is written for the "
        f"docstring and not for an example.{' Those of this copy run when your work is graded.' if absent else ''}",
        0,
    )
    out.block("The times are estimates, made from the length of lesson and code. Take yours.", 0)


def _points_and_checks(entry: Entry) -> tuple[str, str]:
    infos, released, away = checks_of(entry.suite), part(entry.stem), withheld(entry)
    hidden = sum(info.hidden for info in infos) + away
    points = sum(info.points for info in infos) if released is None else released.points
    return f"{points:>3} points", f"{len(infos) + away} checks, {hidden} hidden"
