"""The judge's side of one process in the sandbox: asked, watched, and ended when it has used up what it may."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from grader.probing.stopwatch import LOOK, RanOut, Rest, generous
from grader.sandbox.inside import wire

Cause = RanOut | Literal["output", "died", "protocol"]

TOP = Path(Path.cwd().anchor)  # the folder that it stands in
GRACE = 1.0  # seconds that a child has to write down where it stands when its time is up
PATIENCE = 60.0  # seconds that a child has to come up
OUTPUT_LIMIT = 2 << 20  # bytes that may come out of it past `print`, which is cut off earlier
TAIL = 64 << 10


@dataclass(frozen=True)
class Allowance:
    """The allowance of one process: seconds of processor time, bytes of memory on top of what it has at the start."""

    cpu: float = 300.0
    memory: int = 1 << 30


class Gone(Exception):
    """The process has ended or was ended: why, how, and what it wrote last."""

    def __init__(self, cause: Cause, code: int, trace: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.code = code
        self.trace = trace


class Handle(Protocol):
    """A hold on a process that can't be mistaken for another one."""

    pid: int  # as it is known here; 0 if it is not

    def kill(self) -> None:
        """End it."""
        ...

    def stop(self) -> None:
        """Ask it to write down where it stands, and to end."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has come."""
        ...

    def code(self) -> int:
        """Its exit code, or minus the number of the signal that ended it; called once, after the end."""
        ...

    def cpu_seconds(self) -> float | None:
        """The processor time that it has used; None where that can't be told."""
        ...


class Process:
    """One process in the sandbox, and the pipes to it."""

    def __init__(self, handle: Handle, requests: int, answers: int, output: int) -> None:
        self._handle = handle
        self._descriptors = {requests, answers, output}
        self._to_send: queue.Queue[bytes | None] = queue.Queue()
        self._came: queue.Queue[wire.Frame | bytes | Cause] = queue.Queue()
        self._tail = bytearray()
        self._lock = threading.Lock()
        self._ended = False
        self.cpu = 0.0  # seconds of processor time that it has used, as of the last answer
        self.rest = 0.0  # seconds in which it waited for something else, in the last request
        self._talk = threading.Thread(target=self._converse, args=(requests, answers), daemon=True)
        self._listen = threading.Thread(target=self._drain, args=(output,), daemon=True)
        self._talk.start()
        self._listen.start()

    def wait_until_ready(self) -> None:
        """Wait until it is locked down and listens.

        Raises:
            Gone: it does not come up.
        """
        self._receive(PATIENCE)
        self.cpu = self._handle.cpu_seconds() or 0.0

    def ask(self, head: dict[str, Any], limit: float) -> wire.Frame:
        """Send a request and wait for the answer to it, so many seconds of its processor time or of waiting.

        Raises:
            Gone: it did not answer, or not in a way that is allowed; it is ended then.
        """
        identity = int.from_bytes(os.urandom(8), "little")
        self._to_send.put(wire.pack(wire.Frame(identity, head, {}), wire.REQUEST_LIMIT))
        answer = self._receive(limit)
        if not isinstance(answer, wire.Frame) or answer.id != identity:
            raise self.end("protocol")
        self.cpu = self._handle.cpu_seconds() or self.cpu
        return answer

    def end(self, cause: Cause = "died") -> Gone:
        """End it for good and clear it away; returns what there is to say about it."""
        if cause == "died":  # its connection is closed: it is probably ending by itself
            self._handle.wait(0.2)
        if cause == "rest":
            self._handle.stop()
            self._handle.wait(GRACE)
        self._handle.kill()
        self._handle.wait(10.0)
        self.cpu = self._handle.cpu_seconds() or self.cpu
        with self._lock:
            ended, self._ended = self._ended, True
        if ended:
            return Gone(cause, 0, "")
        code = self._handle.code()
        self._to_send.put(None)
        self._listen.join(1.0)
        self._talk.join(1.0)
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        return Gone(cause, code, self._tail.decode("utf-8", "replace"))

    def _receive(self, limit: float) -> wire.Frame | bytes:
        """Return what it answers. It has a little more than its limit, so that it can itself say where it stands."""
        deadline = time.monotonic() + generous(limit) + GRACE
        watch, self.rest = Rest(self._handle.pid), 0.0
        while True:
            try:
                came = self._came.get(timeout=LOOK)
            except queue.Empty:
                self.rest = watch.look()
                used = self._handle.cpu_seconds()
                if time.monotonic() >= deadline:
                    raise self.end("wall") from None
                if used is not None and used - self.cpu > limit + GRACE:
                    raise self.end("cpu") from None
                if self.rest > limit:
                    raise self.end("rest") from None
                continue
            if isinstance(came, str):
                raise self.end(came)
            return came

    def _converse(self, requests: int, answers: int) -> None:
        """Take turns: a request out, an answer in (in a thread, since either may never come to its end)."""

        read_exactly, write = wire.read_from(answers), wire.write_to(requests)
        try:
            self._came.put(read_exactly(6))
            while (request := self._to_send.get()) is not None:
                write(request)
                self._came.put(wire.read(read_exactly))
        except wire.WireError:
            self._came.put("protocol")
        except (OSError, EOFError):
            self._came.put("died")

    def _drain(self, output: int) -> None:
        """Read what it prints past its own stdout, and stop it when that is a flood."""
        size = 0
        with contextlib.suppress(OSError):
            while piece := os.read(output, 1 << 12):
                size += len(piece)
                self._tail += piece
                del self._tail[:-TAIL]
                if size > OUTPUT_LIMIT:
                    self._came.put("output")
                    break


Launch = Callable[[Allowance], Process]
