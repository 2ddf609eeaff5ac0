"""Single keys from a terminal, on POSIX and on Windows, and the terminal always as it was before."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from grader.learning.watch.events import Event, Hangup, Inbox, Key

try:
    import termios
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]

TICK = 0.03  # seconds between two looks where a terminal can't be waited for


class Keys:
    """No keys at all: without a terminal there is only the inbox. The base of the two below."""

    available = False

    def __enter__(self) -> Keys:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Give the terminal to another program."""
        yield

    def next(self, inbox: Inbox, timeout: float) -> Event | None:
        """The next event or key; None if there is none within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:  # in short steps, since Windows does not interrupt a wait for Ctrl-C
            event = inbox.get(max(0.0, min(0.2, deadline - time.monotonic())))
            if event is not None or time.monotonic() >= deadline:
                return event


def open_keys() -> Keys:
    """The keys of the terminal that the program runs in."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return Keys()
    return WindowsKeys() if sys.platform == "win32" else PosixKeys()


class PosixKeys(Keys):
    """A terminal without line editing and echo. Ctrl-C and Ctrl-Z still are signals."""

    available = True

    def __enter__(self) -> Keys:
        self._fd = sys.stdin.fileno()
        self._saved: list[Any] = []  # how the terminal was when it became ours
        self._ours = False
        self._handlers: dict[int, Any] = {}
        if sys.platform != "win32":
            for number, handler in (
                (signal.SIGINT, signal.default_int_handler),  # whoever started us may have had it ignored
                (signal.SIGTSTP, self._suspend),
                (signal.SIGCONT, self._resume),
                (signal.SIGTERM, _leave),
                (signal.SIGHUP, _leave),
            ):
                self._handlers[number] = signal.signal(number, handler)
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._give_back()

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._give_back()
        try:
            yield
        finally:
            self._take()

    def next(self, inbox: Inbox, timeout: float) -> Event | None:
        inbox.hush()
        event = inbox.get(0)
        if event is None:
            self._take()  # a job that runs in the background is not told when it comes to the front
            terminal = [self._fd] if self._ours else []
            ready, _, _ = select.select([inbox.wake, *terminal], [], [], timeout)
            if self._fd in ready:
                return self._read(inbox)
            event = inbox.get(0)
        return event

    def _read(self, inbox: Inbox) -> Event | None:
        try:
            text = os.read(self._fd, 1024).decode("utf-8", "ignore")
        except OSError:
            text = ""
        if not text:
            return Hangup()
        if text.startswith("\x1b"):
            return None  # an arrow or a function key
        for char in text:
            inbox.put(Key(char))
        return inbox.get(0)

    def _in_front(self) -> bool:
        """Return whether the terminal is ours at the moment: a background job that touches it is stopped."""
        if sys.platform == "win32":
            return True
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        return False

    def _take(self) -> None:
        """Make the terminal ours if we are in front, and no longer if we are not."""
        if not self._in_front():
            self._ours = False
        elif not self._ours:
            with contextlib.suppress(termios.error):  # the terminal is gone
                self._saved = termios.tcgetattr(self._fd)
                attributes = termios.tcgetattr(self._fd)
                attributes[3] &= ~(termios.ICANON | termios.ECHO)
                termios.tcsetattr(self._fd, termios.TCSADRAIN, attributes)
                self._ours = True

    def _give_back(self) -> None:
        """Leave the terminal as it was."""
        if self._ours and self._in_front():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)
        self._ours = False

    def _suspend(self, _number: int, _frame: object) -> None:
        """Ctrl-Z: hand the terminal back as it was, stop, and take it again when we go on."""
        if sys.platform != "win32":
            self._give_back()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, self._suspend)

    def _resume(self, _number: int, _frame: object) -> None:
        self._ours = False  # a shell sets it as it likes while we are stopped
        self._take()


class WindowsKeys(Keys):
    """The console of Windows."""

    available = True

    def next(self, inbox: Inbox, timeout: float) -> Event | None:
        if sys.platform == "win32":
            import msvcrt

            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline:
                if msvcrt.kbhit():
                    char = msvcrt.getwch()
                    if char in "\x00\xe0":  # an arrow or a function key: its second half
                        msvcrt.getwch()
                    elif char == "\x03":
                        raise KeyboardInterrupt
                    else:
                        return Key(char)
                event = inbox.get(TICK)
                if event is not None:
                    return event
        return None


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)
