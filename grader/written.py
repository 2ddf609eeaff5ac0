"""What somebody has written: the sources of a folder, and why others of its files can't be read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from grader.errors import SourceUnreadable
from grader.probing.assembly import Source

FILE_LIMIT = 1 << 20  # bytes of one source file
FILES_LIMIT = 200


class Written(NamedTuple):
    """What somebody has written: the sources by stem, and why others can't be read."""

    sources: dict[str, Source]
    unreadable: dict[str, str]


def read_written(folder: Path) -> Written:
    """Read every source in a learner's folder."""
    written = Written({}, {})
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
    sources, unreadable = written = Written({}, {})
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
