"""No process but its own, no network, no rights, and no more of the machine than it may have."""

from __future__ import annotations

import os

import pytest

from grader.probing.stopwatch import ran_out
from grader.sandbox import levels
from grader.sandbox.inside import limits
from grader.sandbox.levels import Layer
from tests.project.sandbox.conftest import Arena, Attack, Stopped, check_attack, table

CALL = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
SECCOMP: tuple[Layer, ...] = ("seccomp", "landlock")
RIGHTS: tuple[Layer, ...] = ("seccomp", "landlock", "capabilities")

PROCESSES = table(
    """
## forks
import os
def attack():
    pid = os.fork()
    if pid == 0: os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    return 'worked'

## forks a few times, and would go on
import os
def attack():
    for _ in range(5):
        pid = os.fork()
        if pid == 0: os.kill(os.getpid(), 9)
        os.waitpid(pid, 0)
    return 'worked'

## leaves a daemon
import os, time
def attack():
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            os.setsid(); time.sleep(0.2)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    return 'worked'

## runs a program
import subprocess
def attack():
    subprocess.run(['/bin/true'], check=True)
    return 'worked'

## spawns a program
import os
def attack():
    os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)
    return 'worked'

## asks a shell
import os
def attack():
    return 'worked' if os.system('exit 7') == 7 << 8 else 'no'

## forks through the C library
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
import os
def attack():
    pid = libc.fork()
    if pid == 0: libc.kill(libc.getpid(), 9)
    if pid < 0: return 'no'
    os.waitpid(pid, 0)
    return 'worked'
"""
)

SIGNALS = table(
    """
## signals its parent
import os
def attack():
    os.kill(os.getppid(), 0)
    return 'worked'

## signals everybody
import os
def attack():
    os.kill(-1, 0)
    return 'worked'

## signals a group
import os
def attack():
    os.killpg(os.getpgid(os.getppid()), 0)
    return 'worked'

## opens a handle on its parent
import os
def attack():
    os.pidfd_open(os.getppid())
    return 'worked'

## lets itself be traced
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attack():
    return 'worked' if libc.ptrace(0, 0, 0, 0) == 0 else 'no'

## copies memory between processes
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
import os
def attack():
    there = ctypes.create_string_buffer(b'x')
    here = ctypes.create_string_buffer(2)
    class V(ctypes.Structure):
        _fields_ = [('at', ctypes.c_void_p), ('size', ctypes.c_size_t)]
    to, at = V(ctypes.addressof(here), 1), V(ctypes.addressof(there), 1)
    done = libc.process_vm_readv(os.getpid(), ctypes.byref(to), 1, ctypes.byref(at), 1, 0)
    return 'worked' if done == 1 else 'no'

## asks for signals from its socket
import fcntl, os
def attack():
    fcntl.fcntl(3, fcntl.F_SETOWN, os.getpid())
    return 'worked'

## looks at its parent's limits
import os, resource
def attack():
    resource.prlimit(os.getppid(), resource.RLIMIT_CORE)
    return 'worked'

## makes itself readable again
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attack():
    return 'worked' if libc.prctl(4, 1, 0, 0, 0) == 0 else 'no'

## makes others wait
import os
def attack():
    os.nice(1)
    return 'worked'

## picks its processors
import os
def attack():
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    return 'worked'
"""
)

NETWORK = table(
    """
## connects
import socket
def attack():
    socket.create_connection(('127.0.0.1', PORT)).close()
    return 'worked'

## sends a datagram
import socket
def attack():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b'x', ('127.0.0.1', PORT)); s.close()
    return 'worked'

## listens
import socket
def attack():
    socket.create_server(('127.0.0.1', 0)).close()
    return 'worked'

## makes a pair of sockets
import socket
def attack():
    socket.socketpair()
    return 'worked'

## opens a local socket
import socket
def attack():
    socket.socket(socket.AF_UNIX)
    return 'worked'

## asks the kernel for its routes
import socket
def attack():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
    return 'worked'
"""
)

KERNEL = table(
    """
## makes a file in memory
import os
def attack():
    os.memfd_create('x')
    return 'worked'

## leaves shared memory of the old kind
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attack():
    seg = libc.shmget(0, 4096, 0o600)
    if seg < 0: return 'no'
    libc.shmctl(seg, 0, 0)
    return 'worked'

## asks for its keyring
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
import platform
def attack():
    number = {'x86_64': 250, 'aarch64': 219}[platform.machine()]
    libc.syscall.restype = ctypes.c_long
    return 'worked' if libc.syscall(number, 0, -3, 1) > 0 else 'no'

## watches files
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attack():
    return 'worked' if libc.inotify_init() >= 0 else 'no'

## asks a device
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attack():
    size = ctypes.c_int()
    return 'worked' if libc.ioctl(3, 0x541B, ctypes.byref(size)) == 0 else 'no'

## makes a namespace of its own
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attack():
    return 'worked' if libc.unshare(0x04000000) == 0 else 'no'

## changes its root
import os
def attack():
    os.chroot('/')
    return 'worked'

## becomes root
import os
def attack():
    os.setresuid(0, 0, 0)
    return 'worked'

## sets the host's name
import socket
def attack():
    socket.sethostname(socket.gethostname())
    return 'worked'
"""
)
ROOT_ONLY = {"makes a namespace of its own", "changes its root", "becomes root", "sets the host's name"}


@pytest.mark.parametrize("how", PROCESSES)
def test_other_processes(how: str, bare: Arena, best: Arena):
    check_attack(Attack(how, PROCESSES[how], (*SECCOMP, "limits")), bare, best)


@pytest.mark.parametrize("how", SIGNALS)
def test_signals_and_other_processes_memory(how: str, bare: Arena, best: Arena):
    check_attack(Attack(how, SIGNALS[how], (*RIGHTS, "limits")), bare, best)


@pytest.mark.parametrize("how", NETWORK)
def test_network(how: str, bare: Arena, best: Arena):
    check_attack(Attack(how, NETWORK[how], SECCOMP), bare, best)


@pytest.mark.parametrize("how", KERNEL)
def test_the_kernel(how: str, bare: Arena, best: Arena):
    check_attack(Attack(how, KERNEL[how], RIGHTS, needs_root=how in ROOT_ONLY), bare, best)


def test_rights_are_given_up(bare: Arena, best: Arena):
    code = "import os\ndef attack():\n    for id in (12345, 0): os.chown('SECRET', id, id)\n    return 'worked'"
    check_attack(Attack("gives a file away", code, ("capabilities", "seccomp"), needs_root=True), bare, best)


# Each takes some hundred megabytes, if it gets them
MEMORY = table(
    """
## allocates an array
import numpy
def attack():
    numpy.empty(512 << 20, numpy.uint8)
    return 'worked'

## allocates a tensor
import torch
def attack():
    torch.empty(512 << 20, dtype=torch.uint8)
    return 'worked'

## broadcasts, then copies
import numpy
def attack():
    numpy.broadcast_to(numpy.zeros(1), (16 << 20,)).copy()
    return 'worked'

## unpacks a bomb
import zlib
BOMB = zlib.compress(bytes(1 << 20))
def attack():
    kept = []
    for _ in range(150): kept.append(zlib.decompress(BOMB))
    return 'worked'

## grows a list
def attack():
    kept = [0] * (50 << 20)
    return 'worked'

## doubles a string
def attack():
    text = 'x'
    while len(text) < 100 << 20: text += text
    return 'worked'

## recurses without end
import sys
def down(n): return 0 if n == 0 else 1 + down(n - 1)
def attack():
    sys.setrecursionlimit(10**9)
    down(900_000)
    return 'worked'

## starts threads
import threading
def attack():
    done = threading.Event()
    threads = [threading.Thread(target=done.wait, daemon=True) for _ in range(60)]
    try:
        for thread in threads: thread.start()
    finally: done.set()
    return 'worked'
"""
)


@pytest.mark.parametrize("how", MEMORY)
def test_memory(how: str, bare: Arena, best: Arena):
    check_attack(Attack(how, MEMORY[how], ("limits",), memory=64 << 20), bare, best)


MANY_THREADS = """
import threading
threading.stack_size(1 << 15)
def attack():
    done, count = threading.Event(), 0
    try:
        for count in range(1, 1001): threading.Thread(target=done.wait, daemon=True).start()
    except RuntimeError: pass
    finally: done.set()
    return count
"""


def test_threads_are_few_whoever_runs_the_sandbox(best: Arena):
    assert best.run(MANY_THREADS).value <= limits.THREADS + 2
    if os.geteuid() == 0:
        assert best.run(MANY_THREADS, ("user", "passing")).value == 1000, "root is limited, too: the test shows nothing"


def test_where_root_stays_root_the_level_is_reduced_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "becomes_another_user", lambda: False)
    level = levels.probe()
    assert level.name != "full"
    assert any("stays root" in missing for missing in level.missing)


FLOODS = table(
    """
## floods stdout past print
import os
def attack():
    for _ in range(COUNT): os.write(1, bytes(1 << 16))
    return 'worked'

## floods stderr
import os
def attack():
    for _ in range(COUNT): os.write(2, bytes(1 << 16))
    return 'worked'
"""
)


@pytest.mark.parametrize("how", FLOODS)
def test_floods(how: str, bare: Arena):
    with pytest.raises(Stopped) as stopped:
        bare.run(FLOODS[how].replace("COUNT", "10**9"))
    assert stopped.value.gone.cause == "output"
    assert bare.run(FLOODS[how].replace("COUNT", "3")).value == "worked"


STALLS = {  # none of them would ever come back
    "loops": "while True: pass",
    "loops in C": "import itertools; sum(itertools.repeat(1))",
    "sleeps": "import time; time.sleep(10**6)",
    "stops itself": "import signal; signal.raise_signal(signal.SIGSTOP)",
    "waits for a lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "loops, having switched the stopwatch off": (
        "import faulthandler; faulthandler.cancel_dump_traceback_later()\n    while True: pass"
    ),
    "loops, deaf to signals": (
        "import signal\n    for s in (signal.SIGTERM, signal.SIGXCPU): signal.signal(s, signal.SIG_IGN)\n"
        "    while True: pass"
    ),
    "tries a regular expression": "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
    "computes a large power": "10 ** 10 ** 9",
}
IN_THREADS = (
    "import faulthandler, hashlib, threading\ndef burn():\n    while True: hashlib.sha512(bytes(1 << 22)).digest()\n"
    "def attack():\n    faulthandler.cancel_dump_traceback_later()\n"
    "    for _ in range(8): threading.Thread(target=burn, daemon=True).start()\n    burn()"
)


@pytest.mark.parametrize("how", STALLS)
def test_stalls(how: str, bare: Arena):
    before = bare.state()
    with pytest.raises(Stopped) as stopped:
        bare.run(f"def attack():\n    {STALLS[how]}\n    return 'worked'", limit=0.4)
    gone = stopped.value.gone
    assert gone.cause in ("cpu", "rest") or ran_out(gone.code, gone.trace) == "cpu"
    assert bare.state() == before
    assert bare.run("def attack():\n    return 'worked'").value == "worked"


def test_processor_time_in_many_threads(bare: Arena):
    with pytest.raises(Stopped) as stopped:
        bare.run(IN_THREADS, limit=60.0, cpu=0.3)
    assert stopped.value.gone.cause == "cpu"
    assert bare.run("def attack():\n    sum(range(10**6))\n    return 'worked'", cpu=5.0).value == "worked"


ENDS = {
    "closes its descriptors": "import os\ndef attack():\n    os.closerange(0, 64)\n    while True: pass",
    "ends, politely": "import sys\ndef attack():\n    sys.exit(0)",
    "ends at once": "import ctypes\ndef attack():\n    ctypes.CDLL(None)._exit(0)",
    "kills itself": "import os, signal\ndef attack():\n    signal.raise_signal(signal.SIGKILL)",
    "crashes": "import ctypes\ndef attack():\n    ctypes.string_at(0)",
    "aborts": "import os\ndef attack():\n    os.abort()",
    "writes nonsense to the judge": "import os\ndef attack():\n    os.write(3, b'x' * 1000)\n    return 'worked'",
    "announces a huge frame": "import os\ndef attack():\n    os.write(3, b'SFW1' + b'\\xff' * 20)\n    return 'worked'",
}


@pytest.mark.parametrize("how", ENDS)
def test_an_end_of_its_own_is_an_end_for_itself_alone(how: str, bare: Arena):
    before = bare.state()
    try:
        outcome = bare.run(ENDS[how], limit=2.0)
    except Stopped:
        pass
    else:
        assert outcome.failure is not None
    assert bare.state() == before
    assert bare.run("def attack():\n    return 'worked'").value == "worked"
