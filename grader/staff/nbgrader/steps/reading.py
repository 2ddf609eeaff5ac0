"""How nbgrader reads notebooks: sources with the configuration checked, submissions as answers in the released one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import nbformat
from nbconvert.exporters import NotebookExporter
from nbgrader import utils
from nbgrader.converters.base import NbGraderException
from traitlets import Bool

from grader.content.syllabus import load
from grader.sandbox.levels import probe
from grader.staff.intake.reader import Unusable, cells_by_name
from grader.staff.nbgrader.notebook import QUESTION
from grader.staff.nbgrader.steps.copying import is_placeholder
from grader.staff.nbgrader.steps.deadlines import Deadlines
from grader.staff.nbgrader.steps.harmless import harmless


class SourceReader(NotebookExporter):
    """Reads a notebook once the configuration has been seen to be right: a mistake in it must not cost any results."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for assignment, deadline in Deadlines(parent=self).deadlines.items():
            problem = self._problem_of(assignment, deadline)
            if problem:
                refuse(self.log, f"c.Deadlines.deadlines in nbgrader_config.py: {problem}")

    def _problem_of(self, assignment: str, deadline: Any) -> str:
        """Return what is wrong with a deadline, if anything is."""
        course = self.parent.coursedir
        source = Path(course.format_path(course.source_directory, ".", assignment))
        if assignment not in {entry.stem for entry in load()} and not source.is_dir():
            return f"there is no assignment {assignment!r}. They have names like {load()[0].stem!r}."
        try:
            utils.parse_utc(deadline)
        except (ValueError, TypeError, AttributeError, OverflowError):
            return f"{deadline!r} is not a time for {assignment!r}. Write it like '2027-01-31 23:59 UTC'."
        return ""


def refuse(log: Any, message: str) -> NoReturn:
    """Say why nothing is done, and do nothing."""
    log.error(message)
    raise NbGraderException(message)


class SubmissionReader(SourceReader):
    """Reads a submission: the notebook that was released, with the answers that stand in what was handed in.

    Whatever was done to the other cells, to their order and to their metadata makes no difference, and a file that is
    no notebook at all has no answers.
    """

    allow_unsandboxed = Bool(False, help="Grade even where the code can't be isolated in full.").tag(config=True)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        level = probe()
        if level.name != "full" and not self.allow_unsandboxed:
            refuse(
                self.log,
                f"Code of other people can't be isolated in full on this machine (isolation: {level.name}: "
                f"{'; '.join(level.missing)}), so nothing is graded. Use a Linux machine with Landlock and seccomp, or "
                "one that you can lose, with c.SubmissionReader.allow_unsandboxed = True in nbgrader_config.py.",
            )

    def from_file(self, file_stream: Any, resources: Any = None, **options: Any) -> Any:
        """Read a submission; what was sanitized already is read as it is."""
        if resources is None or not getattr(self.parent, "_sanitizing", False):
            return super().from_file(file_stream, resources=resources, **options)
        about = resources["nbgrader"]
        unread, handed_in = "", Path(file_stream.name)
        try:
            found = cells_by_name(handed_in)
        except Unusable as problem:
            unread = f"(The notebook that was handed in could not be read: {problem}.)"
            self.log.warning("%s: %s", about["student"], unread)
            found = {}
        if is_placeholder(handed_in):
            self.log.warning("%s has handed in no notebook: the question has no answer.", about["student"])
        path = self._released(about["assignment"]) / f"{about['notebook']}.ipynb"
        if not path.is_file():
            raise NbGraderException(f"{path} is missing. Write it: nbgrader generate_assignment {about['assignment']}")
        book = nbformat.read(path, as_version=4)
        for cell in book.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            if utils.is_solution(cell) and name in found:
                cell.source = found[name] if cell.cell_type == "code" else harmless(found[name])
            elif name == QUESTION and unread:
                cell.source = unread  # somebody has to look at it, rather than nobody
        return self.from_notebook_node(book, resources, **options)

    def _released(self, assignment: str) -> Path:
        course = self.parent.coursedir
        return Path(course.format_path(course.release_directory, ".", assignment))
