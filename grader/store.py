"""What is kept between runs, and what decides a result, as its key.

Everything in the store can be computed again. What is damaged, comes from something else or can't be read is as good as
not there; where nothing can be written, nothing is kept. So nobody has to ask whether it works.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from grader.errors import GraderError
from grader.files import ROOT, real, write_atomically

PLACE = "STUBFORMER_STORE"  # the environment variable that names another folder
DECISIVE = ("numpy", "torch")  # packages whose version may change a result


class Store:
    """JSON documents by name ("known/ex05.json") in one folder: `.stubformer`, or where STUBFORMER_STORE points.

    Each stands behind a line with its own fingerprint, so that a file that is cut short, edited or foreign is noticed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        named = os.environ.get(PLACE)
        self.folder = folder or (real(Path(named).expanduser()) if named else ROOT / ".stubformer")

    def path(self, name: str) -> Path:
        """Return where a document stands, or would."""
        return self.folder / name

    def read(self, name: str) -> Any:
        """Return a document; None if there is none that can be trusted."""
        return read_document(self.path(name))

    def write(self, name: str, document: Any) -> bool:
        """Keep a document in the place of an older one; whether that was possible."""
        path = self.path(name)
        body = json.dumps(document)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, f"{_seal(body)}\n{body}\n")
        except (OSError, GraderError):
            return False
        return True

    def lend(self, name: str, document: Any) -> Path | None:
        """Keep a document for another process to read: where nothing can be kept, as long as this process lives.

        Return its file; None if there is no place for temporary files either.
        """
        if self.write(name, document):
            return self.path(name)
        folder = _spare()
        if folder is None or not Store(folder).write(name, document):
            return None
        return Store(folder).path(name)

    def keep_youngest(self, pattern: str, count: int) -> None:
        """Delete all but the youngest documents whose names fit a pattern."""
        with contextlib.suppress(OSError):
            fitting = sorted(self.folder.glob(pattern), key=lambda path: path.stat().st_mtime)
            for path in fitting[: max(0, len(fitting) - count)]:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Hold a lock meanwhile, and say whether nobody else has it; where there can be no lock, nobody has."""
        lock = FileLock(self.path(name), timeout=0)
        free = True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            free = False
        except (OSError, NotImplementedError):
            pass  # nothing can be written there
        try:
            yield free
        finally:
            lock.release()


def read_document(path: Path) -> Any:
    """Return a document that a store keeps in a file; None if it is none, or not whole."""
    try:
        seal, _, body = path.read_text(encoding="utf-8").partition("\n")
        body = body.removesuffix("\n")
        return json.loads(body) if seal == _seal(body) else None
    except (OSError, ValueError, RecursionError):
        return None


@cache
def _spare() -> Path | None:
    """A folder that lasts as long as this process, if there can be one."""
    try:
        folder = tempfile.mkdtemp(prefix="stubformer-")
    except OSError:
        return None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _seal(body: str) -> str:
    return f"stubformer {hashlib.sha256(body.encode()).hexdigest()}"


def fingerprint(seed: int, texts: Iterable[str]) -> str:
    """Return a fingerprint of sources, of the seed, and of what runs them: the interpreter, packages, the engine."""
    versions = "\0".join([sys.version, *map(_version, DECISIVE)])
    digest = hashlib.sha256(f"{versions}\0{seed}\0{engine()}".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@cache
def engine(root: Path = ROOT / "grader") -> str:
    """Return a fingerprint of all of the engine: of the one that runs here, should its files be changed meanwhile."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
