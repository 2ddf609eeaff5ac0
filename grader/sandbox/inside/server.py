"""The fork server: a process with everything imported and no secret, whose locked-down copies run the code under test.

It is started by the judge, and never holds anything of it: the reference, expected values and other submissions are
not in its memory, nor open in it. It does one thing at a time, as asked on a socket: `fork` a child, or `reap` one that
has ended.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grader.sandbox.inside import landlock, limits, seccomp
from grader.sandbox.inside.child import serve, warm_up
from grader.sandbox.inside.shortcuts import prepare
from grader.sandbox.inside.syscalls import this_machine
from grader.sandbox.inside.wire import read_from, write_to

WIRE, RULES = 3, 4  # file descriptors of a child: the socket to the judge, and Landlock's rules


class Server:
    """The process from which the children are forked."""

    def __init__(self, readable: Sequence[str], listable: Sequence[str]) -> None:
        self.pid = os.getpid()
        self.rules = -1
        if landlock.version():
            files = [*map(Path, readable), *mapped_files()]
            self.rules = landlock.ruleset(files, map(Path, listable))
        self.threads = threads_of_this_user()

    def fork(self, layers: Sequence[str], memory: int, cpu: int, wire: int, output: int) -> tuple[int, int]:
        """Make a child with these layers around it; returns its process id and a handle on it."""
        pid = os.fork()
        if pid == 0:
            try:
                self._become_child(frozenset(layers), memory, cpu, wire, output)
            except BaseException as error:
                os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode()[:1000])
            finally:
                os._exit(70)
        return pid, os.pidfd_open(pid)

    def _become_child(self, layers: frozenset[str], memory: int, cpu: int, wire: int, output: int) -> None:
        """Give up everything, layer by layer (the order matters), and only then listen to the judge."""
        keep_descriptors([os.open(os.devnull, os.O_RDWR), output, output, wire, max(self.rules, 0)])
        os.setsid()
        if "limits" in layers:
            limits.limit_resources(memory, cpu, self.threads)
        if "user" in layers:
            limits.drop_user("passing" in layers)
        if "capabilities" in layers:
            limits.drop_capabilities("passing" in layers)
        limits.close_to_others(self.pid)
        if "landlock" in layers:
            landlock.restrict(RULES)
        os.close(RULES)
        if "seccomp" in layers:
            machine = this_machine()
            assert machine is not None
            seccomp.apply(seccomp.program(machine, os.getpid()))
        write = write_to(WIRE)
        write(b"ready\n")
        serve(read_from(WIRE), write)


def keep_descriptors(kept: Sequence[int]) -> None:
    """Make these file descriptors number 0, 1, 2 and so on, and close all others."""
    import fcntl

    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 64) for descriptor in kept]  # out of the way of each other
    for target, descriptor in enumerate(high):
        os.dup2(descriptor, target)
    os.closerange(len(kept), max(high) + 1)


def mapped_files() -> list[Path]:
    """The files that this process has mapped into its memory: the shared libraries that it uses."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sorted({Path(line.split(maxsplit=5)[5]) for line in lines if line.count("/") and " /" in line})


def threads_of_this_user() -> int:
    """Return how many threads this process's user runs (the kernel limits them together); 0 for one that is dropped."""
    if os.geteuid() == 0:
        return 0
    count = 0
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and process.stat().st_uid == os.geteuid():
                count += len(os.listdir(process / "task"))  # noqa: PTH208
        except OSError:
            continue
    return count


def reap(pid: int) -> int:
    """Wait for a child that is ending; returns its exit code, or minus the number of the signal that ended it."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return 0


def answer(server: Server, request: dict[str, Any], handles: list[int]) -> tuple[dict[str, Any], list[int]]:
    """Do what a request asks for; returns the answer and the file descriptors that go with it."""
    if "reap" in request:
        return {"code": reap(request["reap"])}, []
    wire, output = handles
    pid, handle = server.fork(**request["fork"], wire=wire, output=output)
    return {"pid": pid}, [handle]


def main(
    control: int,
    readable: Sequence[str],
    listable: Sequence[str],
    warm: Sequence[str],
    forbids: Sequence[str],
    operators: Sequence[str],
) -> None:
    """Warm up, say so, and serve until the judge is gone."""
    sock = socket.socket(fileno=control)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir("/")
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    warm_up(warm)
    prepare(forbids, operators)
    gc.freeze()
    os.environ.clear()
    server = Server(readable, listable)
    sock.send(b'{"ready": true}')
    while True:
        message, handles, _, _ = socket.recv_fds(sock, 1 << 16, 2)
        if not message:
            return
        reply, given = answer(server, json.loads(message), handles)
        socket.send_fds(sock, [json.dumps(reply).encode()], given)
        for descriptor in (*handles, *given):
            os.close(descriptor)
