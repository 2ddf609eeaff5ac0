"""A few system calls that Python has no function for, through ctypes. Linux only; imports anywhere."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

from grader.sandbox.inside.syscalls import this_machine

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_GET_NAME = 16
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38


@cache
def libc() -> Any:
    """The C library, with errno kept."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def syscall(name: str, *arguments: int | bytes | ctypes.Array[Any] | None) -> int:
    """Make a system call by name.

    Raises:
        OSError: the kernel refuses it, or this machine has no such call.
    """
    machine = this_machine()
    number = None if machine is None else machine.number(name)
    if number is None:
        raise OSError(f"there is no system call {name} on this machine")
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result = libc().syscall(ctypes.c_long(number), *words)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)
    return int(result)


def prctl(option: int, value: int) -> None:
    """Change an attribute of this process.

    Raises:
        OSError: the kernel refuses.
    """
    zero = ctypes.c_ulong(0)
    if libc().prctl(option, ctypes.c_ulong(value), zero, zero, zero) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"prctl({option}, {value})")


def cpu_seconds(pid: int) -> float | None:
    """The processor time that a process has used, all of its threads together; None if it can't be told."""
    clock = ctypes.c_int()
    if libc().clock_getcpuclockid(pid, ctypes.byref(clock)) != 0:
        return None
    import time

    try:
        return time.clock_gettime(clock.value)
    except OSError:
        return None
