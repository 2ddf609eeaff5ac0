"""Spaced repetition in boxes (Leitner 1972): what was answered right comes back ever later, what was missed at once.

A question starts in box 1. A right answer, given when it was due, moves it up one box; a wrong one moves it back to
box 1. A question in box b is due again DAYS[b] days after it got there. A right answer before the time changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from grader.progress.history import Event

DAYS = {1: 0, 2: 1, 3: 3, 4: 7, 5: 16, 6: 35}
Key = tuple[str, str]  # an exercise's stem and a question's name


@dataclass(frozen=True)
class Place:
    """The box that a question is in, and since when."""

    box: int
    since: datetime

    def due(self, now: datetime) -> bool:
        """Return whether it should be asked. A clock that was set back makes nothing wait for longer."""
        return now >= self.since + timedelta(days=DAYS[self.box]) or now < self.since


def places(events: Iterable[Event]) -> dict[Key, Place]:
    """Return where each question that was ever answered stands, from the history in order."""
    found: dict[Key, Place] = {}
    for event in events:
        if event.what != "answered":
            continue
        key = (event.ex, event.data["question"])
        place = found.get(key)
        if not event.data["right"]:
            found[key] = Place(1, event.at)
        elif place is None or place.due(event.at):
            found[key] = Place(min(place.box + 1 if place else 2, max(DAYS)), event.at)
    return found


def choose(keys: Sequence[Key], known: dict[Key, Place], count: int, now: datetime | None = None) -> list[Key]:
    """Which questions to ask: those that are due, longest first; then new ones in order; then what is due next."""
    moment = now or datetime.now(UTC)
    old = sorted((key for key in keys if key in known), key=lambda key: _due_at(known[key]))
    due = [key for key in old if known[key].due(moment)]
    new = [key for key in keys if key not in known]
    later = [key for key in old if not known[key].due(moment)]
    return [*due, *new, *later][:count]


def _due_at(place: Place) -> datetime:
    return place.since + timedelta(days=DAYS[place.box])
