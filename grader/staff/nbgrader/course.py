"""Writing a course for nbgrader: the source of each assignment, the configuration, and the marking schemes.

What an instructor has edited is left alone, unless they say so; a fingerprint of every file tells. The configuration is
theirs in any case, and of what is replaced a dated copy is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.content.stubs import generated
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import back_up, digest, write_atomically
from grader.nb.content import content, scheme
from grader.staff.nbgrader.notebook import Style, notebook

RECORD = "generated.json"
CONFIG = "nbgrader_config.py"
TEMPLATE = Path(__file__).with_name("nbgrader_config.py.txt")


@dataclass(frozen=True)
class Written:
    """The files of a course: those that are there now, and those left alone since somebody has edited them."""

    files: tuple[str, ...]
    edited: tuple[str, ...]


def write_course(out: Path, entries: Sequence[Entry], style: Style = "files", force: bool = False) -> Written:
    """Write a course, or bring it up to date.

    Args:
        out: its folder.
        entries: the exercises, each an assignment of its own.
        style: where the learner's code goes.
        force: replace what was edited, too.

    Raises:
        GraderError: the folder can't be written, or holds something else.
    """
    if out.exists() and not out.is_dir():
        raise GraderError(f"{out} is a file. Name a folder for the course: --out DIR")
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD).exists() and not (out / CONFIG).exists():
        raise GraderError(f"{out} holds something that is no course. Name another folder: --out DIR")
    known = _recorded(out / RECORD)
    files = dict(course_files(entries, style))
    own = [name for name in files if _edited(out / name, files[name], known.get(name))]
    edited = tuple(name for name in own if not force or name == CONFIG)
    try:
        for name in own:
            if name not in edited:
                back_up(out / name, out / "backups" / Path(name).parent)
        for name, text in files.items():
            if name not in edited:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(out / name, text)
        kept = _remove_old(out, [name for name in known if _belongs(name, entries) and name not in files], known)
    except OSError as error:
        raise GraderError(f"Can't write {error.filename or out}: {error.strerror or error}.") from None
    others = {name: known[name] for name in known if not _belongs(name, entries)}
    prints = others | {name: digest(text) for name, text in files.items() if name not in edited}
    prints |= {name: known[name] for name in (*edited, *kept) if name in known}
    write_atomically(out / RECORD, json.dumps(dict(sorted(prints.items())), indent=1) + "\n")
    return Written(tuple(files), (*edited, *kept))


def course_files(entries: Sequence[Entry], style: Style) -> Iterator[tuple[str, str]]:
    """Every file of a course, as its path in it and its text."""
    for entry in entries:
        what = content(entry)
        folder = f"source/{entry.stem}"
        yield f"{folder}/{entry.stem}.ipynb", notebook(what, style)
        if style == "files":
            yield f"{folder}/{entry.stub.name}", generated(entry)
        if what.question is not None and scheme(entry):
            yield f"marking/{entry.stem}.md", scheme(entry) + "\n"
    deadlines = "\n".join(f'    # "{entry.stem}": "2027-01-31 23:59 UTC",' for entry in entries[:2])
    yield CONFIG, TEMPLATE.read_text(encoding="utf-8").replace("    # DEADLINES", deadlines)


def _belongs(name: str, entries: Sequence[Entry]) -> bool:
    return name == CONFIG or any(entry.stem in name for entry in entries)


def _edited(path: Path, text: str, known: str | None) -> bool:
    """Return whether a file is somebody's own: neither what was written before nor what is to be written."""
    try:
        now = digest(path.read_bytes().decode("utf-8", "replace"))
    except OSError:
        return False
    return now not in (known, digest(text))


def _remove_old(out: Path, names: Sequence[str], known: Mapping[str, str]) -> tuple[str, ...]:
    """Remove what an earlier build wrote and this one does not: it would be handed out. What was edited stays."""
    kept = []
    for name in names:
        if _edited(out / name, "", known[name]):
            kept.append(name)
        else:
            (out / name).unlink(missing_ok=True)
    return tuple(kept)


def _recorded(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError):
        raise GraderError(f"{path} is damaged. Remove it: then files that differ count as edited.") from None
