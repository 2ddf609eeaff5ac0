"""The folder of submissions: whose is what, so that each thing that lies there is somebody's or has its reason."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from grader.errors import GraderError
from grader.files import real
from grader.staff.intake.names import meaning
from grader.staff.intake.reader import Part
from grader.staff.intake.unpacking import ENDINGS, is_archive
from grader.staff.words import printable

SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX", ".git", ".gitignore", ".gitattributes", ".gitkeep"}
CANVAS = re.compile(r"(?P<who>[^_]+)(?:_LATE)?_(?P<user>\d+)_(?P<file>\d+)_(?P<name>.+)", re.DOTALL)
FILES = 1000  # that are looked at to tell whether a folder is a student's or holds those of several
MOODLE = re.compile(r"_assignsubmission_(?:file|onlinetext)_?$")


@dataclass(frozen=True)
class Handed:
    """One submission: whose it is, the parts that it has, or why there is nothing that can be read."""

    student: str
    parts: tuple[Part, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class Folder:
    """Everything in a folder of submissions by student, what systems have left there, what may be several students."""

    handed: list[Handed] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    several: dict[str, list[str]] = field(default_factory=dict)


def find_submissions(folder: Path, results: Path | None = None) -> Folder:
    """Return what lies in a folder of submissions: a folder, an archive or loose files for each student.

    Args:
        folder: the folder.
        results: a folder that is no submission, should it lie there, too.

    Raises:
        GraderError: there is no such folder, or nothing in it.
    """
    if folder.is_file():
        raise GraderError(
            f"{folder} is a file. Unpack it, and name the folder with one folder or archive for each student."
        )
    if not folder.is_dir():
        raise GraderError(f"There is no folder {folder}. Name the one with a folder or an archive for each student.")
    found = Folder()
    loose: dict[str, list[Part]] = {}
    whole: list[tuple[str, Handed]] = []  # with the name that it has where another one has the student's
    for path in sorted(folder.iterdir(), key=os.fsencode):
        name = printable(path.name)
        if path.name in SYSTEM or path.name.startswith("._") or (results and real(path) == real(results)):
            found.left_out.append(name)
            continue
        problem = _problem(path)
        owner = None if problem or path.is_dir() else _owner(path, folder)
        if owner is not None:
            student, given = owner
            loose.setdefault(student, []).append(Part(path, given))
        elif problem:
            whole.append((name, Handed(name, problem=problem)))
        else:
            students = _several(path)
            if students:
                found.several[name] = students
            whole.append((name, Handed(student_of(path), (Part(path),), notes=_doubtful(students))))
    whole += [(f"{student} (files)", Handed(student, tuple(parts))) for student, parts in loose.items()]
    if not whole:
        raise GraderError(f"{folder} holds no submission: a folder, a zip or a tar for each student is expected.")
    found.handed = sorted(_distinct(whole), key=lambda handed: handed.student)
    return found


def student_of(path: Path) -> str:
    """The name under which a submission is filed: that of its folder, or of its archive without the ending."""
    if path.is_dir():
        return printable(path.name)
    lower = path.name.lower()
    endings = [f".tar{ending}" for ending in ENDINGS] + list(ENDINGS)
    ending = next((ending for ending in endings if lower.endswith(ending)), "")
    return printable(path.name[: len(path.name) - len(ending)] or path.name)


def _problem(path: Path) -> str:
    """Return why a thing can't be a submission, if it can't."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return "it is a link, and links are not followed. Put what it leads to in its place"
        if stat.S_ISDIR(mode):
            return ""
        if not stat.S_ISREG(mode):
            return "it is no folder and no file"
        if is_archive(path) or CANVAS.fullmatch(path.name) or meaning(path.name):
            return ""
    except OSError as error:
        return f"it can't be read: {error.strerror or error}"
    return "it is no folder, no archive and no file of an exercise, so nothing of it is graded"


def _several(path: Path) -> list[str]:
    """The folders in a submission that may be several students': it holds no exercise itself, and two of them the same.

    A project that was handed in as a whole has a folder `exercises` and is one student's.
    """
    inner: dict[str, set[str]] = {}
    try:
        for each in sorted(path.iterdir(), key=os.fsencode) if path.is_dir() else ():
            if not each.is_dir():
                if meaning(each.name):
                    return []
            elif each.name == "exercises":
                return []
            elif not each.is_symlink() and not each.name.startswith((".", "__")):
                stems = {meant.stem for file in islice(each.iterdir(), FILES) if (meant := meaning(file.name))}
                if stems:
                    inner[printable(each.name)] = stems
    except OSError:
        return []
    every = [stem for stems in inner.values() for stem in stems]
    return list(inner) if len(set(every)) < len(every) else []


def _doubtful(students: Sequence[str]) -> tuple[str, ...]:
    if not students:
        return ()
    return (f"it was graded as one submission, though {len(students)} folders in it hold exercises",)


def _owner(path: Path, folder: Path) -> tuple[str, str] | None:
    """Return whose a loose file in the folder is, and the name that it had; None for an archive of somebody's own.

    Canvas puts `name_user_file_` before each file. Elsewhere the name stands before that of the exercise, or behind.
    """
    canvas = CANVAS.fullmatch(path.name)
    if canvas:
        return printable(f"{canvas['who']}_{canvas['user']}"), canvas["name"]
    meant = None if is_archive(path) else meaning(path.name)
    if meant is None:
        return None
    if meant.doubt < 2:
        return printable(real(folder).name), ""
    before = MOODLE.sub("", meant.before.rstrip(" _-."))
    return printable(before or meant.behind.strip(" _-.()") or real(folder).name), ""


def _distinct(named: Sequence[tuple[str, Handed]]) -> Iterator[Handed]:
    """No two with one name: of a folder `ben` and a `ben.zip` each is filed for itself, and says so."""
    names = [handed.student for _, handed in named]
    taken: set[str] = set()
    for other, handed in named:
        if names.count(handed.student) == 1:
            student, notes = handed.student, handed.notes
        else:
            beside = [also for also, each in named if each.student == handed.student and each is not handed]
            student = handed.student if handed.student == other else other
            notes = (f"beside it lies {', '.join(beside)}, which is graded for itself",)
        taken.add(student := _free(student, taken))
        yield Handed(student, handed.parts, handed.problem, notes)


def _free(name: str, taken: Iterable[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
