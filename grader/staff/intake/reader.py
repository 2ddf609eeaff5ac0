"""Reading a submission: in a process of its own, which has limits and is the only one that ever parses what came."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from grader.content.syllabus import Entry, load
from grader.nb.reading import cells, named
from grader.probing.assembly import Source
from grader.staff.confined import Confined, Unanswered, serve_confined
from grader.staff.intake.choice import NOTEBOOK_LIMIT, choose, entries, told
from grader.staff.intake.unpacking import Found, Refused, Unpacking, head
from grader.staff.words import printable
from grader.written import Written


class Unusable(Exception):
    """A submission that can't be read at all, or holds nothing to grade; the message says why."""


@dataclass(frozen=True)
class Part:
    """A folder, an archive or a file that belongs to a submission, and the name that it was given by its author."""

    path: Path
    name: str = ""


_reader = Confined(__name__)


def take(where: Path | Sequence[Part], wanted: Sequence[Entry] = ()) -> Written:
    """Read a submission.

    Args:
        where: a folder, an archive or a file, or several parts that belong together.
        wanted: what is going to be graded; all exercises by default.

    Raises:
        Unusable: it can't be read, or holds none of the exercises.
    """
    parts = [Part(where)] if isinstance(where, Path) else where
    request = {
        "parts": [(str(part.path.absolute()), part.name) for part in parts],
        "wanted": [entry.stem for entry in wanted],
    }
    try:
        answer = _reader.ask(request)
    except Unanswered as why:
        raise Unusable(f"the {_kind(parts)} can't be read: {printable(str(why))}") from None
    if "unusable" in answer:
        raise Unusable(answer["unusable"])
    sources = {stem: Source(stem, Path(f"{stem}.py"), text, "learner") for stem, text in answer["sources"].items()}
    return Written(sources, answer["unreadable"], answer["notes"])


def cells_by_name(path: Path) -> dict[str, str]:
    """The sources of the cells that nbgrader has a name for.

    Raises:
        Unusable: the file is no notebook that can be read.
    """
    try:
        answer = _reader.ask({"notebook": str(path.absolute())})
    except Unanswered as why:
        raise Unusable(printable(str(why))) from None
    if "unusable" in answer:
        raise Unusable(answer["unusable"])
    return dict(answer["cells"])


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Read what a request names: the other side of `take` and of `cells_by_name`."""
    return _notebook(Path(request["notebook"])) if "notebook" in request else _submission(request)


def _notebook(path: Path) -> dict[str, Any]:
    try:
        raw = head(path, NOTEBOOK_LIMIT + 1)
        if len(raw) > NOTEBOOK_LIMIT:
            raise ValueError(f"it is larger than {NOTEBOOK_LIMIT >> 20} MiB")
        return {"cells": named(cells(raw.decode("utf-8-sig", "replace")))}
    except (ValueError, OSError) as error:
        return {"unusable": printable(str(error))}


def _submission(request: dict[str, Any]) -> dict[str, Any]:
    parts = [Part(Path(path), name) for path, name in request["parts"]]
    wanted = entries(request["wanted"])
    with closing(Unpacking()) as unpacking:
        files: list[Found] = []
        for part in parts:
            try:
                files += _named(unpacking.files(part.path), part)
            except (Refused, OSError) as error:
                why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                if len(parts) == 1:
                    return {"unusable": f"the {_kind(parts)} can't be read: {printable(why)}"}
                unpacking.notes.append(f"{printable(part.path.name)} can't be read: {printable(why)}")
        written = choose(files, unpacking.notes, wanted)
    notes = [printable(note) for note in written.notes]
    if not written.sources.keys() & {entry.stem for entry in load()} and not written.unreadable:
        names = ", ".join(entry.stub.name for entry in wanted[:3]) + (", ..." if len(wanted) > 3 else "")
        why = f"none of the exercises is in it ({names}). {told(files)}"
        return {"unusable": " ".join([why, "; ".join(notes)]).strip()}
    sources = {stem: source.text for stem, source in written.sources.items()}
    return {"sources": sources, "unreadable": written.unreadable, "notes": notes}


def _named(files: Sequence[Found], part: Part) -> list[Found]:
    """The files of a part; one that is a file itself has the name that its author gave it."""
    if len(files) == 1 and part.name and files[0].path == PurePosixPath(printable(part.path.name)):
        return [Found(PurePosixPath(printable(part.name)), files[0].size, files[0].read)]
    return list(files)


def _kind(parts: Sequence[Part]) -> str:
    return "folder" if len(parts) == 1 and parts[0].path.is_dir() else "archive" if len(parts) == 1 else "submission"


if __name__ == "__main__":
    serve_confined(answer)
