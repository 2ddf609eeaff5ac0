"""Leaks: pieces of a solution, a hidden check or a misconception's edit that show in what students are to get."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.content.regions import HIDDEN, SOLUTION, regions, without_markers
from grader.content.stubs import skeleton
from grader.content.syllabus import Entry
from grader.files import ROOT
from grader.misconceptions.catalogue import catalogue
from grader.probing.assembly import Source
from grader.staff.release.cutting import public_checks

LONG = 15  # characters: a line of fewer gives nothing away
RUN = 3  # lines in a row: two may be an idiom


@dataclass(frozen=True)
class Secrets:
    """The lines of one exercise that must not show: single ones in its own files, several in a row anywhere."""

    entry: Entry
    lines: frozenset[str]
    runs: frozenset[tuple[str, ...]]
    edits: frozenset[str]  # pieces of code, which must not show in the file of its misconceptions

    @classmethod
    def of(cls, entry: Entry, solution: bool) -> Secrets:
        """The secrets of an exercise; those of its solution only if that is not released. What solves its stretch goals
        never is.

        What stands in the stub, in a public check or in a solution that is released as well is no secret.
        """
        tests = entry.suite.read_text(encoding="utf-8")
        runs = [region.of(tests) for region in regions(tests, HIDDEN)]
        public = {*_public(entry), *_telling(skeleton(entry).splitlines())}
        if solution:
            public |= set(_solution(entry))
        else:
            text = Source.read(entry.solution, "reference").text
            runs += [region.of(text) for region in regions(text, SOLUTION)]
        secret = [[line for line in _telling(run) if line not in public] for run in runs]
        answers: list[str] = []  # a single line of them may stand in a solution, too
        if entry.goals is not None:
            text = Source.read(ROOT / "solutions" / "stretch" / entry.solution.name, "reference").text
            answers = [line for line in _telling(text.splitlines()) if line not in public]
        edits = {
            line.strip()
            for each in catalogue(entry)
            for edit in each.edits
            for part in edit
            for line in part.splitlines()
        }
        return cls(
            entry,
            frozenset(itertools.chain.from_iterable(secret)),
            frozenset(each for run in (*secret, answers) for each in _runs(run)),
            frozenset(line for line in edits if len(line) > LONG + 10),
        )


def leaks(root: Path, entries: Sequence[Entry], solved: Collection[str] = ()) -> Iterator[str]:
    """Every place in a release where something shows that should not.

    Args:
        root: the folder of the release.
        entries: all exercises of the project, whether they are in the release or not.
        solved: the stems of those whose solution is in it.
    """
    secrets = [Secrets.of(entry, entry.stem in solved) for entry in entries]
    public = {run for each in entries for run in _runs(_public(each))}
    public |= {run for each in entries if each.stem in solved for run in _runs(_solution(each))}
    for path in sorted(
        path for path in root.rglob("*") if path.is_file() and ".git" not in path.relative_to(root).parts
    ):
        name = path.relative_to(root).as_posix()
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            yield f"{name}: not a text, so nobody can say what it holds"
            continue
        lines = list(_telling(text.splitlines()))
        runs = _runs(lines)
        for secret in secrets:
            yield from (f"{name}: {' / '.join(run)}" for run in (runs & secret.runs) - public)
            if secret.entry.stem in name and path.parent.name != "hints":  # a hint may hold a line of it
                yield from (f"{name}: {line}" for line in secret.lines.intersection(lines))
            if secret.entry.stem in name and "misconceptions" in name:
                yield from (f"{name}: {piece}" for piece in secret.edits if piece in text)


def _public(entry: Entry) -> list[str]:
    """The lines of all checks that anybody may see: the public ones, and those of the stretch goals."""
    texts = [public_checks(entry.suite.read_text(encoding="utf-8"))]
    if entry.goals is not None:
        texts.append(entry.goals.suite.read_text(encoding="utf-8"))
    return [line for text in texts for line in _telling(text.splitlines())]


def _solution(entry: Entry) -> list[str]:
    """The lines of an exercise's solution, as a release has them."""
    text = Source.read(entry.solution, "reference").text
    return list(_telling(without_markers(text, SOLUTION).splitlines()))


def _runs(lines: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(lines[start : start + RUN]) for start in range(len(lines) - RUN + 1)}


def _telling(lines: Iterable[str]) -> Iterator[str]:
    return (line.strip() for line in lines if len(line.strip()) > LONG)
