"""System call numbers on the two machines that the sandbox knows, and the calls that code in it may make.

Everything that is not listed here is refused (EPERM). Sources: the kernel's arch/x86/entry/syscalls/syscall_64.tbl, and
include/uapi/asm-generic/unistd.h, which aarch64 uses as it is.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

# name: (x86-64, aarch64); None where a machine never had the call.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # reading and writing what is open already
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "close_range": (436, 436),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    # opening files and asking about them: Landlock says which
    "openat": (257, 56),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    # memory
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "mincore": (27, 232),
    "get_mempolicy": (239, 236),
    "membarrier": (324, 283),
    # threads of its own
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "get_robust_list": (274, 100),
    "set_tid_address": (218, 96),
    "rseq": (334, 293),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getscheduler": (145, 120),
    "sched_getparam": (143, 121),
    "getcpu": (309, 168),
    "gettid": (186, 178),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # its own signals and timers
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132),
    "pause": (34, None),
    "alarm": (37, None),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "restart_syscall": (219, 128),
    # what it is and what time it is
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "getrandom": (318, 278),
    # allowed with certain arguments only, or answered without being made: seccomp.py
    "clone": (56, 220),
    "clone3": (435, 435),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "prctl": (157, 167),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    # what the sandbox itself needs while it closes the door
    "capset": (126, 91),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}

RESTRICTED = frozenset({"clone", "clone3", "tgkill", "prlimit64", "prctl", "fcntl", "ioctl"})
SETTING_UP = frozenset({"capset", "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"})
ALLOWED = tuple(name for name in NUMBERS if name not in RESTRICTED | SETTING_UP)


@dataclass(frozen=True)
class Machine:
    """A kind of processor: its name, the kernel's AUDIT_ARCH value, and its column in `NUMBERS`."""

    name: str
    audit_arch: int
    column: int

    def number(self, call: str) -> int | None:
        """The number of a system call; None if this machine has no such call."""
        return NUMBERS[call][self.column]


X86_64 = Machine("x86_64", 0xC000003E, 0)
AARCH64 = Machine("aarch64", 0xC00000B7, 1)
MACHINES = {"x86_64": X86_64, "amd64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}


def this_machine() -> Machine | None:
    """The machine that this is; None if the sandbox has no table for it."""
    return MACHINES.get(platform.machine().lower())
