"""What happens during a watch, and the one queue through which all of it reaches the loop."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
from dataclasses import dataclass

from grader.results import ExerciseResult


@dataclass(frozen=True)
class Saved:
    """Files were saved, created or deleted: their stems."""

    stems: frozenset[str]


@dataclass(frozen=True)
class Graded:
    """An exercise was graded; None if nothing that decides its result has changed since it last was."""

    stem: str
    result: ExerciseResult | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Begin:
    """The exercise to begin with was found."""

    stem: str


@dataclass(frozen=True)
class Dropped:
    """Some work was interrupted: `stem` was being graded, or the exercise to begin with was looked for."""

    stem: str = ""


@dataclass(frozen=True)
class Trouble:
    """Something went wrong that a learner should know; the watch goes on. `stem` was being graded, if any was."""

    message: str
    stem: str = ""


@dataclass(frozen=True)
class Noticed:
    """Something is known of an exercise while it is still being graded."""

    stem: str
    message: str


@dataclass(frozen=True)
class Crash:
    """A thread of the watch died of an error of ours."""

    error: BaseException


@dataclass(frozen=True)
class Key:
    """A key was pressed."""

    char: str


@dataclass(frozen=True)
class Hangup:
    """The terminal is gone."""


Event = Saved | Graded | Begin | Dropped | Trouble | Noticed | Crash | Key | Hangup


class Inbox:
    """A queue that can be waited for together with a terminal: `wake` is readable while something is in it."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.wake, self._waker = os.pipe()
        if sys.platform != "win32":
            os.set_blocking(self.wake, False)
            os.set_blocking(self._waker, False)

    def put(self, event: Event) -> None:
        """Add an event, from any thread."""
        self._events.put(event)
        if sys.platform != "win32":
            with contextlib.suppress(BlockingIOError):  # full: it is readable anyway
                os.write(self._waker, b".")

    def get(self, timeout: float) -> Event | None:
        """The next event; None if there is none within `timeout` seconds."""
        try:
            event = self._events.get(timeout=timeout) if timeout > 0 else self._events.get_nowait()
        except queue.Empty:
            return None
        return event

    def hush(self) -> None:
        """Empty `wake`, before the queue is looked at."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.wake, 512):
                pass
