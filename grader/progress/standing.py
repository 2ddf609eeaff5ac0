"""Where a learner stands: each exercise's state, worked out from the history and the files as they are now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from grader.content import stubs
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, load
from grader.errors import SourceUnreadable
from grader.files import digest
from grader.probing.assembly import Source
from grader.progress.history import Event
from grader.written import imported, reached

State = Literal["todo", "started", "passing", "stale"]

PAUSE = timedelta(minutes=15)  # a longer gap between two events is a break, not work


@dataclass(frozen=True)
class Standing:
    """The state of one exercise."""

    stem: str
    bonus: bool
    state: State
    because: str  # why it is stale, or ""
    points: int
    max_points: int
    seconds: int  # of work, estimated from the gaps between events
    hints: int
    gave_up: bool
    recalled: int | None  # the best closed-book time in seconds

    def document(self) -> dict[str, Any]:
        return asdict(self)


def prints(entry: Entry, learner: Mapping[str, Source]) -> dict[str, str]:
    """Short fingerprints of all that decides an exercise's verdict: the learner's files, by stem, and the checks."""
    earlier = list(takewhile(lambda stem: stem != entry.stem, (other.stem for other in load())))
    found = reached([entry.stem], learner.get, lambda source: imported(source.text, earlier))
    texts = {stem: source.text if source is not None else "" for stem, source in sorted(found.items())}
    texts["checks"] = entry.suite.read_text(encoding="utf-8")
    return {name: digest(text)[:10] for name, text in texts.items()}


def sources(folder: Path) -> dict[str, Source]:
    """The learner's files that can be read, by stem."""
    found = {}
    for entry in load():
        try:
            found[entry.stem] = Source.read(folder / entry.stub.name, "learner")
        except (OSError, SourceUnreadable):
            continue
    return found


def survey(events: Sequence[Event], folder: Path = stubs.FOLDER) -> list[Standing]:
    """Return how every exercise of the syllabus stands."""
    learner = sources(folder)
    seconds = working_time(events)
    return [_standing(entry, [e for e in events if e.ex == entry.stem], learner, seconds) for entry in load()]


def working_time(events: Iterable[Event]) -> dict[str, float]:
    """Seconds of work by exercise: the gap before each event counts for it, unless it is a break or goes backwards.

    The events come in the order in which they happened, which the clock, if it was set anew, does not tell.
    """
    spent: dict[str, float] = {}
    last = None
    for event in events:
        gap = timedelta(0) if last is None else event.at - last.at
        worked = timedelta(0) <= gap <= PAUSE
        spent[event.ex] = spent.get(event.ex, 0.0) + (gap.total_seconds() if worked else 0.0)
        last = event
    return spent


def following(standings: Sequence[Standing]) -> Standing | None:
    """The next one: what was begun, then what comes after the last pass, then what was skipped; None if all pass.

    A bonus that was not begun comes after everything else.
    """
    begun = [standing for standing in standings if standing.state in ("started", "stale")]
    last = max((place for place, standing in enumerate(standings) if standing.state == "passing"), default=-1)
    untouched = [standing for standing in [*standings[last + 1 :], *standings[:last]] if standing.state == "todo"]
    return next(iter([*begun, *sorted(untouched, key=lambda standing: standing.bonus)]), None)


def complete(standings: Sequence[Standing]) -> bool:
    """Whether the course is: everything passes that is no bonus."""
    return all(standing.state == "passing" for standing in standings if not standing.bonus)


def _standing(
    entry: Entry, events: Sequence[Event], learner: Mapping[str, Source], seconds: Mapping[str, float]
) -> Standing:
    most = sum(info.points for info in checks_of(entry.suite))
    graded = [event for event in events if event.what == "graded"]
    now = prints(entry, learner)
    current = [event for event in graded if now.items() <= event.data["prints"].items()]
    passes = [event for event in graded if event.data["status"] == "pass"]
    shown = (current or graded)[-1:]
    state: State
    because = ""
    if entry.stem not in learner or stubs.is_untouched(entry, learner[entry.stem].text):
        state, shown = "todo", []
    elif current and current[-1].data["status"] == "pass":
        state = "passing"
    elif passes and not current:
        state, because = "stale", _changed(entry, passes[-1], now)
        shown = passes[-1:]
    else:
        state = "started"
    times = [event.data["seconds"] for event in events if event.what == "recalled" and event.data["seconds"]]
    return Standing(
        stem=entry.stem,
        bonus=entry.bonus,
        state=state,
        because=because,
        points=shown[0].data["points"] if shown else 0,
        max_points=most,
        seconds=round(seconds.get(entry.stem, 0.0)),
        hints=len(hints_taken(events)),
        gave_up=any(event.what == "gave_up" for event in events),
        recalled=min(times, default=None),
    )


def hints_taken(events: Iterable[Event]) -> set[tuple[str, int]]:
    """Return which hints were shown, each once: the name and the tier."""
    return {(str(name), event.data["tier"]) for event in events if event.what == "hint" for name in event.data["names"]}


def _changed(entry: Entry, event: Event, now: Mapping[str, str]) -> str:
    """Return what has changed since an exercise passed, in words."""
    before = event.data["prints"]
    changed = [name for name in now if before.get(name) != now[name]]
    if entry.stem in changed:
        return "you changed it since it passed"
    labels = [name.partition("_")[0] for name in changed if name != "checks" and name in before]
    if labels:
        return f"{', '.join(labels)} changed since it passed"
    return "its checks changed since it passed"
