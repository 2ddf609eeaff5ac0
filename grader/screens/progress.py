"""The progress screen: a line for each exercise, a bar over all, and what to do next."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.text import Text

from grader.content.syllabus import Entry, load
from grader.files import shown
from grader.progress.standing import Standing, State, complete, following
from grader.screens.console import Printer

MARKS: dict[State, tuple[str, str, str, str]] = {  # state -> (mark, the same in ASCII, word, style)
    "todo": ("○", ".", "to do", "dim"),
    "started": ("◐", "-", "started", "yellow"),
    "passing": ("✓", "+", "passing", "green"),
    "stale": ("↻", "!", "stale", "magenta"),
}
BAR = 40


def show(standings: Sequence[Standing], plain: bool = False, named: Collection[str] | None = None) -> None:
    """Print where a learner stands.

    Args:
        standings: of all exercises.
        plain: without colour, in ASCII.
        named: the stems to list; None for all. The last lines are about all of them in any case.
    """
    out = Printer(plain)
    entries = {entry.stem: entry for entry in load()}
    title = max(len(entry.title) for entry in entries.values())
    head = f"    {'':<6}{'':<{title}}  {'state':<9}{'points':>9}{'time':>11}"
    beside = out.width >= len(head) + 8  # else hints are told where there were some
    if out.width >= len(head):
        out.line(f"{head}{'hints':>8}" if beside else head, style="dim")
    for standing in standings:
        if named is None or standing.stem in named:
            entry, notes = entries[standing.stem], _notes(standing, beside)
            if out.width < len(head):
                out.line(_mark(standing, out.ascii).append(f" {entry.label}  {entry.title}"))
                points = f"{standing.points} of {standing.max_points}"
                time = clock(standing.seconds) if standing.seconds else ""
                words = (MARKS[standing.state][2], points, time, notes)
                out.line(f"          {', '.join(filter(None, words))}", style="dim")
                continue
            row = _row(standing, entry, title, out.ascii)
            if beside:
                row.append(f"{standing.hints or '-':>8}", style="dim")
            out.line(row.append(f"   {notes}" if notes else "", style="dim"))
    out.line()
    out.line(_total(standings, out))
    for line in _stale(standings, entries):
        out.line(line, style="magenta")
    out.line(_next(standings, entries))


def clock(seconds: float) -> str:
    """A length of time in words: `3 min`, `1 h 05 min`, `40 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _mark(standing: Standing, ascii_only: bool) -> Text:
    mark, plain_mark, _, style = MARKS[standing.state]
    return Text("  ").append(plain_mark if ascii_only else mark, style=style)


def _row(standing: Standing, entry: Entry, title: int, ascii_only: bool) -> Text:
    """A line up to the time."""
    line = _mark(standing, ascii_only)
    line.append(f" {entry.label:<6}{entry.title:<{title}}  {MARKS[standing.state][2]:<9}")
    line.append(f"{standing.points:>3} of {standing.max_points:<2}", style="bold" if standing.points else "dim")
    return line.append(f"{clock(standing.seconds) if standing.seconds else '-':>11}", style="dim")


def _notes(standing: Standing, beside: bool) -> str:
    """Say what else there is to know; the hints, too, where they have no column."""
    hints = f"{standing.hints} {'hint' if standing.hints == 1 else 'hints'}"
    notes = {
        hints: standing.hints and not beside,
        f"by heart in {clock(standing.recalled or 0)}": standing.recalled is not None,
        "bonus": standing.bonus and beside,
        "solution seen": standing.gave_up,
    }
    return ", ".join(note for note, told in notes.items() if told)


def _total(standings: Sequence[Standing], out: Printer) -> Text:
    course, bonus = ([s for s in standings if s.bonus is kind] for kind in (False, True))
    points, most = sum(s.points for s in course), sum(s.max_points for s in course)
    share = points / most if most else 0.0
    line = Text("  ")
    if not out.plain:
        line.append_text(out.bar(share, BAR)).append("  ")
    line.append(f"{_passing(course)} of {len(course)} exercises", style="bold")
    line.append(f", {points} of {most} points ({int(100 * share)} %)")
    if bonus:
        points, most = sum(s.points for s in bonus), sum(s.max_points for s in bonus)
        line.append(f"; bonus: {_passing(bonus)} of {len(bonus)}, {points} of {most} points", style="dim")
    return line


def _passing(standings: Sequence[Standing]) -> int:
    return sum(standing.state == "passing" for standing in standings)


def _stale(standings: Sequence[Standing], entries: dict[str, Entry]) -> list[str]:
    stale = [standing for standing in standings if standing.state == "stale"]
    if not stale:
        return []
    lines = [f"  {entries[standing.stem].label} is stale: {standing.because}." for standing in stale]
    again = " ".join(entries[standing.stem].label[2:] for standing in stale)
    return [*lines, f'  To grade {"it" if len(stale) == 1 else "them"} again: make test EX="{again}"']


def _next(standings: Sequence[Standing], entries: dict[str, Entry]) -> str:
    standing = following(standings)
    train = "Train what you built: make train. Is it in your head, too? make recall EX=gpt"
    if standing is None:
        return f"  Everything passes. {train}"
    entry = entries[standing.stem]
    number = entry.label[2:]
    path = shown(str(entry.stub))
    if standing.state == "stale":
        line = f"  Next: {entry.label}, {entry.title}: make test EX={number}"
    else:
        begin = "begin" if standing.state == "todo" else "go on"
        what = "A bonus" if entry.bonus else "Next"
        line = f"  {what}: {begin} with {path} (then make test EX={number}; when stuck, make hint EX={number})"
    return f"  The course is complete. {train}\n{line}" if complete(standings) else line
