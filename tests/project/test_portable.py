"""Windows and macOS must not break: outside the sandbox, what only POSIX has stands behind a guard."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.files import ROOT

MODULES = {"fcntl", "termios", "tty", "pty", "resource", "pwd", "grp", "curses", "readline", "syslog", "posix"}
NAMES = {
    "os": {
        *("fork", "forkpty", "waitpid", "wait", "wait3", "wait4", "killpg", "setsid", "setpgid", "getpgid", "getpgrp"),
        *("tcgetpgrp", "tcsetpgrp", "getuid", "geteuid", "getgid", "setuid", "setgid", "setresuid", "setresgid"),
        *("chroot", "chown", "mkfifo", "nice", "uname", "getloadavg", "set_blocking", "sched_getaffinity", "sysconf"),
        *("statvfs", "pidfd_open", "memfd_create", "posix_spawn", "openpty", "ttyname", "WNOHANG", "O_NOFOLLOW"),
    },
    "signal": {
        *("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGTSTP", "SIGCONT", "SIGQUIT", "SIGPIPE", "SIGCHLD"),
        *("SIGSTOP", "SIGWINCH", "alarm", "setitimer", "pthread_kill", "pthread_sigmask", "sigwait", "pause"),
    },
    "socket": {"AF_UNIX", "socketpair", "send_fds", "recv_fds"},
    "time": {"clock_gettime", "tzset"},
}


def files() -> list[Path]:
    return sorted(
        path
        for folder in ("grader", "lab")
        for path in (ROOT / folder).rglob("*.py")
        if ROOT / "grader" / "sandbox" not in path.parents
    )


def looks_at_platform(test: ast.expr) -> bool:
    spoken = ast.unparse(test)
    return "sys.platform" in spoken or "os.name" in spoken or "platform.system" in spoken


def leaves(body: list[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Return | ast.Raise | ast.Continue)


def offences(tree: ast.AST, guarded: bool = False) -> Iterator[str]:
    """What is used without a guard: an `if` about the platform, one that leaves first, or a `try` for a lack of it."""
    for _, value in ast.iter_fields(tree):
        rest = guarded
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST):
                continue
            inside = rest
            if isinstance(node, ast.If) and looks_at_platform(node.test):
                inside = True
                rest = rest or leaves(node.body)
            if isinstance(node, ast.IfExp) and looks_at_platform(node.test):
                inside = True
            if isinstance(node, ast.Try) and any(
                handler.type is not None and re.search("ImportError|AttributeError", ast.unparse(handler.type))
                for handler in node.handlers
            ):
                inside = True
            if not inside:
                yield from offence(node)
            yield from offences(node, inside)


def offence(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"{node.lineno}: import {item.name}" for item in node.names if item.name in MODULES)
    if isinstance(node, ast.ImportFrom):
        if node.module in MODULES:
            yield f"{node.lineno}: from {node.module} import"
        for item in node.names:
            if item.name in NAMES.get(node.module or "", ()):
                yield f"{node.lineno}: from {node.module} import {item.name}"
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in NAMES.get(node.value.id, ())
    ):
        yield f"{node.lineno}: {node.value.id}.{node.attr}"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_that_only_posix_has_stands_unguarded(path: Path):
    assert list(offences(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("import fcntl", 1),
        ("import os\nos.fork()", 1),
        ("from os import fork", 1),
        ("import signal\ndef f():\n    return signal.SIGKILL", 1),
        ("import os, sys\nif sys.argv:\n    os.fork()", 1),
        ("try:\n    import fcntl\nexcept ImportError:\n    fcntl = None", 0),
        ("import os, sys\nif sys.platform == 'linux':\n    os.fork()", 0),
        ("import os, sys\ndef f():\n    if sys.platform == 'win32':\n        return\n    os.fork()", 0),
        ("import os, sys\ndef f():\n    if sys.platform == 'win32':\n        print()\n    os.fork()", 1),
        ("import os\nos.replace('a', 'b')", 0),
    ],
)
def test_the_search_itself_finds_what_it_should(code: str, count: int):
    assert len(list(offences(ast.parse(textwrap.dedent(code))))) == count
