"""Which of the files that were handed in is which exercise, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from grader.content import stubs
from grader.content.syllabus import Entry, find, load
from grader.nb.cells import pieces
from grader.nb.module import NO_CODE as NO_CODE_WORDS
from grader.nb.module import module_of, module_of_script
from grader.probing.assembly import Source
from grader.staff.intake.names import Meaning, meaning
from grader.staff.intake.reasons import Refused, details, reason
from grader.staff.intake.texts import decoded
from grader.staff.intake.unpacking import Found
from grader.staff.words import printable
from grader.written import FILE_LIMIT, Written, burden

TOTAL_LIMIT = 16 << 20  # bytes of everything that is taken from one submission
NOTEBOOK_LIMIT = 32 << 20  # with its outputs, of which nothing is taken
VERSIONS = 20  # of one exercise that are read
HELPERS = 500
WORK, UNREADABLE, STUB, NO_CODE = range(4)
TOLD = 6  # names of files that a message lists


@dataclass
class Version:
    """A file that may be an exercise: what its name means, and what it says or why it can't be read."""

    found: Found
    meaning: Meaning
    text: str = ""
    unreadable: str = ""
    details: str = ""  # what Python says of it
    notes: tuple[str, ...] = ()

    def rank(self, entry: Entry) -> tuple[object, ...]:
        """The smaller, the better. Times have no part in it: a clone or an archive makes them up."""
        path, meant = self.found.path, self.meaning
        likely = self.emptiness(entry), meant.doubt == 3, meant.notebook, meant.doubt
        return *likely, len(path.parts), -meant.number, str(path)

    def emptiness(self, entry: Entry) -> int:
        """Return how little there is in it: work, something that can't be read, the stub, a notebook without code."""
        if self.unreadable:
            return NO_CODE if self.unreadable.startswith(NO_CODE_WORDS) else UNREADABLE
        return STUB if stubs.is_untouched(entry, self.text) else WORK


def choose(files: Sequence[Found], notes: Iterable[str], wanted: Sequence[Entry]) -> Written:
    """Find each exercise's file among all that was handed in, and the helper modules beside them."""
    written = Written(notes=list(notes))
    candidates: dict[str, list[Version]] = {}
    for found in files:
        meant = meaning(found.name)
        if meant is not None:
            candidates.setdefault(meant.stem, []).append(Version(found, meant))
    left = TOTAL_LIMIT
    taken: list[Found] = []
    without_code: list[str] = []
    for entry in load():
        chosen = _chosen(entry, candidates.get(entry.stem, []), left, written.notes)
        if chosen is None:
            continue
        taken.append(chosen.found)
        written.notes += chosen.notes
        if chosen.unreadable:
            written.unreadable[entry.stem] = f"{chosen.found.path} can't be used: {chosen.unreadable}."
            written.details += filter(None, [chosen.details])
        else:
            written.sources[entry.stem] = Source(entry.stem, Path(f"{entry.stem}.py"), chosen.text, "learner")
            left -= len(chosen.text)
        if chosen.emptiness(entry) == NO_CODE:
            without_code.append(entry.stem)
    left_over = [found for found in files if found not in taken]
    for stem in without_code:
        others = told([found for found in left_over if not _is_notebook(found)])
        written.unreadable[stem] += f" There is no {stem}.py in what was handed in. {others}"
    _help(written, left_over, {found.path.parent for found in taken}, left)
    missing = [entry for entry in wanted if entry.stem not in (written.sources | written.unreadable)]
    if missing and left_over and taken and len(wanted) < len(load()):
        written.notes.append(f"{_listed([e.stub.name for e in missing])} not found. {told(left_over)}")
    return written


def told(files: Sequence[Found]) -> str:
    """Return what was found, for a message."""
    if not files:
        return "Nothing else is in it."
    likely = sorted(files, key=lambda found: (found.path.suffix.lower() not in (".py", ".ipynb"), str(found.path)))
    return f"It holds {_listed([printable(str(found.path), 100) for found in likely])}."


def _is_notebook(found: Found) -> bool:
    return found.path.suffix.lower() == ".ipynb"


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return ", ".join(names[:TOLD]) + rest


def _chosen(entry: Entry, versions: list[Version], left: int, notes: list[str]) -> Version | None:
    """The version of an exercise that counts; what was odd about it is noted."""
    ordered = sorted(versions, key=lambda each: (each.meaning.doubt, len(each.found.path.parts), str(each.found.path)))
    for version in ordered[:VERSIONS]:
        _read(entry, version, left)
    likely = [each for each in ordered[:VERSIONS] if each.meaning.doubt < 2 or _defines(entry, each)]
    if not likely:
        return None
    first, *others = sorted(likely, key=lambda version: version.rank(entry))
    others = [other for other in others if other.text != first.text or other.unreadable]
    kind = first.meaning.notebook  # an untouched notebook beside the file is what was handed out
    others = [other for other in others if other.meaning.notebook == kind or other.emptiness(entry) < STUB]
    if others:
        also = _listed([str(other.found.path) for other in others])
        notes.append(f"there are {len(others) + 1} versions of {entry.stem}: {first.found.path} counts, not {also}")
    elif not first.meaning.exact:
        notes.append(f"{first.found.path} was taken as {entry.stub.name}")
    return first


def _read(entry: Entry, version: Version, left: int) -> None:
    """Read a file into a version. Whatever goes wrong with it is the reason why it can't be used."""
    found = version.found
    limit = NOTEBOOK_LIMIT if version.meaning.notebook else FILE_LIMIT
    try:
        if found.size > limit:
            kind = "notebook" if version.meaning.notebook else "source"
            raise Refused(
                f"it has {found.size / (1 << 20):,.0f} MiB; a {kind} has {limit >> 20} at most. Hand in the code alone"
            )
        raw = found.read(limit + 1)
        if len(raw) > limit:
            raise Refused("it is larger than it says. Pack it again")
        text, odd = decoded(raw)
        notes = [f"{found.path} {odd}"] if odd else []
        module = (module_of if version.meaning.notebook else module_of_script)(entry, text)
        if version.meaning.notebook:
            notes.append(f"{found.path} is a notebook: its code cells were taken as {entry.stub.name}")
        _try(module.text)
        if len(module.text.encode("utf-8", "replace")) > FILE_LIMIT:
            raise Refused(f"it holds more than {FILE_LIMIT >> 20} MiB of code")
        if len(module.text) > left:
            raise Refused(f"there are more than {TOTAL_LIMIT >> 20} MiB of sources in all")
        version.text, version.notes = module.text, (*notes, *(f"{found.path}: {note}" for note in module.notes))
    except Exception as error:
        version.unreadable, version.details = reason(error), details(found.path, error)


def _try(text: str) -> None:
    """Compile a source where there are limits, so that nothing that is taken can be a burden to the judge."""
    if why := burden(text):
        raise Refused(why)


def _help(written: Written, files: Iterable[Found], folders: set[object], left: int) -> None:
    """Take the modules of the student's own that stand beside the exercises."""
    known = {entry.stem for entry in load()}
    beside = (found for found in files if found.path.suffix == ".py" and found.path.parent in folders)
    for _, found in zip(range(HELPERS), beside, strict=False):
        stem = found.path.stem
        if not stem.isidentifier() or stem in known or stem in written.sources or found.size > min(FILE_LIMIT, left):
            continue
        try:
            text, odd = decoded(found.read(FILE_LIMIT + 1))
            _try(text)
        except Exception as error:
            written.notes.append(f"{found.path} can't be read: {reason(error)}")
            written.details += filter(None, [details(found.path, error)])
            continue
        if len(text) <= min(left, FILE_LIMIT):
            written.sources[stem] = Source(stem, Path(f"{stem}.py"), text, "learner")
            written.notes += [f"{found.path} {odd}"] if odd else []
            left -= len(text)


def _defines(entry: Entry, version: Version) -> bool:
    """Return whether a file whose name may mean something else defines anything that the exercise asks for."""
    return bool(version.unreadable) or _definition(entry).search(version.text) is not None


@cache
def _definition(entry: Entry) -> re.Pattern[str]:
    names = "|".join(re.escape(piece.name) for piece in pieces(entry) if piece.kind == "asked")
    return re.compile(rf"^(?:async def|def|class)[ \t]+(?:{names})\b", re.MULTILINE)


def entries(stems: Iterable[str]) -> tuple[Entry, ...]:
    """The exercises of these stems; all of them if there are none."""
    return find(tuple(stems))
