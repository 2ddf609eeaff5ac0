"""The seccomp filter of both machines, run by a small BPF machine of our own, and Landlock's rules."""

from __future__ import annotations

import errno
import struct

import pytest

from grader.sandbox.inside import landlock, seccomp
from grader.sandbox.inside.syscalls import AARCH64, ALLOWED, NUMBERS, X86_64, Machine

PID = 4321
MACHINES = pytest.mark.parametrize("machine", [X86_64, AARCH64], ids=lambda machine: machine.name)
EPERM = seccomp.REFUSE | errno.EPERM
DANGEROUS = {  # (x86-64, aarch64); none of them stands in the tables
    "execve": (59, 221),
    "fork": (57, None),
    "vfork": (58, None),
    "socket": (41, 198),
    "connect": (42, 203),
    "kill": (62, 129),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "unlinkat": (263, 35),
    "fchmodat": (268, 53),
    "mount": (165, 40),
    "unshare": (272, 97),
    "memfd_create": (319, 279),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "setuid": (105, 146),
    "pidfd_send_signal": (424, 424),
    "shmget": (29, 194),
    "sendmsg": (46, 211),
    "execveat": (322, 281),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
}


def run(machine: Machine, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the filter answers to a system call, by the rules of the kernel's BPF machine."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, machine.audit_arch if arch is None else arch, 0, *padded)
    steps = seccomp.program(machine, PID)
    at = accumulator = 0
    while True:
        step = steps[at]
        at += 1
        if step.code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, step.constant)
        elif step.code == 0x15:
            at += step.if_true if accumulator == step.constant else step.if_false
        elif step.code == 0x45:
            at += step.if_true if accumulator & step.constant else step.if_false
        elif step.code == 0x06:
            return step.constant
        else:
            raise AssertionError(f"an instruction that is not known: {step}")


def number(machine: Machine, call: str) -> int:
    found = machine.number(call)
    assert found is not None
    return found


@MACHINES
def test_what_is_listed_is_allowed(machine: Machine):
    for name in ALLOWED:
        found = machine.number(name)
        if found is not None:
            assert run(machine, found) == seccomp.ALLOW, name


@MACHINES
def test_everything_else_is_refused(machine: Machine):
    listed = {pair[machine.column] for pair in NUMBERS.values()}
    for other in set(range(600)) - listed:
        assert run(machine, other) == EPERM, other


@MACHINES
@pytest.mark.parametrize("name", DANGEROUS)
def test_dangerous_calls_are_not_listed(machine: Machine, name: str):
    found = DANGEROUS[name][machine.column]
    if found is not None:
        assert run(machine, found) == EPERM


@MACHINES
def test_no_two_calls_share_a_number(machine: Machine):
    numbers = [pair[machine.column] for pair in NUMBERS.values() if pair[machine.column] is not None]
    assert len(numbers) == len(set(numbers))


@MACHINES
def test_threads_may_be_made_but_no_processes(machine: Machine):
    thread, process = 0x3D0F00, 0x1200011  # as the C library does it for a thread, and for fork
    assert run(machine, number(machine, "clone"), thread) == seccomp.ALLOW
    assert run(machine, number(machine, "clone"), process) == EPERM
    assert run(machine, number(machine, "clone3"), 0) == seccomp.REFUSE | errno.ENOSYS


@MACHINES
@pytest.mark.parametrize(
    ("call", "allowed", "refused"),
    [
        ("tgkill", [(PID, 1, 9)], [(PID + 1, 1, 9), (1, 1, 9), (0, 0, 9)]),
        ("prlimit64", [(0, 7, 0, 0)], [(1, 7, 0, 0), (PID, 7, 0, 0)]),
        ("prctl", [(15, 0), (16, 0)], [(4, 1), (1, 0), (8, 1), (22, 0), (38, 0)]),
        (
            "fcntl",
            [(3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 1030)],
            [(3, 8), (3, 1024), (3, 1026), (3, 6), (3, 1031)],
        ),
    ],
)
def test_calls_that_depend_on_an_argument(
    machine: Machine, call: str, allowed: list[tuple[int, ...]], refused: list[tuple[int, ...]]
):
    for arguments in allowed:
        assert run(machine, number(machine, call), *arguments) == seccomp.ALLOW, arguments
    for arguments in refused:
        assert run(machine, number(machine, call), *arguments) == EPERM, arguments


@MACHINES
def test_a_device_is_no_terminal(machine: Machine):
    assert run(machine, number(machine, "ioctl"), 1, 0x5401) == seccomp.REFUSE | errno.ENOTTY


def test_calls_of_another_machine_end_the_process():
    assert run(X86_64, 0, arch=0x40000003) == seccomp.KILL_PROCESS  # 32-bit calls, with numbers of their own
    assert run(AARCH64, 63, arch=X86_64.audit_arch) == seccomp.KILL_PROCESS


def test_calls_with_the_bit_of_the_x32_interface_are_refused():
    assert run(X86_64, 0x40000000 | 0) == EPERM


@MACHINES
def test_the_filter_is_one_that_the_kernel_takes(machine: Machine):
    steps = seccomp.program(machine, PID)
    assert len(steps) <= 4096
    for at, step in enumerate(steps):
        assert at + 1 + max(step.if_true, step.if_false) <= len(steps) - 1 or step.code == 0x06
        assert 0 <= step.if_true < 256
        assert 0 <= step.if_false < 256


@pytest.mark.parametrize(
    ("abi", "rights", "size"),
    [
        (1, 0x1FFF, 8),
        (2, 0x3FFF, 8),
        (3, 0x7FFF, 8),
        (4, 0x7FFF, 16),
        (5, 0xFFFF, 16),
        (6, 0xFFFF, 24),
        (7, 0xFFFF, 24),
    ],
)
def test_landlock_refuses_all_that_its_version_knows(abi: int, rights: int, size: int):
    attributes = landlock.ruleset_attributes(abi)
    assert len(attributes) == size
    assert struct.unpack_from("<Q", attributes)[0] == rights
    assert landlock.handled_rights(abi) == rights
