"""The history of a learner's work: one JSON file, one event a line, that only ever grows.

Two files are merged by taking all events of both, so two processes or two machines can't overwrite each other. What
orders them is `n`: the clock in milliseconds, or one more than the last event's where the clock stands still or was set
back (a hybrid logical clock: Kulkarni et al. 2014). So a later event of one machine never sorts before an earlier one.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from grader.errors import GraderError
from grader.files import ROOT, back_up, real, write_atomically

SCHEMA = 1
PATIENCE = 10.0  # seconds to wait for another process that is writing
ENTRIES: dict[str, dict[str, type | tuple[type, ...]]] = {  # what each kind of event must say
    "graded": {"status": str, "points": int, "max_points": int, "prints": dict},
    "hint": {"names": list, "tier": int},
    "gave_up": {},
    "reset": {},
    "recall_began": {},
    "recalled": {"seconds": (int, type(None))},
    "answered": {"question": str, "right": bool},
}


@dataclass(frozen=True)
class Event:
    """One thing that happened: what, to which exercise, when, and what is to be known of it."""

    what: str
    ex: str
    data: Mapping[str, Any] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    n: int = 0  # its place in the order, given when it is added

    def line(self) -> str:
        """The event as one line of JSON."""
        document = {"n": self.n, "id": self.id, "at": self.at.isoformat(), "what": self.what, "ex": self.ex}
        return json.dumps(document | dict(self.data), ensure_ascii=True)

    @classmethod
    def of(cls, document: Any) -> Event:
        """An event from its JSON; entries that this version does not know are kept.

        Raises:
            ValueError: it is none.
        """
        try:
            rest = dict(document)
            n, id_, what, ex = rest.pop("n"), rest.pop("id"), rest.pop("what"), rest.pop("ex")
            at = datetime.fromisoformat(rest.pop("at"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{document!r} is not an event: {error}") from None
        if type(n) is not int or not all(isinstance(text, str) for text in (id_, what, ex)):
            raise ValueError(f"{document!r} is not an event")
        for name, kind in ENTRIES.get(what, {}).items():
            if not isinstance(rest.get(name), kind):
                raise ValueError(f"{document!r}: {name} is not what it should be")
        return cls(what, ex, rest, at if at.tzinfo else at.replace(tzinfo=UTC), id_, n)


class Damaged(GraderError):
    """A progress file can't be read whole; `events` are those that can."""

    def __init__(self, message: str, events: list[Event]) -> None:
        super().__init__(message)
        self.events = events


class Newer(GraderError):
    """A progress file was written by a newer version of the project."""


def default_path() -> Path:
    """Return where progress is kept: progress.json beside the Makefile, or what STUBFORMER_PROGRESS names."""
    named = os.environ.get("STUBFORMER_PROGRESS")
    return Path(named) if named else ROOT / "progress.json"


class History:
    """The events of one file, and what had to be said about reading it (`notes`)."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = real(path or default_path())
        self.notes: list[str] = []

    def events(self) -> list[Event]:
        """All events in order. What can't be read is set aside and the rest kept.

        Raises:
            GraderError: the file was written by a newer version, or can't be opened.
        """
        try:
            return read(self.path)
        except Damaged:
            with self._locked():
                return self._read_or_mend()

    def add(self, events: Iterable[Event]) -> None:
        """Append events: whole or not at all, whatever other processes do meanwhile.

        Raises:
            GraderError: the file can't be written; it is as it was.
        """
        with self._locked():
            known = self._read_or_mend()
            first = max(int(time.time() * 1000), known[-1].n + 1 if known else 0)
            numbered = [replace(event, n=n) for n, event in enumerate(events, start=first)]
            if numbered:
                self._write([*known, *numbered])

    def merge(self, other: Path) -> int:
        """Take in the events of another file, which stays as it is; how many were new.

        Raises:
            GraderError: one of the files can't be read or written.
        """
        if not other.is_file():
            raise GraderError(f"There is no file {other}.")
        try:
            theirs = read(other)
        except Damaged as damage:
            theirs = damage.events
            if not theirs:
                raise GraderError(f"{other} holds no event that can be read, so nothing was merged.") from None
            self.notes.append(f"{damage} What could be read of it ({_count(theirs)}) was merged.")
        with self._locked():
            mine = self._read_or_mend()
            known = {event.id for event in mine}
            new = [event for event in theirs if event.id not in known]
            if new:
                self._write([*mine, *new])
        return len(new)

    def _read_or_mend(self) -> list[Event]:
        try:
            return read(self.path)
        except Damaged as damage:
            try:
                backup = back_up(self.path)
                self._write(damage.events)
            except GraderError as error:
                raise GraderError(f"{damage} It was left as it is: {error}") from None
            self.notes.append(
                f"{damage} What could be read of it ({_count(damage.events)}) was kept; "
                f"the damaged file is now {backup}."
            )
            return damage.events

    def _write(self, events: Iterable[Event]) -> None:
        ordered = sorted({event.id: event for event in events}.values(), key=lambda event: (event.n, event.id))
        lines = ",\n".join(event.line() for event in ordered)
        write_atomically(self.path, f'{{"schema": {SCHEMA}, "events": [\n{lines}\n]}}\n')

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            with FileLock(lock, timeout=PATIENCE):
                yield
        except Timeout:
            raise GraderError(
                f"{self.path} is being written by another process for more than {PATIENCE:g} seconds. Try again."
            ) from None
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise GraderError(f"Can't write {self.path}: {reason}. Is the folder read-only?") from None


def read(path: Path) -> list[Event]:
    """The events of a file, in order; none if there is no file.

    Raises:
        Damaged: it is no progress file, or a part of it is broken.
        Newer: a newer version of the project wrote it.
        GraderError: it can't be opened.
    """
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise GraderError(f"Can't read {path}: {error.strerror or error}.") from None
    try:
        document = json.loads(text)
        schema, listed = document["schema"], document["events"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = "it is empty" if not text.strip() else f"{type(error).__name__}: {error}"
        raise Damaged(f"{path} is damaged ({reason}).", _salvage(text)) from None
    if type(schema) is int and schema > SCHEMA:
        raise Newer(
            f"{path} was written by a newer version of this project (its format is {schema}, this version knows "
            f"{SCHEMA}). It was left as it is. Bring this copy up to date: make update"
        )
    try:
        events = [Event.of(item) for item in listed]
    except (ValueError, TypeError) as error:
        raise Damaged(f"{path} is damaged ({error}).", _salvage(text)) from None
    return sorted({event.id: event for event in events}.values(), key=lambda event: (event.n, event.id))


def _salvage(text: str) -> list[Event]:
    """The events on those lines that can still be read: what is left after half a write, or a merge by hand."""
    found: dict[str, Event] = {}
    for line in text.splitlines():
        try:
            event = Event.of(json.loads(line.strip().rstrip(",")))
        except (ValueError, RecursionError):
            continue
        found[event.id] = event
    return sorted(found.values(), key=lambda event: (event.n, event.id))


def _count(events: list[Event]) -> str:
    return f"{len(events)} event{'' if len(events) == 1 else 's'}"
