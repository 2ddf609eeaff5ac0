"""Exports that nbgrader lacks: a row for each student and question, and a row for each student and check.

nbgrader export --exporter=grader.staff.nbgrader.exporting.ByQuestion --to=questions.csv
nbgrader export --exporter=grader.staff.nbgrader.exporting.ByCheck --to=checks.csv
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nbgrader.api import MissingEntry
from nbgrader.plugins import ExportPlugin

from grader.errors import GraderError
from grader.files import write_atomically
from grader.staff.batch.record import Record
from grader.staff.batch.tables import as_csv
from grader.staff.nbgrader.steps.judge import RECORDS


class _Table(ExportPlugin):
    """Writes rows for the students and the assignments that are asked for."""

    columns: tuple[str, ...] = ()
    default = ""

    def export(self, gradebook: Any) -> None:
        """Write the file.

        Args:
            gradebook: nbgrader's.
        """
        path = Path(self.to or self.default)
        rows: list[Sequence[object]] = [self.columns]
        for assignment in sorted(gradebook.assignments, key=lambda each: str(each.name)):
            if not self.assignment or assignment.name in self.assignment:
                rows += self._rows(gradebook, assignment)
        write_atomically(path, as_csv(rows), private=True)
        self.log.info("Exported to %s", path)

    def _students(self, gradebook: Any) -> list[str]:
        names = (str(student.id) for student in gradebook.students)
        return sorted(name for name in names if not self.student or name in map(str, self.student))

    def _rows(self, gradebook: Any, assignment: Any) -> Iterable[Sequence[object]]:
        raise NotImplementedError


class ByQuestion(_Table):
    """A row for each student and graded cell, with the points of the judge and of the person who marked it."""

    columns = ("assignment", "student_id", "question", "auto_score", "manual_score", "score", "max_score", "to_mark")
    default = "questions.csv"

    def _rows(self, gradebook: Any, assignment: Any) -> Iterable[Sequence[object]]:
        for student in self._students(gradebook):
            try:
                submission = gradebook.find_submission(assignment.name, student)
            except MissingEntry:
                continue
            for notebook in submission.notebooks:
                for grade in sorted(notebook.grades, key=lambda each: str(each.name)):
                    scores = (grade.auto_score, grade.manual_score, grade.score, grade.max_score)
                    to_mark = "yes" if grade.needs_manual_grade else "no"
                    yield (assignment.name, student, grade.name, *("" if s is None else s for s in scores), to_mark)


class ByCheck(_Table):
    """A row for each student and check, hidden ones included, from the judge's own records: not for students."""

    columns = ("assignment", "student_id", "check", "says", "hidden", "status", "points", "max_points", "misconception")
    default = "checks.csv"

    def _rows(self, gradebook: Any, assignment: Any) -> Iterable[Sequence[object]]:
        folder = Path(self.parent.coursedir.root) / RECORDS / assignment.name
        for student in self._students(gradebook):
            path = folder / f"{student}.json"
            if not path.exists():
                continue
            try:
                result = Record.of_document(json.loads(path.read_text(encoding="utf-8"))).result
                checks = [] if result is None else result.exercises[0].checks
            except (ValueError, IndexError, TypeError, AttributeError, GraderError) as error:
                raise GraderError(f"{path} is damaged ({error}). Grade again: nbgrader autograde --force") from None
            for check in checks:
                turns = check.misconception.of if check.misconception else ()
                yield (
                    assignment.name,
                    student,
                    check.name,
                    check.says,
                    "yes" if check.hidden else "no",
                    check.status,
                    check.points,
                    check.max_points,
                    " ".join(turn.id for turn in turns),
                )
