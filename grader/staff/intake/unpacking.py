"""The files of a folder or an archive, archives in it included: looked at within limits, never unpacked to the disk.

No link is followed, nothing but plain files is opened, and whatever is wrong with one file costs that file.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from grader.staff.intake.reasons import Refused, details, reason
from grader.staff.words import printable

MEMBERS = 20_000  # files that are looked at
UNPACKED = 256 << 20  # bytes that everything that is packed may have, all of it together
INNER_LIMIT = 64 << 20  # bytes of an archive in another one, or in a folder
DEEP = 12  # folders in folders
DETAILS = 50  # of what Python says
SOURCES = (".py", ".ipynb")
NESTED = 3  # archives in archives
ENDINGS = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")
LEFT_BEHIND = {"__MACOSX", "__pycache__", "node_modules", "site-packages"}  # by systems and tools
PROJECT = {"solutions", "backups", "recall", "pictures", "tests", "grader", "lab", "docs"}  # ours, beside `exercises`
NOT_OPENED = {  # by what they begin with: their ending
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x28\xb5\x2f\xfd": "zst",
}
PACKED: dict[bytes, Callable[..., object]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


@dataclass(frozen=True)
class Found:
    """A file, wherever it lies; `read` gives its first bytes, and may raise whatever a damaged file makes it raise."""

    path: PurePosixPath
    size: int
    read: Callable[[int], bytes]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_archive(self) -> bool:
        return self.name.lower().endswith(ENDINGS)


class Unpacking:
    """Goes through what was handed in; `notes` says what was left out, `details` what Python says of it."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.details: list[str] = []
        self._left = UNPACKED
        self._members = MEMBERS
        self._open: list[IO[bytes]] = []

    def close(self) -> None:
        """Close the archives; nothing can be read then."""
        for file in self._open:
            file.close()

    def files(self, path: Path) -> list[Found]:
        """Every file of a folder, of an archive, or the one file; those of archives in it stand in their place.

        Raises:
            Refused: it is an archive that can't be opened.
            OSError: it can't be read at all.
        """
        if path.is_dir():
            found = list(self._opened(self._of_folder(path), 0))
        else:
            whole = Found(PurePosixPath(printable(path.name)), path.stat().st_size, lambda limit: head(path, limit))
            if not is_archive(path):
                return [whole]
            self._open.append(_plain(path))
            found = list(self._opened(self._of_archive(self._open[-1], whole.path, PurePosixPath()), 1))
        roots = {each.path.parent.parent for each in found if each.path.parent.name == "exercises"}
        return [each for each in found if not _of_project(each.path, roots)]

    def _opened(self, files: Iterator[Found], depth: int) -> Iterator[Found]:
        """The files, and those of each archive among them, the smallest first: a large one may use up the limits."""
        archives = []
        for found in files:
            if found.is_archive:
                archives.append(found)
            else:
                yield found
        for found in sorted(archives, key=lambda archive: archive.size):
            try:
                if depth >= NESTED:
                    raise Refused("it lies in too many other archives. Unpack them, and pack the files once")
                yield from self._opened(self._of_archive(self._whole(found), found.path, found.path), depth + 1)
            except Refused as why:
                self.notes.append(f"{found.path} can't be read: {why}")

    def why(self, path: object, error: Exception) -> str:
        """A sentence on why something can't be read; what Python says of it is kept."""
        said = details(path, error)
        if said and len(self.details) < DETAILS:
            self.details.append(said)
        return reason(error)

    def _whole(self, found: Found) -> IO[bytes]:
        """An archive in an archive, or in a folder, as a file in memory."""
        try:
            content = found.read(INNER_LIMIT + 1)
        except Exception as error:
            raise Refused(self.why(found.path, error)) from None
        if len(content) > INNER_LIMIT:
            raise Refused(f"it is larger than {INNER_LIMIT >> 20} MiB. Hand in the exercises' files alone")
        return io.BytesIO(content)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Refused(f"more than {UNPACKED >> 20} MiB come out of it; what lies behind them was not looked at")

    def _count(self) -> bool:
        """Count a file; whether it is still looked at."""
        self._members -= 1
        if self._members == -1:
            self.notes.append(f"{MEMBERS:,} files were looked at; those behind them were not")
        return self._members >= 0

    def _of_folder(self, top: Path) -> Iterator[Found]:
        waiting = [top]
        while waiting:
            folder = waiting.pop(0)
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                shown = _relative(folder, top)
                self.notes.append(f"{shown} can't be read: {self.why(shown, error)}")
                continue
            if not entries and folder.suffix.lower() in SOURCES:
                self.notes.append(f"{_relative(folder, top)} is a folder, and nothing is in it")
            for entry in entries:
                path, shown = Path(entry.path), _relative(Path(entry.path), top)
                if not self._count():
                    return
                try:
                    about = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # it is gone
                if stat.S_ISDIR(about.st_mode):
                    if not _left_behind(entry.name) and len(shown.parts) < DEEP:
                        waiting.append(path)
                elif not stat.S_ISREG(about.st_mode):
                    self._not_a_file(shown, "link" if stat.S_ISLNK(about.st_mode) else "special file")
                elif not entry.name.startswith("."):
                    yield Found(shown, about.st_size, lambda limit, path=path: head(path, limit))  # type: ignore[misc]

    def _of_archive(self, file: IO[bytes], path: PurePosixPath, inside: PurePosixPath) -> Iterator[Found]:
        """The files of an archive, by what it holds rather than by its name. Of two with one path the last counts."""
        magic_bytes = file.read(8)
        file.seek(0)
        known = magic_bytes.startswith((b"PK", *PACKED))
        for magic, ending in NOT_OPENED.items():
            if magic_bytes.startswith(magic) or (path.name.lower().endswith(f".{ending}") and not known):
                raise Refused(f"{ending} archives are not opened here. Unpack it, or ask for a zip")
        packed = next((opener for magic, opener in PACKED.items() if magic_bytes.startswith(magic)), None)
        if packed is not None:
            file = self._unpacked(path, cast("IO[bytes]", packed(file)))
            if not _is_tar(file):
                yield _single(file.read(), path, inside)
                return
        members = self._of_zip(file) if magic_bytes.startswith(b"PK") else self._of_tar(file)
        last: dict[PurePosixPath, Found | None] = {}
        try:
            for name, kind, size, read in members:
                if not self._count():
                    break
                member = _safe(name)
                if kind != "file":
                    last.pop(member, None)
                    if kind == "link":
                        self._not_a_file(inside / member, "link")
                elif not any(_left_behind(part) for part in member.parts[:-1]) and not member.name.startswith("."):
                    last[member] = Found(inside / member, size, self._metered(read))
        except Exception as error:
            why = self.why(path, error)
            if not last:
                raise Refused(why) from None
            self.notes.append(f"{path} is read in part, and nothing behind that is looked at: {why}")
        yield from (found for found in last.values() if found is not None)

    def _metered(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        def metered(limit: int) -> bytes:
            content = read(limit)
            self._take(len(content))
            return content

        return metered

    def _unpacked(self, path: PurePosixPath, stream: IO[bytes]) -> IO[bytes]:
        """A compressed stream as a file in memory. Where it is damaged it ends, and so it does where it is too long."""
        content = io.BytesIO()
        try:
            while piece := stream.read(1 << 20):
                content.write(piece)
                self._take(len(piece))
        except Exception as error:
            why = self.why(path, error)
            if not content.tell():
                raise Refused(why) from None
            self.notes.append(f"{path} is read in part: {why}")
        content.seek(0)
        return content

    def _of_zip(self, file: IO[bytes]) -> Iterator[Member]:
        try:
            archive = zipfile.ZipFile(file)
        except UnicodeDecodeError:
            archive = zipfile.ZipFile(_without_claim(file))
        for info in archive.infolist():
            mode = info.external_attr >> 16
            kind = "folder" if info.is_dir() else "link" if stat.S_ISLNK(mode) else "file"
            yield info.filename, kind, info.file_size, lambda limit, info=info: _head_of_zip(archive, info, limit)  # type: ignore[misc]

    def _of_tar(self, file: IO[bytes]) -> Iterator[Member]:
        archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - it lives as long as what is read from it
        for member in archive:
            kind = "file" if member.isfile() else "link" if member.islnk() or member.issym() else "folder"
            yield member.name, kind, member.size, lambda limit, member=member: _head_of_tar(archive, member, limit)  # type: ignore[misc]

    def _not_a_file(self, path: PurePosixPath, what: str) -> None:
        if path.suffix.lower() in SOURCES or path.name.lower().endswith(ENDINGS):
            action = "followed" if what == "link" else "opened"
            self.notes.append(f"{path} is a {what}; it was not {action}")


Member = tuple[str, str, int, Callable[[int], bytes]]  # of an archive: name, kind, size, how its first bytes are read


def is_archive(path: Path) -> bool:
    """Return whether a file is meant to be an archive: by its ending, or, if it has none, by what it begins with."""
    if path.name.lower().endswith(ENDINGS):
        return True
    if path.suffix:
        return False  # a docx is a zip, and no archive
    first = head(path, 262)
    return first.startswith((b"PK", *NOT_OPENED, *PACKED)) or first[257:] == b"ustar"


def head(path: Path, limit: int) -> bytes:
    """The first bytes of a plain file."""
    with _plain(path) as file:
        return file.read(limit)


def _plain(path: Path) -> IO[bytes]:
    """Open a file, unless it has become a link or something that blocks in the meantime."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags), "rb")


def _single(content: bytes, path: PurePosixPath, inside: PurePosixPath) -> Found:
    """A file that is packed by itself: `a.py.gz` is `a.py`."""
    name = path.name.rpartition(".")[0] or path.name
    return Found(inside.parent / name, len(content), lambda limit: content[:limit])


def _head_of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(info) as file:
        return file.read(limit)


def _head_of_tar(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read(limit)


def _without_claim(file: IO[bytes]) -> IO[bytes]:
    """A zip whose names say that they are UTF-8 and are not, with that flag taken out of every header."""
    file.seek(0)
    raw = bytearray(file.read())
    for magic, offset in ((b"PK\x01\x02", 9), (b"PK\x03\x04", 7)):
        at = raw.find(magic)
        while at >= 0:
            if at + offset < len(raw):
                raw[at + offset] &= 0xFF ^ 0x08
            at = raw.find(magic, at + 4)
    return io.BytesIO(raw)


def _is_tar(file: IO[bytes]) -> bool:
    header = file.read(512)
    file.seek(0)
    return header[257:262] == b"ustar" or (len(header) == 512 and _checks_out(header))


def _checks_out(header: bytes) -> bool:
    """Return whether a header without a name of its format is one of an old tar: its checksum fits."""
    try:
        return int(header[148:156].strip(b" \0") or b"-1", 8) == sum(header) - sum(header[148:156]) + 8 * 32
    except ValueError:
        return False


def _safe(name: str) -> PurePosixPath:
    """The path of a member as one to show, below the archive it lies in."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return PurePosixPath(*(printable(part) for part in parts if part not in ("/", "..", ".")))


def _relative(path: Path, top: Path) -> PurePosixPath:
    return PurePosixPath(*(printable(part) for part in path.relative_to(top).parts))


def _left_behind(name: str) -> bool:
    return (name.startswith(".") and name.strip(".") != "") or name in LEFT_BEHIND


def _of_project(path: PurePosixPath, roots: set[PurePosixPath]) -> bool:
    """Return whether a file is one of the project's own: somebody has handed in the whole of it."""
    return any(
        (parent.parent in roots and parent.name in PROJECT)
        or (parent.parent.name == "exercises" and parent.name == "backups")
        for parent in path.parents
    )
