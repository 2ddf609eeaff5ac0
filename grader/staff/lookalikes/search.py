"""The look-alikes of a class: its submissions compared with each other, with the reference and with former years."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from grader.content.stubs import generated
from grader.content.syllabus import Entry
from grader.files import real
from grader.probing.assembly import Source
from grader.staff.intake.folder import Folder, find_submissions
from grader.staff.intake.reader import Unusable, take
from grader.staff.lookalikes.groups import REFERENCE, Group, groups
from grader.staff.lookalikes.pages import Answer, write_pages
from grader.staff.lookalikes.prints import prints, prints_of
from grader.staff.words import printable


def lookalikes(folder: Folder, former: Sequence[Path], entries: Sequence[Entry], out: Path) -> list[tuple[Group, str]]:
    """Find who has written an exercise much like somebody else, and write a page about each group.

    Args:
        folder: the class.
        former: folders of submissions of former years.
        entries: the exercises.
        out: where the pages go.

    Returns:
        The groups, the most alike first, each with the address of its page ("" if it has none).
    """
    students = dict(_read(folder, entries, ""))
    earlier = dict(each for year in former for each in _former(year, entries))
    found: list[Group] = []
    answers: dict[str, dict[str, Answer]] = {}
    stubs = {entry.stem: prints(generated(entry)) for entry in entries}
    for entry in entries:  # one after the other: the fingerprints of a class are many
        stem = entry.stem
        text = Source.read(entry.solution, "reference").text
        all_of = {REFERENCE: Answer(text, prints(text)), **_answers(students, stem), **_answers(earlier, stem)}
        own = {name: all_of[name].prints for name in students if name in all_of}
        old = {name: all_of[name].prints for name in earlier if name in all_of}
        here = groups(stem, stubs[stem], all_of[REFERENCE].prints, own, old)
        found += here
        answers[stem] = {name: all_of[name] for group in here for name in group.members}
    found.sort(key=lambda group: (-group.share, group.stem, group.members))
    return list(zip(found, write_pages(found, answers, stubs, out), strict=True))


def _former(year: Path, entries: Sequence[Entry]) -> Iterable[tuple[str, Mapping[str, str]]]:
    return _read(find_submissions(year), entries, f"{printable(real(year).name)}/")


def _read(folder: Folder, entries: Sequence[Entry], prefix: str) -> Iterable[tuple[str, Mapping[str, str]]]:
    """Everybody's sources of these exercises."""
    for handed in folder.handed:
        try:
            written = take(handed.parts, entries) if handed.parts else None
        except Unusable:
            continue
        if written is not None:
            texts = {entry.stem: written.sources[entry.stem].text for entry in entries if entry.stem in written.sources}
            yield f"{prefix}{handed.student}", texts


def _answers(read: Mapping[str, Mapping[str, str]], stem: str) -> dict[str, Answer]:
    """Return what everybody has written for an exercise."""
    found = {}
    for name, texts in read.items():
        if stem in texts:
            own = prints_of({stem: texts[stem]}).get(stem)
            if own is not None:
                found[name] = Answer(texts[stem], own)
    return found
