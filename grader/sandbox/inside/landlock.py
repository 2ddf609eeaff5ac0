"""Landlock: from here on, this process may read certain files and nothing else of the file system or the network.

Source: the kernel's Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from grader.sandbox.inside.linux import syscall

CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
SCOPES = 0b11  # abstract UNIX sockets, signals: not beyond this process
TCP = 0b11  # bind, connect


def version() -> int:
    """The kernel's version of the Landlock interface; 0 if it has none or it is switched off."""
    try:
        return syscall("landlock_create_ruleset", None, 0, CREATE_RULESET_VERSION)
    except OSError:
        return 0


def handled_rights(abi: int) -> int:
    """All rights on files that this version of the interface knows: what is not given is refused."""
    count = 13  # execute, write, read, list, remove, make (7 kinds)
    count += abi >= 2  # refer: rename and link across folders
    count += abi >= 3  # truncate
    count += abi >= 5  # ioctl on devices
    return (1 << count) - 1


def ruleset_attributes(abi: int) -> bytes:
    """`struct landlock_ruleset_attr`, as long as this version of the interface knows it."""
    fields = [handled_rights(abi)]
    if abi >= 4:
        fields.append(TCP)
    if abi >= 6:
        fields.append(SCOPES)
    return struct.pack(f"<{len(fields)}Q", *fields)


def ruleset(readable: Iterable[Path], listable: Iterable[Path] = ()) -> int:
    """A ruleset that allows reading the files and folders of `readable`, and listing the folders of `listable`.

    Returns its file descriptor, for `restrict`. Paths that don't exist are left out.

    Raises:
        OSError: the kernel has no Landlock.
    """
    attributes = ruleset_attributes(version())
    rules = syscall("landlock_create_ruleset", attributes, len(attributes), 0)
    for path in readable:
        _allow(rules, path, READ_FILE | READ_DIR)
    for path in listable:
        _allow(rules, path, READ_DIR)
    _allow(rules, Path(os.devnull), READ_FILE | WRITE_FILE)
    return rules


def restrict(rules: int) -> None:
    """Apply a ruleset to this thread and all it will start. There is no way back.

    Raises:
        OSError: the kernel refuses (`no_new_privs` has to be set before).
    """
    syscall("landlock_restrict_self", rules, 0)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= ~READ_DIR
        syscall("landlock_add_rule", rules, RULE_PATH_BENEATH, struct.pack("<Qi", rights, handle), 0)
    finally:
        os.close(handle)
