"""How well this machine can isolate: probed at the start, printed, and recorded in every result."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from grader.sandbox import shipment
from grader.sandbox.inside import landlock, limits, seccomp
from grader.workers.libraries import libraries

LevelName = Literal["full", "reduced", "none"]
Layer = Literal["bubblewrap", "landlock", "seccomp", "limits", "user", "passing", "capabilities"]


@dataclass(frozen=True)
class Level:
    """The isolation that this machine offers.

    `full` is Landlock, seccomp and limits that hold; `reduced` lacks one of them, `none` both filters. `layers` are
    all those that are put around code under test, `missing` says why the level is not full, `notes` what else is worth
    knowing.
    """

    name: LevelName
    layers: tuple[Layer, ...]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def without(self, *layers: Layer) -> Level:
        """This level with single layers left out, for tests that show what each of them stops."""
        left = tuple(layer for layer in self.layers if layer not in layers)
        return Level("reduced", left, (f"switched off: {', '.join(layers)}",))


def probe() -> Level:
    """Find out what there is here."""
    if sys.platform != "linux":
        return Level("none", ("limits",), ("Landlock and seccomp exist on Linux only",))
    if not _has_pidfd():
        return Level("none", ("limits",), ("the kernel is older than 5.3",))
    layers: list[Layer] = ["limits", "capabilities"]
    missing, notes = [], []
    if landlock.version():
        layers.append("landlock")
    else:
        missing.append("this kernel has no Landlock: code under test can read files")
    if seccomp.available():
        layers.append("seccomp")
    else:
        missing.append("there is no seccomp filter for this machine: code under test can start processes, open sockets")
    if bubblewrap():
        layers.append("bubblewrap")
    else:
        notes.append("bubblewrap is not installed or does not work here: names and sizes of files can be seen")
    closed = None if bubblewrap() or os.geteuid() != 0 else _closed_folder()
    if limits.becomes_another_user():
        layers.append("user")
        if closed is not None:
            layers.append("passing")
            notes.append(f"code under test may pass folders that are closed to others, since Python stands in {closed}")
    else:
        missing.append("code under test stays root, since there is no other user here: nothing limits its threads")
    if len(missing) > 1 and {"landlock", "seccomp"}.isdisjoint(layers):
        return Level("none", tuple(layers), tuple(missing), tuple(notes))
    return Level("reduced" if missing else "full", tuple(layers), tuple(missing), tuple(notes))


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return False
    return True


def _closed_folder() -> Path | None:
    """A folder on the way to the interpreter or its libraries that other users may not enter."""
    readable, _ = shipment.standard_library()
    for path in (*readable, *libraries().folders):
        for folder in (path, *path.parents):
            if folder.is_dir() and not folder.stat().st_mode & 0o001:
                return folder
    return None


@cache
def bubblewrap() -> tuple[str, ...]:
    """The command that gives a process a file system with nothing but what it may read; () where that can't be done."""
    program = shutil.which("bwrap")
    if program is None:
        return ()
    readable, _ = shipment.standard_library()
    system = [Path(path) for path in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")]
    interpreter = [Path(sys.executable), Path(sys.executable).resolve()]
    command = [program, "--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid", "--unshare-net"]
    command += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox", "--proc", "/proc", "--dev", "/dev"]
    paths = (*system, *interpreter, *readable, *libraries().paths)
    for folder in sorted({parent for path in paths for parent in path.parents}):
        command += ["--perms", "0755", "--dir", str(folder)]  # else other users may not go through it
    for path in paths:
        if path.is_symlink() and path in system:
            command += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            command += ["--ro-bind", str(path), str(path)]
    command += ["--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/"]  # some libraries keep files of their own
    trial = subprocess.run(
        [*command, sys.executable, "-I", "-S", "-c", ""], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    return tuple(command) if trial.returncode == 0 else ()
