"""What a learner's machine has and lacks, and how to mend it. It needs nothing but Python, so that it always runs.

`python -m grader.learning.doctor` works before anything is installed, `python -m grader doctor` afterwards.
"""

from __future__ import annotations

import contextlib
import locale
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

Level = Literal["ok", "note", "wrong"]

ROOT = Path(__file__).resolve().parents[2]
OLDEST = (3, 11)
NEEDED_MIB = 500
MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A note is no obstacle; what is wrong stops something from working."""

    what: str
    level: Level
    says: str
    mend: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Check whether this Python is new enough."""
    shown = ".".join(map(str, version))
    if version < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return Finding(
            "Python", "wrong", f"{shown}; {wanted} or newer is needed", "Name another: make PYTHON=python3.12"
        )
    return Finding("Python", "ok", f"{shown} on {platform.system()} {platform.machine()}")


def environment(prefix: str = sys.prefix, root: Path = ROOT) -> Finding:
    """Check whether this Python is the one of .venv."""
    own = root / ".venv"
    if Path(prefix).resolve() == own.resolve():
        return Finding(".venv", "ok", "in use")
    if own.exists():
        return Finding(".venv", "note", f"it is there, but this Python is {prefix}", "make uses .venv by itself")
    return Finding(".venv", "note", f"there is none; this Python is {prefix}", "make test sets it up")


def packages(root: Path = ROOT) -> Iterator[Finding]:
    """Check whether what the project needs is installed, in the versions that constraints.txt pins."""
    mend = "make clean test (sets .venv up anew; your files stay)"
    needed = _needed(root)
    pins = _pins(root)
    if not needed:
        yield Finding("packages", "wrong", f"{root / 'pyproject.toml'} can't be read", "git checkout -- pyproject.toml")
        return
    missing, other = [], []
    for name in needed:
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        pinned = pins.get(name)
        if pinned is not None and installed.partition("+")[0] != pinned:
            other.append(f"{name} {installed} (pinned: {pinned})")
    if missing:
        yield Finding("packages", "wrong", f"not installed: {', '.join(missing)}", mend)
    if other:
        yield Finding("versions", "note", f"other than constraints.txt says: {', '.join(other)}", mend)
    if not missing and not other:
        yield Finding("packages", "ok", f"{len(needed)} installed, as constraints.txt pins them")


def torch() -> Finding:
    """Check whether PyTorch can be imported and computes, and on which devices."""
    try:
        import torch

        two = (torch.ones(2, 2) @ torch.ones(2, 2))[0, 0].item()
        devices = ["cpu"]
        if torch.cuda.is_available():
            devices.append(f"cuda ({torch.cuda.get_device_name(0)})")
        if torch.backends.mps.is_available():
            devices.append("mps")
    except Exception as error:  # a broken driver or library raises anything
        return Finding("PyTorch", "wrong", f"{type(error).__name__}: {error}", "make clean test")
    if two != 2.0:
        return Finding("PyTorch", "wrong", f"ones @ ones is {two} instead of 2", "make clean test")
    return Finding("PyTorch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads, on {', '.join(devices)}")


def files(root: Path = ROOT) -> Iterator[Finding]:
    """Check whether the exercises are all there, and can be written to."""
    try:
        import tomllib

        stems = [
            item["stem"] for item in tomllib.loads((root / "exercises/syllabus.toml").read_text("utf-8"))["exercise"]
        ]
    except (ImportError, OSError, ValueError, KeyError, TypeError) as error:
        yield Finding(
            "syllabus", "wrong", f"{type(error).__name__}: {error}", "git checkout -- exercises/syllabus.toml"
        )
        return
    suites = [f"tests/test_{stem}.py" for stem in stems if not (root / f"tests/test_{stem}.py").is_file()]
    stubs = [stem for stem in stems if not (root / f"exercises/{stem}.py").is_file()]
    if suites:
        yield Finding("checks", "wrong", f"missing: {', '.join(suites)}", f"git checkout -- {' '.join(suites)}")
    if stubs:
        again = ", ".join(f"make reset EX={stem[2:4]}" for stem in stubs[:3])
        yield Finding("exercises", "note", f"missing: {', '.join(stubs)}", again)
    elif not suites:
        yield Finding("exercises", "ok", f"{len(stems)}, with their checks")
    for folder in (root, root / "exercises"):
        if not _writable(folder):
            yield Finding(
                "writing", "wrong", f"no file can be made in {folder}", "Copy the project to a folder of yours"
            )


def disk(free: int | None = None, root: Path = ROOT) -> Finding:
    """Check whether there is room for checkpoints, progress and pictures."""
    mib = (shutil.disk_usage(root).free if free is None else free) >> 20
    if mib < NEEDED_MIB:
        return Finding("disk", "wrong", f"{mib} MiB free, {NEEDED_MIB} are needed", "Make room; old runs are in runs/")
    return Finding("disk", "ok", f"{mib / 1024:.1f} GiB free")


def editor(variables: dict[str, str] | None = None) -> Finding:
    """Check whether the editor that is named can be found."""
    known = os.environ if variables is None else variables
    for name in ("VISUAL", "EDITOR"):
        command = known.get(name, "").strip()
        if command:
            program = command.split()[0].strip("\"'")
            if shutil.which(program) or Path(command.strip("\"'")).exists():
                return Finding("editor", "ok", f"{command} ({name})")
            return Finding(
                "editor", "note", f"{name} is {command}, which can't be found", f"export {name}=... names another"
            )
    return Finding(
        "editor", "note", "none is named: `o` in make watch can't open one", "export EDITOR=nano (or code, vim, ...)"
    )


def terminal(variables: dict[str, str] | None = None) -> Finding:
    """Check what the output can show."""
    known = os.environ if variables is None else variables
    size = shutil.get_terminal_size()
    where = "a terminal" if sys.stdout is not None and sys.stdout.isatty() else "no terminal (a pipe or a file)"
    colour = "no colour (NO_COLOR)" if "NO_COLOR" in known else f"TERM={known.get('TERM', '(not set)')}"
    says = f"{where}, {size.columns} x {size.lines}, {colour}"
    if size.columns < 80:
        return Finding("terminal", "note", says, "80 columns and more read better")
    return Finding("terminal", "ok", says)


def encoding(stream: str | None = None) -> Finding:
    """Check whether what is printed may hold more than ASCII."""
    name = stream or getattr(sys.stdout, "encoding", None) or "unknown"
    if not name.lower().replace("-", "").startswith("utf8"):
        says = f"{name}: marks are shown in ASCII"
        return Finding("encoding", "note", says, "export PYTHONUTF8=1 (or a UTF-8 locale) brings the others")
    return Finding(
        "encoding", "ok", f"{name}, files {sys.getfilesystemencoding()}, locale {locale.getpreferredencoding(False)}"
    )


def git(root: Path = ROOT) -> Finding:
    """Check whether git is there, and this folder is a clone that can be updated."""
    if shutil.which("git") is None:
        return Finding("git", "note", "not installed: make update can't work", "https://git-scm.com/downloads")
    version = _git(root, "--version").removeprefix("git version ")
    if not _git(root, "rev-parse", "--git-dir"):
        return Finding("git", "note", f"{version}; this folder is not a clone", "make update needs one: git clone ...")
    remotes = _git(root, "remote").split()
    if not remotes:
        return Finding("git", "note", f"{version}; no remote to update from", "git remote add upstream URL")
    return Finding("git", "ok", f"{version}, remote {', '.join(remotes)}")


def watching(root: Path = ROOT, patience: float = 3.0) -> Finding:
    """Check whether the system says when a file changes: a file is written, and the event awaited."""
    try:
        from watchfiles import watch
    except ImportError:
        return Finding("watching", "wrong", "watchfiles is not installed", "make clean test")
    try:
        with tempfile.TemporaryDirectory(dir=root / "exercises") as folder:
            if _saw_a_change(watch, Path(folder), patience):
                return Finding("watching", "ok", "changes of files are seen")
    except OSError as error:
        return Finding("watching", "note", f"could not be tried: {error.strerror or error}")
    mend = "make watch ARGS=--poll (network folders and some WSL mounts send no events)"
    return Finding("watching", "note", "a file was written, and the system did not say so", mend)


def progress() -> Finding:
    """Check whether the progress file can be read."""
    try:
        from grader.errors import GraderError
        from grader.progress.history import default_path, read
    except ImportError as error:
        return Finding("progress", "note", f"could not be tried: {error}")
    path = default_path()
    try:
        events = read(path)
    except GraderError as error:
        return Finding("progress", "note", str(error), "make progress keeps what can be read, and a backup")
    return Finding(
        "progress", "ok", f"{len(events)} events in {path.name}" if events else f"nothing in {path.name} yet"
    )


EXAMINATIONS: tuple[Callable[[], Finding | Iterable[Finding]], ...] = (
    python, environment, packages, torch, files, disk, git, editor, terminal, encoding, watching, progress,
)  # fmt: skip


def examine() -> Iterator[Finding]:
    """Everything, one after the other. An examination that fails itself is a finding, too."""
    for examination in EXAMINATIONS:
        try:
            found = examination()
            yield from [found] if isinstance(found, Finding) else found
        except Exception as error:
            yield Finding(examination.__name__, "wrong", f"could not be looked at: {type(error).__name__}: {error}")


def main(show: Callable[[str], object] = print, findings: Iterable[Finding] | None = None) -> int:
    """Print every finding as soon as it is there; 1 if something is wrong, else 0."""
    wrong = 0
    for finding in examine() if findings is None else findings:
        for line in _lines(f"  {MARKS[finding.level]}  {finding.what:<10} ", finding.says):
            show(line)
        if finding.mend:
            for line in _lines(f"{'':20}-> ", finding.mend):
                show(line)
        wrong += finding.level == "wrong"
    show("")
    show("Nothing is wrong." if not wrong else f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong.")
    return 1 if wrong else 0


def _lines(head: str, text: str) -> list[str]:
    """A text behind its head, broken between words where the terminal ends."""
    width = shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else 10_000
    return textwrap.wrap(
        _safe(text), width, initial_indent=head, subsequent_indent=" " * len(head),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _safe(text: str) -> str:
    encoding_ = getattr(sys.stdout, "encoding", None) or "ascii"
    return text.encode(encoding_, "replace").decode(encoding_)


def _needed(root: Path) -> list[str]:
    try:
        import tomllib

        data = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
        return [re.split(r"[\s<>=!~\[;]", item)[0] for item in data["project"]["dependencies"]]
    except (ImportError, OSError, ValueError, KeyError):
        return []


def _pins(root: Path) -> dict[str, str]:
    try:
        lines = (root / "constraints.txt").read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {
        name: version
        for name, _, version in (line.partition(";")[0].strip().partition("==") for line in lines)
        if version
    }


def _writable(folder: Path) -> bool:
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _git(root: Path, *arguments: str) -> str:
    """Return what git says, or '' where it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _saw_a_change(watch: Callable[..., Any], folder: Path, patience: float) -> bool:
    over, done = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not done.wait(0.1) and number < 10 * patience:
            number += 1
            with contextlib.suppress(OSError):  # a full disk is a finding of its own
                (folder / "probe.txt").write_text(str(number))
        over.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    started = time.monotonic()
    try:
        for _ in watch(folder, stop_event=over, force_polling=False, step=50, raise_interrupt=False):
            return True
        return False
    finally:
        done.set()
        writer.join(max(0.5, patience - (time.monotonic() - started)))


if __name__ == "__main__":
    sys.exit(main())
