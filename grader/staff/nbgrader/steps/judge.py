"""The judge inside nbgrader: submissions are graded in the sandbox, and given what nbgrader scores.

No kernel is started, and nothing that a student has written is executed or imported by nbgrader's own process.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Float, Integer

from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import private_folder, write_atomically
from grader.nb.cells import Places
from grader.nb.content import Group, grouped
from grader.nb.report import report
from grader.results import CheckResult
from grader.sandbox.runner import Budget, fresh_seed
from grader.staff.nbgrader.judging import Handed, Judged, warm
from grader.staff.nbgrader.notebook import CHECK
from grader.staff.nbgrader.steps.handed_in import name_of, show

RECORDS = "judged"  # the folder of the course with a result document for each submission
Groups = dict[str, tuple[Group, list[CheckResult]]]


class JudgeSubmission(NbGraderPreprocessor):
    """Grades what was handed in and writes it into the check cells: a report, and the points as nbgrader reads them.

    One judge process serves all submissions of a run, with the same inputs for all of them and, since the seed is kept
    with the course, for all runs.
    """

    seconds = Float(900.0, help="For one submission.").tag(config=True)
    memory = Integer(1024, help="MiB for each process of one submission.").tag(config=True)
    seed = Integer(
        None, allow_none=True, help="What all inputs are drawn from; by default that in judged/seed.txt, drawn once."
    ).tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """Grade one submission."""
        about = resources["nbgrader"]
        entry = next((entry for entry in load() if entry.stem == about["notebook"]), None)
        if entry is None:
            raise NbGraderException(
                f"{about['notebook']}.ipynb is none of the exercises, and nothing else is executed here. Grade it by "
                "hand, or in a course of its own with nbgrader's own configuration."
            )
        judge = warm(self._seed(), Budget(wall=self.seconds, cpu=self.seconds, memory=self.memory << 20))
        judged = judge.grade(Handed(self._folder("submitted"), about["student"], about["assignment"]), entry)
        self._keep(about, judged)
        result = judged.record.result
        if result is None:
            raise NbGraderException(f"{about['student']}: {judged.record.problem}")
        (exercise,) = result.exercises
        how = f"isolation: {result.isolation}, seed {result.seed}"
        self.log.info("%s: %d of %d points (%s)", about["student"], exercise.points, exercise.max_points, how)
        for note in (*judged.record.notes, *judged.record.details):
            self.log.info("  %s", note)
        self._fill(nb, entry, grouped(entry, exercise.checks), judged.places, judged.record.notes)
        if judged.code and not judged.places:
            show(nb, entry, judged.code)
        return nb, resources

    def _seed(self) -> int:
        """The seed of the course, drawn once: grading again gives the same unless something has changed."""
        if self.seed is not None:
            return int(self.seed)
        kept = self._records() / "seed.txt"
        if not kept.exists():
            private_folder(kept.parent)
            write_atomically(kept, f"{fresh_seed()}\n", private=True)
        try:
            return int(kept.read_text(encoding="ascii"))
        except ValueError:
            raise GraderError(f"{kept} holds no number. Remove it, and a new seed is drawn.") from None

    def _fill(self, nb: Any, entry: Entry, groups: Groups, places: Places, notes: Sequence[str]) -> None:
        """Write outputs into the check cells."""
        missing = sorted({f"{CHECK}{id}" for id in groups} - {name_of(cell) for cell in nb.cells})
        if missing:
            raise NbGraderException(_outdated(entry, f"it lacks {', '.join(missing)}"))
        text = "".join(f"{note}\n" for note in notes)
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
                if utils.is_grade(cell) and not utils.is_solution(cell):
                    group, checks = groups.get(name_of(cell).removeprefix(CHECK), (None, []))
                    if group is None:
                        raise NbGraderException(
                            f"{entry.stem}.ipynb has a graded cell {name_of(cell)!r} that is none of the exercise's. "
                            "Only the project's own checks are run: make it a manually graded cell."
                        )
                    self._score(cell, entry, group, checks, text + report(entry, group, checks, places))
                    text = ""

    def _score(self, cell: Any, entry: Entry, group: Group, checks: list[CheckResult], text: str) -> None:
        most = float(cell.metadata.nbgrader["points"])
        if most != group.points:
            raise NbGraderException(_outdated(entry, f"it gives {most:g} points for {group.id!r}, now {group.points}"))
        points = float(sum(check.points for check in checks))
        cell.outputs = [
            new_output("stream", name="stdout", text=text),
            new_output("execute_result", data={"text/plain": str(points)}, execution_count=1),
        ]
        cell.execution_count = 1

    def _folder(self, which: str) -> Path:
        course = self.parent.parent.coursedir  # the exporter's, the converter's
        name: str = getattr(course, f"{which}_directory")
        return Path(course.root) / name

    def _records(self) -> Path:
        course = self.parent.parent.coursedir
        return Path(course.root) / RECORDS

    def _keep(self, about: Any, judged: Judged) -> None:
        """Keep the whole result for the instructor, hidden checks included."""
        private_folder(self._records())
        folder = self._records() / about["assignment"]
        private_folder(folder)
        document = json.dumps(judged.record.document(), indent=1, ensure_ascii=False)
        write_atomically(folder / f"{about['student']}.json", f"{document}\n", private=True)


def _outdated(entry: Entry, why: str) -> str:
    return (
        f"{entry.stem}.ipynb was made for other checks: {why}. Bring it up to date: python -m grader notebooks, then "
        f"nbgrader generate_assignment {entry.stem} --force, then nbgrader autograde {entry.stem} --force."
    )
