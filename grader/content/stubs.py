"""Stubs: what learners edit, made from the solutions. What a learner has written is never overwritten unasked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from grader.content.edition import SKELETONS
from grader.content.regions import CODE, SOLUTION, inside, is_marker, regions, without_markers
from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import ROOT, back_up, digest, write_atomically
from grader.probing.assembly import Source

FOLDER = ROOT / "exercises"
RECORD = "stubs.json"  # the fingerprint of every stub as it was generated: what differs from it was edited
BACKUPS = "backups"

State = Literal["current", "missing", "outdated", "edited"]


def make_stub(text: str, name: str = "the solution", after: int = 0) -> str:
    """Replace the solution regions of a source by code that says that it is to be written.

    A region at the top level holds helpers of the reference's own and is left out altogether.

    Args:
        text: the source.
        name: what to call it in an error.
        after: leave the regions that begin on this line or before it as they are, and all helpers with them.

    Raises:
        GraderError: the markers don't pair up, or a region is empty.
    """
    return without_markers(make_skeleton(text, name, after), SOLUTION)


def make_skeleton(text: str, name: str = "the solution", after: int = 0) -> str:
    """Return a stub in which the markers of the regions still stand, so that one can tell what is asked for.

    Raises:
        GraderError: as for `make_stub`.
    """
    lines: list[str | None] = list(text.splitlines())
    for region in regions(text, SOLUTION, name=name):
        if not region.lines:
            raise GraderError(f"{name}:{region.end}: a solution region with nothing in it")
        if region.begin <= after or (after and not region.indent):
            continue
        if not region.indent:  # helpers of the reference's own: not part of the exercise
            lines[region.begin - 1 : region.end] = [None] * (region.end - region.begin + 1)
            continue
        size = sum(1 for inner in region.of(text) if inner.strip() and not inner.strip().startswith("#"))
        about = f"{size} line{'' if size == 1 else 's'}"
        lines[region.begin : region.end - 1] = [None] * len(region.lines)
        lines[region.begin] = (
            f"{region.indent}# Your code here. (The reference needs {about}.)\n"
            f'{region.indent}raise NotImplementedError("not written yet")'
        )
    return "\n".join(line for line in lines if line is not None) + "\n"


@cache
def generated(entry: Entry) -> str:
    """The stub of an exercise as its solution gives it today."""
    return without_markers(skeleton(entry), SOLUTION)


@cache
def skeleton(entry: Entry) -> str:
    """The stub with the markers of its regions; in a release, as it was made from the solution."""
    if entry.solution.exists():
        return make_skeleton(Source.read(entry.solution, "reference").text, entry.solution.name)
    path = ROOT / SKELETONS / entry.solution.name
    try:
        return Source.read(path, "reference").text
    except OSError:
        raise GraderError(f"{path} is missing. Restore it: git checkout -- {SKELETONS}") from None


@cache
def attributes() -> dict[str, list[str]]:
    """Return what the docstrings of the exercises list as attributes, by the name of the class."""
    found = {}
    for entry in load():
        path = entry.solution if entry.solution.exists() else ROOT / SKELETONS / entry.solution.name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for kind, docstring in re.findall(r'^class (\w+)[^\n]*:\n    """(.*?)"""', text, re.DOTALL | re.MULTILINE):
            section = re.search(r"^    Attributes:\n(.*?)(?:\n\n|\Z)", docstring, re.DOTALL | re.MULTILINE)
            listed = re.findall(r"^ {8}(\w+(?:, \w+)*):", section[1], re.MULTILINE) if section else []
            found[kind] = [name for names in listed for name in names.split(", ")]
    return {kind: names for kind, names in found.items() if names}


def is_untouched(entry: Entry, text: str) -> bool:
    """Return whether a text is the exercise's stub as it was handed out."""
    return digest(text) in (recorded().get(entry.stem), digest(generated(entry)))


def recorded(folder: Path = FOLDER) -> dict[str, str]:
    """The fingerprints of the stubs as they were last generated, by stem.

    Raises:
        GraderError: the record is damaged.
    """
    path = folder / RECORD
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError):
        raise GraderError(f"{path} is damaged. Restore it: git checkout -- {path}") from None


@dataclass(frozen=True)
class Stub:
    """One stub in a folder, and how it stands to its solution."""

    entry: Entry
    path: Path
    state: State


def survey(folder: Path = FOLDER) -> list[Stub]:
    """Return how each stub of a folder stands: current, missing, outdated (ours, but old) or edited by somebody."""
    known = recorded(folder)
    found = []
    for entry in load():
        path = folder / entry.stub.name
        if not path.exists():
            state: State = "missing"
        else:
            now = digest(path.read_bytes().decode("utf-8", "replace"))
            if now == digest(generated(entry)):
                state = "current" if known.get(entry.stem) == now else "outdated"
            else:
                state = "outdated" if now == known.get(entry.stem) else "edited"
        found.append(Stub(entry, path, state))
    return found


def write(folder: Path = FOLDER, force: bool = False) -> tuple[list[Stub], list[Path]]:
    """Bring the stubs of a folder up to date.

    Edited ones are left alone, and nothing at all is written, unless `force`; then each is kept as a backup.

    Returns:
        The stubs that were written, and the backups that were made.

    Raises:
        GraderError: an exercise was edited and `force` is not set.
    """
    stubs = survey(folder)
    edited = [stub for stub in stubs if stub.state == "edited"]
    if edited and not force:
        names = ", ".join(stub.path.name for stub in edited)
        raise GraderError(
            f"Edited by hand: {names}. Nothing was written. To replace them by fresh stubs (a backup of each is kept): "
            "python -m grader stubs --force"
        )
    backups = [back_up(stub.path, folder / BACKUPS) for stub in edited]
    folder.mkdir(parents=True, exist_ok=True)
    written = [stub for stub in stubs if stub.state != "current"]
    for stub in written:
        write_atomically(stub.path, generated(stub.entry))
    prints = {stub.entry.stem: digest(generated(stub.entry)) for stub in stubs}
    if prints != recorded(folder):
        write_atomically(folder / RECORD, json.dumps(prints, indent=1) + "\n")
    return written, backups


def leaks(folder: Path = FOLDER) -> list[str]:
    """Places in a folder's stubs where a piece of the reference shows: markers, or lines that only regions hold."""
    found = []
    for stub in survey(folder):
        if not stub.path.exists():
            continue
        secret = set() if stub.state == "edited" else _secrets(stub.entry)  # what learners write looks alike
        text = stub.path.read_bytes().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if is_marker(line, *CODE) or line.strip() in secret:
                found.append(f"{stub.path}:{number}: {line.strip()}")
    return found


def _secrets(entry: Entry) -> set[str]:
    """Lines of a solution that stand in its regions and nowhere else, long enough to give something away."""
    text = Source.read(entry.solution, "reference").text
    asked = inside(text, SOLUTION)
    secret: set[str] = set()
    known: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        (secret if number in asked else known).add(line.strip())
    return {line for line in secret - known if len(line) > 15 and line != "raise NotImplementedError"}
