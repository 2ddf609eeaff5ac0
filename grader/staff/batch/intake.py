"""What a student handed in, as it comes: a folder or an archive, nested, oddly encoded, twice, as a notebook.

Nothing is unpacked to the disk and no link is followed: the files that matter are read into memory, up to a limit.
"""

from __future__ import annotations

import io
import json
import re
import stat
import tarfile
import tokenize
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from grader.content.syllabus import find, load
from grader.errors import GraderError
from grader.nb.cells import code_of
from grader.probing.assembly import Source

FILE_LIMIT = 1 << 20  # bytes of one source; the longest reference has 20,000
TOTAL_LIMIT = 16 << 20  # bytes of everything that is taken from one submission
ENTRY_LIMIT = 20_000  # files that are looked at
NOTEBOOK_LIMIT = 32 << 20  # with its outputs, of which nothing is taken
SKIPPED = {"__MACOSX", "__pycache__", "node_modules", "site-packages", "backups", "solutions", "recall"}
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
COPY = re.compile(r"( ?\(\d+\)| ?- ?copy( ?\(?\d+\)?)?|[-_ ]\d+|[-_](final|new|old|v\d+))+$", re.IGNORECASE)


class Unusable(Exception):
    """A submission that can't be read at all; the message says why."""


@dataclass
class Submission:
    """The sources that a student handed in, and what was odd about them."""

    student: str
    sources: dict[str, Source] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)  # by stem: why
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Item:
    """A file of a submission, wherever it lies; its content is read when it is needed."""

    path: PurePosixPath
    size: int
    modified: float
    read: Callable[[int], bytes]

    @property
    def name(self) -> str:
        """The stem that the file was meant to have: `ex05_attention (1).py` is a copy of `ex05_attention.py`."""
        return COPY.sub("", self.path.name.rsplit(".", 1)[0]).strip().lower()

    @property
    def is_copy(self) -> bool:
        return self.name != self.path.name.rsplit(".", 1)[0]


def find_submissions(folder: Path) -> list[Path]:
    """What lies in a folder of submissions: a folder or an archive for each student, in the order of their names.

    Raises:
        GraderError: there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise GraderError(f"There is no folder {folder}. Name the one with a folder or an archive for each student.")
    found = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in SKIPPED)
    chosen = [path for path in found if path.is_dir() or path.name.lower().endswith(ARCHIVES)]
    if not chosen:
        raise GraderError(f"{folder} holds no submission: a folder, a zip or a tar for each student is expected.")
    names = [student_of(path) for path in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        both = ", ".join(path.name for path in chosen if student_of(path) == twice[0])
        raise GraderError(f"{folder} holds {both}: which one is {twice[0]}'s submission? Move the others away.")
    return chosen


def student_of(path: Path) -> str:
    """The name under which a submission is filed: that of its folder, or of its archive without the ending."""
    if path.is_dir():
        return path.name
    lower = path.name.lower()
    ending = max((ending for ending in ARCHIVES if lower.endswith(ending)), key=len, default="")
    return path.name[: len(path.name) - len(ending)] or path.name


def take(path: Path) -> Submission:
    """Read a submission.

    Raises:
        Unusable: it can't be opened, or holds none of the exercises.
    """
    submission = Submission(student_of(path))
    try:
        with _opened(path, submission.notes) as items:
            _choose(submission, list(items))
    except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError) as error:
        kind = "folder" if path.is_dir() else "archive"
        raise Unusable(f"the {kind} can't be read: {str(error) or type(error).__name__}") from None
    if not submission.sources and not submission.unreadable:
        seen = "; ".join(submission.notes)
        raise Unusable(f"none of the exercises is in it ({load()[0].stub.name}, ...). {seen}".strip())
    return submission


class _opened:
    """The files of a folder or an archive, as a context manager."""

    def __init__(self, path: Path, notes: list[str]) -> None:
        self.path = path
        self.notes = notes
        self.archive: zipfile.ZipFile | tarfile.TarFile | None = None

    def __enter__(self) -> Iterator[Item]:
        if self.path.is_dir():
            return self._of_folder()
        if self.path.name.lower().endswith(".zip"):
            self.archive = zipfile.ZipFile(self.path)
            return self._of_zip(self.archive)
        self.archive = tarfile.open(self.path)
        return self._of_tar(self.archive)

    def __exit__(self, *_: object) -> None:
        if self.archive is not None:
            self.archive.close()

    def _of_folder(self) -> Iterator[Item]:
        waiting = [self.path]
        while waiting:
            for path in sorted(waiting.pop(0).iterdir()):
                relative = PurePosixPath(path.relative_to(self.path).as_posix())
                try:
                    about = path.lstat()
                except OSError:
                    continue
                if stat.S_ISLNK(about.st_mode):
                    if _matters(relative):
                        self.notes.append(f"{relative} is a link; it was not followed")
                elif stat.S_ISDIR(about.st_mode):
                    if not _skipped(path.name) and len(relative.parts) < 12:
                        waiting.append(path)
                elif stat.S_ISREG(about.st_mode):
                    yield Item(relative, about.st_size, about.st_mtime, lambda limit, path=path: _head(path, limit))  # type: ignore[misc]

    def _of_zip(self, archive: zipfile.ZipFile) -> Iterator[Item]:
        for info in archive.infolist():
            path = PurePosixPath(info.filename.replace("\\", "/"))
            if info.is_dir() or any(_skipped(part) for part in path.parts[:-1]):
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                if _matters(path):
                    self.notes.append(f"{path} is a link; it was not followed")
                continue
            modified = float("".join(f"{part:02d}" for part in info.date_time))
            yield Item(path, info.file_size, modified, lambda limit, info=info: _head_of_zip(archive, info, limit))  # type: ignore[misc]

    def _of_tar(self, archive: tarfile.TarFile) -> Iterator[Item]:
        for member in archive:
            path = PurePosixPath(member.name)
            if any(_skipped(part) for part in path.parts[:-1]):
                continue
            if member.islnk() or member.issym():
                if _matters(path):
                    self.notes.append(f"{path} is a link; it was not followed")
            elif member.isfile():
                yield Item(
                    path,
                    member.size,
                    float(member.mtime),
                    lambda limit, member=member: _head_of_tar(archive, member, limit),  # type: ignore[misc]
                )


def _head(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit)


def _head_of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(info) as file:
        return file.read(limit)


def _head_of_tar(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read(limit)


def _skipped(name: str) -> bool:
    return (name.startswith(".") and name.strip(".") != "") or name in SKIPPED


def _matters(path: PurePosixPath) -> bool:
    return path.suffix.lower() in (".py", ".ipynb")


# ---- which file is which exercise ----------------------------------------------------------------------------------


def _choose(submission: Submission, items: Sequence[Item]) -> None:
    """Find each exercise's file among all that was handed in, and the helper modules beside them."""
    if len(items) > ENTRY_LIMIT:
        submission.notes.append(f"it holds {len(items):,} files; only the first {ENTRY_LIMIT:,} were looked at")
    relevant = [item for item in items[:ENTRY_LIMIT] if _matters(item.path) and not _skipped(item.path.name)]
    stems = {entry.stem.lower(): entry.stem for entry in load()}
    by_stem: dict[str, list[Item]] = {}
    for item in relevant:
        if item.name in stems:
            by_stem.setdefault(stems[item.name], []).append(item)
    left = TOTAL_LIMIT
    folders = set()
    for entry in load():
        chosen = _best(by_stem.get(entry.stem, []), submission.notes)
        if chosen is not None and left > 0:
            folders.add(chosen.path.parent)
            left -= _read(submission, entry.stem, chosen)
    known = {id(item) for items in by_stem.values() for item in items}
    for item in relevant:
        stem = item.path.stem
        helper = item.path.suffix == ".py" and item.path.parent in folders and stem.isidentifier()
        if id(item) not in known and helper and stem not in submission.sources and item.size <= FILE_LIMIT < left:
            left -= _read(submission, stem, item)


def _best(items: Sequence[Item], notes: list[str]) -> Item | None:
    """The file that counts if there are several: Python before notebook, the right name, the top folder, the latest."""
    if not items:
        return None
    ranked = sorted(
        items, key=lambda item: (item.path.suffix.lower() != ".py", item.is_copy, len(item.path.parts), -item.modified)
    )
    first, others = ranked[0], [item for item in ranked[1:] if item.path.suffix == ranked[0].path.suffix]
    if others:
        notes.append(f"there are {len(others) + 1} versions of {first.name}: {first.path} counts")
    elif first.is_copy:
        notes.append(f"{first.path} was taken as {first.name}.py")
    return first


def _read(submission: Submission, stem: str, item: Item) -> int:
    """Read a file into the submission, or note why not; returns how much was taken."""
    notebook = item.path.suffix.lower() == ".ipynb"
    limit = NOTEBOOK_LIMIT if notebook else FILE_LIMIT
    if item.size > limit:
        large = f"{item.path} has {item.size / (1 << 20):,.0f} MiB"
        submission.unreadable[stem] = f"{large}; a source has {limit >> 20} at most"
        return 0
    raw = item.read(limit + 1)
    try:
        if len(raw) > limit:
            raise ValueError("it is larger than it says")
        text = _decoded(raw, str(item.path), submission.notes)
        if notebook:
            cells = code_of(find([stem])[0], text)  # one of ours, with the code in cells
            text = code_of_notebook(text) if cells is None else cells
            submission.notes.append(f"{item.path} is a notebook: its code cells were taken as {stem}.py")
    except ValueError as error:
        submission.unreadable[stem] = f"{item.path}: {error}"
        return len(raw)
    text, magics = without_magics(text)
    if magics:
        submission.notes.append(f"{item.path} holds notebook commands (%..., !..., get_ipython): they were left out")
    submission.sources[stem] = Source(stem, Path(f"{stem}.py"), text, "learner")
    return len(text)


def _decoded(raw: bytes, path: str, notes: list[str]) -> str:
    """The text of a source in UTF-8, UTF-16 with a mark, the encoding that it declares, or else Latin-1."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            if encoding == "utf-16":
                notes.append(f"{path} is in UTF-16; it was read as such")
            return _lines(raw.decode(encoding))
    try:
        return _lines(raw.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    try:
        declared, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    except SyntaxError:
        declared = "latin-1"
    encoding = "latin-1" if declared.startswith("utf-8") else declared
    notes.append(f"{path} is not UTF-8; it was read as {encoding}")
    return _lines(raw.decode(encoding))


def _lines(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds NUL bytes, so it is no Python source")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def code_of_notebook(text: str) -> str:
    """The code cells of a notebook, one after the other.

    Raises:
        ValueError: it is no notebook.
    """
    try:
        notebook = json.loads(text)
        sheets = [notebook, *notebook.get("worksheets", [])]
        cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
        sources = [cell.get("source", cell.get("input", "")) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("it is no notebook that can be read") from None
    return "\n\n".join("".join(source) if isinstance(source, list) else str(source) for source in sources) + "\n"


def without_magics(text: str) -> tuple[str, bool]:
    """The text with the commands of a notebook turned into comments, and whether there were any."""
    pattern = re.compile(r"^(\s*)(?=[%!]|get_ipython\(\))", re.MULTILINE)
    changed = pattern.sub(r"\1pass  # ", text)
    try:
        compile(text, "<submission>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    else:
        if "get_ipython()" not in text:
            return text, False  # a line that begins with % or ! stands in a string
    return changed, changed != text
