"""Which files are saved: events say when to look, and what has changed is found by looking.

So nothing depends on what a system's events say, nor on the clock: a file has changed when its size, its time or its
place on the disk is another. Where no events arrive (a network drive, a container, WSL), looking often does it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from watchfiles import watch

from grader.learning.watch.events import Crash, Event, Saved, Trouble

Mark = tuple[int, int, int]  # what tells that a file is another one: time in ns, size, inode

LOOK_MS = 500  # look at least this often, events or not
POLL_MS = 200  # the same, where no events arrive
MISSED = 2  # saves in a row that no event told of
SETTLE = 0.01  # seconds in which a save has to come to rest
NO_EVENTS = "Saves are not reported here (a network drive, a container, WSL?): looking 5 times a second instead."


class Saves:
    """Watches a folder's Python files in a thread of its own and reports what was saved."""

    def __init__(self, folder: Path, report: Callable[[Event], None], poll: bool = False) -> None:
        self.folder = folder
        self.poll = poll
        self._report = report
        self._stop = threading.Event()
        self._known = self.look()
        self._missed = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Saves:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=2)

    def look(self) -> dict[str, Mark]:
        """The files as they are now."""
        marks = {}
        try:
            for path in self.folder.glob("*.py"):
                try:
                    stat = path.stat()
                except OSError:  # deleted just now, or a link to nowhere
                    continue
                marks[path.stem] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            return {}
        return marks

    def changed(self) -> frozenset[str]:
        """The files that were saved, created or deleted since the last call."""
        now = self.look()
        while now != self._known:  # a save may still be going on
            self._stop.wait(SETTLE)
            again = self.look()
            if again == now:
                break
            now = again
        found = {stem for stem in now.keys() | self._known.keys() if now.get(stem) != self._known.get(stem)}
        self._known = now
        return frozenset(found)

    def _run(self) -> None:
        try:
            for event in self._wakeups():
                stems = self.changed()
                if event:
                    self._missed = 0
                elif stems:
                    self._missed += 1
                if stems:
                    self._report(Saved(stems))
        except BaseException as error:
            self._report(Crash(error))

    def _wakeups(self) -> Iterator[bool]:
        """Yield when to look: True after an event, False since it is time."""
        if not self.poll:
            try:
                for changes in watch(
                    self.folder,
                    watch_filter=None,
                    debounce=100,
                    step=5,
                    rust_timeout=LOOK_MS,
                    yield_on_timeout=True,
                    recursive=False,
                    raise_interrupt=False,
                    stop_event=self._stop,
                ):
                    yield bool(changes)
                    if self._missed >= MISSED:
                        break
            except (OSError, RuntimeError):  # too many watches, or the folder is gone
                pass
            if not self._stop.is_set():
                self._report(Trouble(NO_EVENTS))
        while not self._stop.wait(POLL_MS / 1000):
            yield False
