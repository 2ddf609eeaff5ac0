"""Where the sandbox's processes come from: a fork server on Linux, a fresh interpreter for each one elsewhere."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Collection
from typing import Any, Protocol

from grader.content.syllabus import load
from grader.errors import GraderError
from grader.sandbox import levels, shipment
from grader.sandbox.inside import linux
from grader.sandbox.process import TOP, Allowance, Gone, Process
from grader.workers.libraries import libraries

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
    "MPLBACKEND": "Agg",  # draws on no screen
    "TORCHINDUCTOR_CACHE_DIR": os.sep,  # torch makes this folder when it is imported, so it is one that is there
}
COMMAND = [sys.executable, "-I", "-S", "-X", "utf8", "-c"]
START_LIMIT = 120.0


class Launcher(Protocol):
    """Makes processes in the sandbox."""

    level: levels.Level

    def launch(self, allowance: Allowance, warm: Collection[str] = ()) -> Process:
        """A process of its own that is locked down and listens, with some modules imported besides the usual ones."""
        ...

    def close(self) -> None:
        """End everything that was started."""
        ...


def launcher(level: levels.Level | None = None) -> Launcher:
    """The launcher for a level, by default the best that this machine can do."""
    found = level or levels.probe()
    return Spawner(found) if found.name == "none" else ForkServer(found)


class ForkServer:
    """Copies of a process that has everything imported; it starts at once, and is waited for when it is needed."""

    def __init__(self, level: levels.Level) -> None:
        self.level = level
        self._warm: set[str] = set()
        self._start()

    def launch(self, allowance: Allowance, warm: Collection[str] = ()) -> Process:
        """Fork a process; start the server anew if something has ended it, or if it lacks a module.

        Raises:
            GraderError: the server or the process does not come up.
        """
        if self._server.poll() is not None or not self._warm.issuperset(warm):
            self._warm.update(warm)
            self.close()
            self._start()
        ours, theirs = socket.socketpair()
        output, printed = os.pipe()
        request = {
            "layers": self.level.layers,
            "memory": allowance.memory,
            "cpu": math.ceil(allowance.cpu) + 1,
        }
        try:
            answer, handles = self._ask({"fork": request}, [theirs.fileno(), printed])
        finally:
            theirs.close()
            os.close(printed)
        wire = ours.detach()
        process = Process(_Forked(self, answer["pid"], handles[0]), wire, wire, output)
        try:
            process.wait_until_ready()
        except Gone as gone:
            raise GraderError(f"The sandbox did not start: {gone.cause}. {gone.trace}") from None
        return process

    def reap(self, pid: int) -> int:
        """The exit code of a child that has ended."""
        return int(self._ask({"reap": pid}, [])[0]["code"])

    def close(self) -> None:
        """End the server, and with it every child."""
        self._control.close()
        try:
            self._server.wait(2.0)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._log.close()

    def _start(self) -> None:
        readable, listable = shipment.standard_library()
        readable += libraries().paths
        wrapper = levels.bubblewrap() if "bubblewrap" in self.level.layers else ()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server
        self._server = subprocess.Popen(
            [*wrapper, *COMMAND, shipment.boot()],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            env=ENVIRONMENT,
            cwd=TOP,
        )
        options = {
            "readable": [str(path) for path in readable],
            "listable": [str(path) for path in listable],
            "warm": sorted(self._warm),
            "forbids": sorted({name for entry in load() for name in entry.forbids}),
            "operators": sorted({name for entry in load() for name in entry.operators}),
        }
        assert self._server.stdin is not None
        self._server.stdin.write(shipment.parcel(shipment.SERVER, control=theirs.fileno(), **options))
        self._server.stdin.close()
        theirs.close()
        self._ready = False

    def _ask(self, request: dict[str, Any], handles: list[int]) -> tuple[dict[str, Any], list[int]]:
        self._control.settimeout(START_LIMIT)
        try:
            if not self._ready:
                self._ready = bool(self._control.recv(100))
            socket.send_fds(self._control, [json.dumps(request).encode()], handles)
            answer, given, _, _ = socket.recv_fds(self._control, 1 << 12, 1)
            return dict(json.loads(answer)), given
        except (OSError, ValueError):
            self._server.kill()
            self._server.wait()
            self._log.seek(0)
            words = self._log.read(1 << 14).decode("utf-8", "replace").strip()
            raise GraderError(f"The sandbox's server ended before it was asked to. {words[-2000:]}") from None


class _Forked:
    """A hold on a child of the fork server: its pidfd."""

    def __init__(self, server: ForkServer, pid: int, handle: int) -> None:
        self._server = server
        self._number = pid  # as the server knows it
        self._handle = handle
        self.pid = _pid_here(handle)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def stop(self) -> None:
        self._send(signal.SIGPROF)

    def _send(self, number: int) -> None:
        with contextlib.suppress(OSError):  # it has ended, or the handle was given back
            signal.pidfd_send_signal(self._handle, number)

    def wait(self, seconds: float) -> bool:
        try:
            return bool(select.select([self._handle], [], [], seconds)[0])
        except (OSError, ValueError):
            return True

    def code(self) -> int:
        try:
            return self._server.reap(self._number)
        except GraderError:
            return 0  # the server is gone, and its children with it
        finally:
            os.close(self._handle)
            self._handle = -1

    def cpu_seconds(self) -> float | None:
        return linux.cpu_seconds(self.pid) if self.pid > 0 and self._handle >= 0 else None


def _pid_here(handle: int) -> int:
    """The process id behind a pidfd in this process's own namespace; 0 if it can't be told."""
    try:
        with open(f"/proc/self/fdinfo/{handle}") as file:  # noqa: PTH123 - /proc, read in one go
            return next(int(line.split()[1]) for line in file if line.startswith("Pid:"))
    except (OSError, StopIteration):
        return 0


class Spawner:
    """A fresh interpreter for each process, which takes seconds: for machines where a fork is not safe."""

    def __init__(self, level: levels.Level) -> None:
        self.level = level
        self._started: list[Process] = []

    def launch(self, allowance: Allowance, warm: Collection[str] = ()) -> Process:
        """Start a process.

        Raises:
            GraderError: it does not come up.
        """
        popen = subprocess.Popen(
            [*COMMAND, shipment.boot()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT | {key: os.environ[key] for key in ("SYSTEMROOT", "PATH") if sys.platform == "win32"},
            cwd=TOP,
            bufsize=0,
        )
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        options = {"memory": allowance.memory, "cpu": math.ceil(allowance.cpu) + 1, "warm": sorted(warm)}
        view = memoryview(shipment.parcel(shipment.LONE_CHILD, **options))
        while view:
            view = view[popen.stdin.write(view) :]
        pipes = (os.dup(pipe.fileno()) for pipe in (popen.stdin, popen.stdout, popen.stderr))
        process = Process(_Spawned(popen), *pipes)
        for pipe in (popen.stdin, popen.stdout, popen.stderr):
            pipe.close()
        try:
            process.wait_until_ready()
        except Gone as gone:
            raise GraderError(f"The process for code under test did not start: {gone.trace}") from None
        self._started.append(process)
        return process

    def close(self) -> None:
        """End every process."""
        for process in self._started:
            process.end()


class _Spawned:
    """A hold on a process of our own."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid

    def kill(self) -> None:
        self._popen.kill()

    def stop(self) -> None:
        if sys.platform != "win32":
            self._popen.send_signal(signal.SIGPROF)

    def wait(self, seconds: float) -> bool:
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def code(self) -> int:
        return self._popen.wait()

    def cpu_seconds(self) -> float | None:
        return linux.cpu_seconds(self._popen.pid) if sys.platform == "linux" else None
