"""Limits and rights of the process that runs code under test: how much it may use, and all that it gives up."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys
from collections.abc import Iterator

from grader.sandbox.inside.linux import (
    PR_CAPBSET_DROP,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    libc,
    prctl,
    syscall,
)

OPEN_FILES = 64
THREADS = 256
STACK = 64 << 20
LAST_CAPABILITY = 63
CAP_DAC_READ_SEARCH = 1 << 2
CAPABILITY_VERSION_3 = 0x2008_0522
NOBODY = 65_534
FIRST_UID, UIDS = 1_900_000_000, 100_000  # where no user is: no two children of one time share a user


def limit_resources(memory: int, cpu: int, other_threads: int) -> None:
    """Limit this process for good.

    Args:
        memory: bytes of address space on top of what the process has already.
        cpu: seconds of processor time from here on.
        other_threads: how many threads its user runs already.
    """
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {
        "CORE": 0,
        "FSIZE": 0,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
        "SIGPENDING": 64,
        "NICE": 0,
        "NOFILE": OPEN_FILES,
        "NPROC": other_threads + THREADS,
        "STACK": STACK,
        "CPU": int(used.ru_utime + used.ru_stime) + 1 + cpu,
        "AS": _address_space() + memory,
    }
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None or (name == "AS" and sys.platform != "linux"):
            continue  # macOS has fewer, and counts an address space of its own making
        _, hard = resource.getrlimit(kind)
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (wanted, wanted))


def _address_space() -> int:
    """Return how large the address space of this process is now, in bytes."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm") as file:  # noqa: PTH123 - no pathlib: nothing may be left to garbage collection here
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def drop_user(passing: bool = False) -> None:
    """If this process is root, become a user that exists nowhere else; it can't go back.

    Args:
        passing: keep the right to go through folders that are closed to others, and to read there: where the
            interpreter stands in one. Landlock still says what may be read.
    """
    if not hasattr(os, "setresuid") or os.geteuid() != 0:
        return
    os.setgroups([])
    if passing:
        prctl(PR_SET_KEEPCAPS, 1)
    for user in (FIRST_UID + os.getpid() % UIDS, NOBODY):
        try:
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        except OSError:
            continue  # a container maps few users
        return


def becomes_another_user() -> bool:
    """Whether a process of this one can become another user: as root, only that limits how many threads it has."""
    if not hasattr(os, "fork") or os.geteuid() != 0:
        return True
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            drop_user()
        os._exit(int(os.geteuid() == 0))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def drop_capabilities(passing: bool = False) -> None:
    """Give up every capability (but that of `drop_user`), and the possibility to get one back."""
    for capability in range(LAST_CAPABILITY + 1):
        with contextlib.suppress(OSError):  # an unprivileged process may not, and has none anyway
            prctl(PR_CAPBSET_DROP, capability)
    header = struct.pack("<Ii", CAPABILITY_VERSION_3, 0)
    kept = CAP_DAC_READ_SEARCH if passing and os.geteuid() != 0 else 0
    syscall("capset", header, struct.pack("<6I", kept, kept, 0, 0, 0, 0))


def close_to_others(parent: int) -> None:
    """Die with the parent, be no process that others may look into, and never gain a right again.

    Raises:
        OSError: the parent is gone already, or the kernel refuses.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise OSError("the parent is gone")
    hide_memory()
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def cap_memory(size: int) -> None:
    """Let this process have so many bytes of address space on top of what it has, so that it can't take the machine."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + size, hard))


@contextlib.contextmanager
def memory_capped(size: int) -> Iterator[None]:
    """Let a block have so many bytes of address space on top of what there is; what needs more raises MemoryError."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _address_space() + size
    resource.setrlimit(resource.RLIMIT_AS, (wanted if soft == resource.RLIM_INFINITY else min(wanted, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def hide_memory() -> None:
    """Make this process one whose memory no other process of the same user may read."""
    if sys.platform == "linux" and libc() is not None:
        prctl(PR_SET_DUMPABLE, 0)
