"""seccomp: the list of system calls that code in the sandbox may make, as a filter that the kernel runs on each.

The filter is a small program for the kernel's classic BPF machine; it is put together here from a few named pieces.
Source: the kernel's Documentation/userspace-api/seccomp_filter.rst and include/uapi/linux/{seccomp,filter}.h.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable
from typing import NamedTuple

from grader.sandbox.inside.linux import PR_GET_NAME, PR_SET_NAME, syscall
from grader.sandbox.inside.syscalls import ALLOWED, Machine, this_machine

SET_MODE_FILTER, GET_ACTION_AVAIL = 1, 2

ALLOW = 0x7FFF_0000
KILL_PROCESS = 0x8000_0000
REFUSE = 0x0005_0000  # plus the error number that the caller sees

NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16  # offsets in `struct seccomp_data`
CLONE_THREAD = 0x0001_0000
FCNTL_ALLOWED = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC


class Instruction(NamedTuple):
    """One instruction: what to do, how far to jump if a test holds and if not, and its constant."""

    code: int
    if_true: int
    if_false: int
    constant: int


def load(offset: int) -> Instruction:
    """Load 32 bits of the call's description."""
    return Instruction(0x20, 0, 0, offset)


def unless_equal(value: int, skip: int) -> Instruction:
    """Skip some instructions unless what was loaded equals `value`."""
    return Instruction(0x15, 0, skip, value)


def skip_if_equal(value: int, skip: int) -> Instruction:
    """Skip some instructions if what was loaded equals `value`."""
    return Instruction(0x15, skip, 0, value)


def unless_set(bits: int, skip: int) -> Instruction:
    """Skip some instructions unless one of `bits` is set in what was loaded."""
    return Instruction(0x45, 0, skip, bits)


def answer(action: int) -> Instruction:
    """End here."""
    return Instruction(0x06, 0, 0, action)


def when(number: int, body: list[Instruction]) -> list[Instruction]:
    """Do `body`, which must end with an answer, for one system call."""
    return [unless_equal(number, len(body)), *body]


def with_argument(position: int, values: Iterable[int]) -> list[Instruction]:
    """Allow the call if the low half of an argument is one of `values`, refuse it otherwise."""
    tests = [step for value in values for step in (unless_equal(value & 0xFFFF_FFFF, 1), answer(ALLOW))]
    return [load(ARGUMENTS_AT + 8 * position), *tests, answer(REFUSE | errno.EPERM)]


def program(machine: Machine, pid: int) -> list[Instruction]:
    """The whole filter, for a process that may send signals to itself alone."""
    restricted: dict[str, list[Instruction]] = {
        # threads, but no processes; the C library falls back to clone when clone3 does not exist
        "clone": [
            load(ARGUMENTS_AT),
            unless_set(CLONE_THREAD, 1),
            answer(ALLOW),
            answer(REFUSE | errno.EPERM),
        ],
        "clone3": [answer(REFUSE | errno.ENOSYS)],
        "tgkill": with_argument(0, [pid]),
        "prlimit64": with_argument(0, [0]),  # its own limits, which only go down
        "prctl": with_argument(0, [PR_SET_NAME, PR_GET_NAME]),
        "fcntl": with_argument(1, FCNTL_ALLOWED),  # no F_SETOWN, F_NOTIFY or F_SETLEASE: they send signals
        "ioctl": [answer(REFUSE | errno.ENOTTY)],  # "not a terminal": what isatty() wants to hear
    }
    steps = [load(ARCH_AT), skip_if_equal(machine.audit_arch, 1), answer(KILL_PROCESS), load(NUMBER_AT)]
    for name in ALLOWED:
        number = machine.number(name)
        if number is not None:
            steps += when(number, [answer(ALLOW)])
    for name, body in restricted.items():
        number = machine.number(name)
        if number is not None:
            steps += when(number, body)
    return [*steps, answer(REFUSE | errno.EPERM)]


def available() -> bool:
    """Return whether this kernel and machine can apply the filter."""
    if this_machine() is None:
        return False
    try:
        syscall("seccomp", GET_ACTION_AVAIL, 0, struct.pack("<I", REFUSE))
    except OSError:
        return False
    return True


def apply(steps: list[Instruction]) -> None:
    """Apply a filter to this process. There is no way back.

    Raises:
        OSError: the kernel refuses (`no_new_privs` has to be set before).
    """
    packed = b"".join(struct.pack("<HBBI", *step) for step in steps)
    code = ctypes.create_string_buffer(packed, len(packed))
    header = struct.pack("<H6xQ", len(steps), ctypes.addressof(code))  # struct sock_fprog
    syscall("seccomp", SET_MODE_FILTER, 0, ctypes.create_string_buffer(header, len(header)))
