"""What somebody has written or handed in: the sources, and why other files can't be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from grader.errors import SourceUnreadable
from grader.probing.assembly import Source

FILE_LIMIT = 1 << 20  # bytes of one source file
FILES_LIMIT = 200


@dataclass
class Written:
    """What somebody has written: the sources by stem, why others can't be read, and what was odd about it."""

    sources: dict[str, Source] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_written(folder: Path) -> Written:
    """Read every source in a learner's folder."""
    written = Written()
    for path in sorted(folder.glob("*.py")):
        try:
            written.sources[path.stem] = Source.read(path, "learner")
        except (SourceUnreadable, OSError) as error:
            written.unreadable[path.stem] = str(error)
    return written


def read_untrusted(folder: Path) -> Written:
    """Read the sources in a folder that somebody else has filled.

    No link is followed (it could lead to the reference), nothing but plain files is opened, and no more than a source
    can sensibly have is read.
    """
    written = Written()
    sources, unreadable = written.sources, written.unreadable
    for path in sorted(folder.glob("*.py"))[:FILES_LIMIT]:
        if not path.stem.isidentifier():
            continue
        if path.is_symlink() or not path.is_file():
            unreadable[path.stem] = f"{path} is not a plain file, so it is not read."
        elif path.stat().st_size > FILE_LIMIT:
            unreadable[path.stem] = f"{path} is larger than {FILE_LIMIT >> 20} MiB, so it is not read."
        else:
            try:
                sources[path.stem] = Source.read(path, "learner")
            except (SourceUnreadable, OSError) as error:
                unreadable[path.stem] = str(error)
    return written
