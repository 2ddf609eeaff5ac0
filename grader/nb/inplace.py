"""`check(...)` in a notebook: the checks run on what the learner has written so far, at their own machine."""

from __future__ import annotations

import atexit
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from grader.content.edition import manifest
from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.grading import Grading, built_on
from grader.nb.cells import Places, cell_lines, pieces
from grader.nb.commands import plain
from grader.nb.content import HIDDEN, content
from grader.nb.module import module_of, with_answers
from grader.nb.report import report
from grader.probing.assembly import Assembly, Exercise, Source
from grader.probing.trees import parse
from grader.workers.process import Kept, Worker, WorkerProcess
from grader.written import Written, read_written


def begin(stem: str, cells: bool = False, folder: str = ".") -> Check:
    """Get ready to check one exercise; call it in the first cell of a notebook.

    Args:
        stem: the exercise.
        cells: the code stands in cells of this notebook, not in a file.
        folder: where that file is; by default beside the notebook.

    Returns:
        A function: `check("group")` runs a group of checks and says what came of them, `check.mine()` gives the
        exercise itself, to experiment with.
    """
    (entry,) = find([stem])
    return Check(entry, (Path.cwd() / folder).resolve(), cells)


class Check:
    """Runs groups of checks on one exercise. The worker that has PyTorch loaded is kept from one call to the next."""

    def __init__(self, entry: Entry, folder: Path, cells: bool) -> None:
        self.entry = entry
        self.folder = folder
        self.cells = cells
        released = manifest()
        self._seed = 0 if released is None else released.seed
        self._worker: Kept | None = None
        self._assembly: Assembly | None = None
        atexit.register(self._close)
        if cells:
            self._lend_package()

    def __repr__(self) -> str:
        return f"the checks of {self.entry.label} ({self.entry.title})"

    def __call__(self, group: str) -> float:
        """Run a group of checks, print what came of them and return the points."""
        which = content(self.entry).group(group)
        if not which.checks:
            print(f"{which.withheld} hidden checks, {which.points} points: they run when your work is graded.")
            return 0.0
        written, places = self._written()
        with self._grading(written) as grading:
            attempt = grading.attempt(self.entry)
            results = [attempt.check(info) for info in which.checks]
            print(report(self.entry, which, results, places), end="")
            if attempt.borrowed:
                print(f"(With the reference's {', '.join(attempt.borrowed)}.)")
        if which.id == HIDDEN and which.withheld:
            print(f"{which.withheld} more run when your work is graded.")
        return float(sum(result.points for result in results))

    def mine(self) -> Exercise:
        """The exercise as it is written now, on the earlier ones; what has not been written of those is borrowed."""
        written, _ = self._written()
        if self.entry.stem in written.unreadable:
            raise GraderError(written.unreadable[self.entry.stem])
        assembly, missing = self._open(written.sources)
        if missing:
            raise GraderError(self._waits(missing))
        return assembly.exercise(self.entry.stem)

    def _waits(self, missing: Sequence[str]) -> str:
        """Return what to say of earlier exercises that do not pass and can't be borrowed."""
        return f"{built_on(self.entry, missing)} Go on with {missing[0]} first, in the folder beside this one."

    def _open(self, sources: Mapping[str, Source]) -> tuple[Assembly, list[str]]:
        """The learner's pieces, and those that are missing.

        Earlier exercises that do not pass are the reference's, where that is at hand. What only a cell imports is
        looked for when it does.
        """
        if self._assembly is not None:
            self._assembly.close()
        with self._grading(Written(dict(sources))) as grading:
            chosen = grading.chosen(self.entry)
        self._assembly = Assembly(chosen.sources, more=grading.earlier(self.entry))
        return self._assembly.__enter__(), chosen.missing

    def _grading(self, written: Written) -> Grading:
        return Grading(self.folder, self._seed, self._launch, written=written)

    def _launch(self) -> Worker:
        """The worker of the call before, unless it has died."""
        if self._worker is None or self._worker.dead:
            self._worker = Kept(WorkerProcess())
        return self._worker

    def _close(self) -> None:
        if self._worker is not None:
            self._worker.end()

    def _lend_package(self) -> None:
        """Let cells import earlier exercises as a module does: `from name import something`."""
        written, _ = self._written()
        assembly, missing = self._open(written.sources)
        importlib.import_module(assembly.package)
        _namespace()["__package__"] = assembly.package
        if missing:
            print(self._waits(missing))
        self._assembly = None  # it stays open as long as the notebook

    def _written(self) -> tuple[Written, Places]:
        """Return what the learner has written: here, and earlier exercises in the folders beside this one."""
        written = read_written(self.folder)
        for earlier in takewhile(lambda entry: entry != self.entry, load()):
            if earlier.stem not in written.sources:
                written.sources.update(_found(earlier, (self.folder, self.folder.parent / earlier.stem)))
        if not self.cells:
            return written, {}
        answers = dict(_executed(self.entry))
        path = self.folder / f"{self.entry.stem}.py"
        written.sources[self.entry.stem] = Source(self.entry.stem, path, with_answers(self.entry, answers), "learner")
        written.unreadable.pop(self.entry.stem, None)
        return written, cell_lines(self.entry, answers)


def _found(entry: Entry, folders: tuple[Path, ...]) -> dict[str, Source]:
    """An exercise in the first folder that holds it, as a file or as a notebook."""
    for folder in folders:
        for path in (folder / f"{entry.stem}.py", folder / f"{entry.stem}.ipynb"):
            if not path.is_file():
                continue
            try:
                if path.suffix == ".py":
                    return {entry.stem: Source.read(path, "learner")}
                text = module_of(entry, path.read_text(encoding="utf-8")).text
            except (GraderError, ValueError, OSError):
                continue
            return {entry.stem: Source(entry.stem, path, text, "learner")}
    return {}


def _executed(entry: Entry) -> Iterator[tuple[str, str]]:
    """The cells that define the pieces of an exercise, as they were run last."""
    wanted = {piece.name: piece.grade_id for piece in pieces(entry) if piece.kind == "asked"}
    for text in reversed(_namespace().get("In", [])):
        text = plain(text)[0]
        try:
            tree = parse(text)
        except (SyntaxError, ValueError):
            continue
        for node in tree.body:
            name = getattr(node, "name", None)
            if name in wanted:
                yield wanted.pop(name), text


def _namespace() -> dict[str, Any]:
    """The variables of the notebook."""
    return vars(sys.modules["__main__"])
