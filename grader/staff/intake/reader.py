"""Reading a submission: in a process of its own, which has limits and is the only one that ever parses what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from grader.content.syllabus import Entry, load
from grader.nb.cells import PREFIX, Places, cell_lines
from grader.nb.module import answers, with_answers
from grader.nb.reading import cells, named
from grader.probing.assembly import Source
from grader.staff.intake.choice import NOTEBOOK_LIMIT, choose, entries, told
from grader.staff.intake.reasons import Refused, details, reason
from grader.staff.intake.unpacking import Found, Unpacking, head
from grader.staff.words import printable
from grader.workers.confined import Confined, Unanswered, serve_confined
from grader.written import Written


class Unusable(Exception):
    """A submission that can't be read at all, or holds nothing to grade; the message says why, and what to do.

    `details` is what Python said of it; only instructors see it.
    """

    def __init__(self, why: str, details: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.details = tuple(details)


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
        raise Unusable(f"the {_kind(parts)} can't be read: {_said(why)}", [printable(why.words)]) from None
    if "unusable" in answer:
        raise Unusable(answer["unusable"], answer["details"])
    sources = {stem: Source(stem, Path(f"{stem}.py"), text, "learner") for stem, text in answer["sources"].items()}
    return Written(sources, answer["unreadable"], answer["notes"], answer["details"])


def cells_by_name(path: Path) -> dict[str, str]:
    """The sources of the cells that nbgrader has a name for.

    Raises:
        Unusable: the file is not a notebook that can be read.
    """
    try:
        answer = _reader.ask({"notebook": str(path.absolute())})
    except Unanswered as why:
        raise Unusable(_said(why), [printable(why.words)]) from None
    if "unusable" in answer:
        raise Unusable(answer["unusable"])
    return dict(answer["cells"])


def places_of(path: Path, entry: Entry, text: str) -> Places:
    """Return where the cells of a notebook stand in a module; nothing if it was not made of them."""
    try:
        answer = _reader.ask({"notebook": str(path.absolute()), "stem": entry.stem, "text": text})
    except Unanswered:
        return {}
    return {name: (first, last) for name, (first, last) in answer.get("places", {}).items()}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Read what a request names: the other side of `take`, `cells_by_name` and `places_of`."""
    if "notebook" not in request:
        return _submission(request)
    read = _notebook(Path(request["notebook"]))
    if "text" not in request or "unusable" in read:
        return read
    return {"places": _places(entries([request["stem"]])[0], read["cells"], request["text"])}


def _places(entry: Entry, found: Mapping[str, str], text: str) -> Places:
    cells = answers(entry, found)
    in_cells = any(name.startswith(PREFIX) for name in found) and text == with_answers(entry, cells)
    return cell_lines(entry, cells) if in_cells else {}


def _notebook(path: Path) -> dict[str, Any]:
    try:
        raw = head(path, NOTEBOOK_LIMIT + 1)
        if len(raw) > NOTEBOOK_LIMIT:
            raise Refused(f"it is larger than {NOTEBOOK_LIMIT >> 20} MiB. Clear its outputs")
        return {"cells": named(cells(raw.decode("utf-8-sig", "replace")))}
    except (ValueError, OSError) as error:
        return {"unusable": reason(error), "details": [details(path.name, error)]}


def _submission(request: dict[str, Any]) -> dict[str, Any]:
    parts = [Part(Path(path), name) for path, name in request["parts"]]
    wanted = entries(request["wanted"])
    with closing(Unpacking()) as unpacking:
        files: list[Found] = []
        for part in parts:
            try:
                files += _named(unpacking.files(part.path), part)
            except (Refused, OSError) as error:
                why = unpacking.why(printable(part.path.name), error)
                if len(parts) == 1:
                    return {"unusable": f"the {_kind(parts)} can't be read: {why}.", "details": unpacking.details}
                unpacking.notes.append(f"{printable(part.path.name)} can't be read: {why}")
        written = choose(files, unpacking.notes, wanted)
    told_of = [*unpacking.details, *written.details]
    notes = [printable(note) for note in written.notes]
    if not written.sources.keys() & {entry.stem for entry in load()} and not written.unreadable:
        names = ", ".join(entry.stub.name for entry in wanted[:3]) + (", ..." if len(wanted) > 3 else "")
        why = f"none of the exercises is in it ({names}). {told(files)}"
        return {"unusable": " ".join([why, "; ".join(notes)]).strip(), "details": told_of}
    sources = {stem: source.text for stem, source in written.sources.items()}
    return {"sources": sources, "unreadable": written.unreadable, "notes": notes, "details": told_of}


def _named(files: Sequence[Found], part: Part) -> list[Found]:
    """The files of a part; one that is a file itself has the name that its author gave it."""
    if len(files) == 1 and part.name and files[0].path == PurePosixPath(printable(part.path.name)):
        return [Found(PurePosixPath(printable(part.name)), files[0].size, files[0].read)]
    return list(files)


def _said(why: Unanswered) -> str:
    return f"{printable(str(why))}. Hand in the exercises' files alone, as plain files"


def _kind(parts: Sequence[Part]) -> str:
    return "folder" if len(parts) == 1 and parts[0].path.is_dir() else "archive" if len(parts) == 1 else "submission"


if __name__ == "__main__":
    serve_confined(answer)
