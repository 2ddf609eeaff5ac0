"""The judge inside nbgrader: submissions are read as text, graded in the sandbox, and given what nbgrader scores.

No kernel is started, and nothing that a student has written is executed or imported by nbgrader's own process.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat.v4 import new_code_cell, new_output
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import ClearSolutions, NbGraderPreprocessor
from traitlets import Bool, Dict, Float, Integer

from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import write_atomically
from grader.nb.cells import PREFIX, Places, answers, pieces
from grader.nb.content import Group, grouped
from grader.nb.report import report
from grader.results import CheckResult, Result
from grader.sandbox.levels import probe
from grader.sandbox.runner import Budget, fresh_seed
from grader.staff.batch.intake import COPY, NOTEBOOK_LIMIT
from grader.staff.nbgrader.judging import Handed, warm
from grader.staff.nbgrader.notebook import CHECK, QUESTION

RECORDS = "judged"  # the folder of the course with a result document for each submission
TEX_THAT_ACTS = ("href", "url", "class", "cssId", "style", "require", "html\\w*", "data")  # on the page around it
NO_KERNEL = {"name": "no-kernel", "display_name": "Graded by the judge, never in a kernel", "language": "python"}
SHOWN = 40_000  # characters of a student's file that are shown to graders


class SourceReader(NotebookExporter):
    """Reads a notebook once the configuration has been seen to be right: a mistake in it must not cost any results."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for assignment, deadline in Deadlines(parent=self).deadlines.items():
            problem = self._problem_of(assignment, deadline)
            if problem:
                refuse(self.log, f"c.Deadlines.deadlines in nbgrader_config.py: {problem}")

    def _problem_of(self, assignment: str, deadline: Any) -> str:
        """What is wrong with a deadline, if anything is."""
        course = self.parent.coursedir
        source = Path(course.format_path(course.source_directory, ".", assignment))
        if assignment not in {entry.stem for entry in load()} and not source.is_dir():
            return f"there is no assignment {assignment!r}. They have names like {load()[0].stem!r}."
        try:
            utils.parse_utc(deadline)
        except (ValueError, TypeError, AttributeError, OverflowError):
            return f"{deadline!r} is no time for {assignment!r}. Write it like '2027-01-31 23:59 UTC'."
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
        raw = file_stream.buffer.read(NOTEBOOK_LIMIT + 1)
        unread = ""
        try:
            if len(raw) > NOTEBOOK_LIMIT:
                raise ValueError(f"it is larger than {NOTEBOOK_LIMIT >> 20} MiB")
            found = dict(answers(raw.decode("utf-8-sig", "replace")))
        except ValueError as problem:
            unread = f"(The notebook that was handed in could not be read: {problem}.)"
            self.log.warning("%s: %s", about["student"], unread)
            found = {}
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


def harmless(markdown: str) -> str:
    """An answer in Markdown without tags and links: it is shown in the browser of somebody who may change grades.

    What would begin one is taken apart by a space, wherever it stands: to know where Markdown takes something for code
    is to be as clever as every program that reads it. In a formula or in code, a space changes next to nothing.
    """
    text = re.sub(r"<(?=[A-Za-z/!?])", "< ", markdown)
    text = re.sub(r"\](?=[(:\[])", "] ", text)
    return re.sub(rf"\\(?=({'|'.join(TEX_THAT_ACTS)})\b)", r"\\ ", text)


class ClearOtherSolutions(ClearSolutions):
    """Clears the solutions in cells that an instructor has added; the cells of an exercise are stubs already."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> Any:
        """Leave a stub as it is."""
        name = str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))
        if name.startswith(PREFIX) or name == QUESTION:
            return cell, resources
        return super().preprocess_cell(cell, resources, cell_index)


class Deadlines(NbGraderPreprocessor):
    """Writes the deadlines of the configuration into the gradebook."""

    deadlines = Dict(help="By assignment: when it is due, such as '2027-01-31 23:59 UTC'.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """Set the deadline of the assignment at hand."""
        about = resources["nbgrader"]
        if about["assignment"] in self.deadlines:
            with Gradebook(about["db_url"]) as gradebook:
                due = utils.parse_utc(self.deadlines[about["assignment"]])
                gradebook.update_or_create_assignment(about["assignment"], duedate=due)
        return nb, resources


class NoKernel(NbGraderPreprocessor):
    """Names a kernel that does not exist in the gradebook, which gives it to every submission.

    The judge starts none. But nbgrader goes on without the configuration if there is a mistake in it, and would execute
    students' notebooks in the instructor's account: so that fails.
    """

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """Change what the gradebook knows of the notebook; students get the notebook as it is."""
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as gradebook:
            gradebook.find_notebook(about["notebook"], about["assignment"]).kernelspec = json.dumps(NO_KERNEL)
            gradebook.db.commit()
        return nb, resources


class Judge(NbGraderPreprocessor):
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
        record = judge.grade(Handed(self._folder("submitted"), about["student"], about["assignment"]), entry)
        self._keep(about, record)
        result = Result.of_document(record["result"])
        (exercise,) = result.exercises
        how = f"isolation: {result.isolation}, seed {result.seed}"
        self.log.info("%s: %d of %d points (%s)", about["student"], exercise.points, exercise.max_points, how)
        self._fill(nb, entry, grouped(entry, exercise.checks), record["cells"], record["notes"])
        if record["code"] and not record["cells"]:
            _show(nb, entry, record["code"])
        return nb, resources

    def _seed(self) -> int:
        """The seed of the course, drawn once: grading again gives the same unless something has changed."""
        if self.seed is not None:
            return int(self.seed)
        kept = self._records() / "seed.txt"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, f"{fresh_seed()}\n")
        try:
            return int(kept.read_text(encoding="ascii"))
        except ValueError:
            raise GraderError(f"{kept} holds no number. Remove it, and a new seed is drawn.") from None

    def _fill(self, nb: Any, entry: Entry, groups: Groups, places: Places, notes: list[str]) -> None:
        """Write outputs into the check cells."""
        missing = sorted({f"{CHECK}{id}" for id in groups} - {_name(cell) for cell in nb.cells})
        if missing:
            raise NbGraderException(_outdated(entry, f"it lacks {', '.join(missing)}"))
        text = "".join(f"{note}\n" for note in notes)
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
                if utils.is_grade(cell) and not utils.is_solution(cell):
                    group, checks = groups.get(_name(cell).removeprefix(CHECK), (None, []))
                    if group is None:
                        raise NbGraderException(
                            f"{entry.stem}.ipynb has a graded cell {_name(cell)!r} that is none of the exercise's. "
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

    def _keep(self, about: Any, record: dict[str, Any]) -> None:
        """Keep the whole result for the instructor, hidden checks included."""
        folder = self._records() / about["assignment"]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{about['student']}.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")


Groups = dict[str, tuple[Group, list[CheckResult]]]


def before_copying(assignment: str, student: str, notebooks: list[str]) -> None:
    """Make what was handed in safe to copy, before nbgrader does so (its `pre_convert_hook`).

    A link would be followed, and what it leads to copied into the feedback. A notebook under the name of a copy
    (`exNN_name (1).ipynb`) gets its own name, and so does the only one, whatever it is called, if it is one of ours.
    """
    del student
    for folder in {Path(path).parent for path in notebooks}:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                target = path.readlink()
                path.unlink()
                note = f"Here was a link to {target}. Links are not followed.\n"
                path.with_name(f"{path.name}.link.txt").write_text(note, encoding="utf-8")
    stems = {entry.stem for entry in load()}
    for place, name in enumerate(notebooks):
        path = Path(name)
        right = path.with_name(COPY.sub("", path.stem).strip().lower() + path.suffix)
        if right.stem not in stems and len(notebooks) == 1 and _is_ours(path):
            right = path.with_name(assignment + path.suffix)
        if right.stem in stems and path.stem not in stems and not right.exists() and path.exists():
            path.rename(right)
            notebooks[place] = str(right)


def _is_ours(path: Path) -> bool:
    """Whether a notebook has our check cells."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return any(name.startswith(CHECK) for name, _ in answers(file.read(NOTEBOOK_LIMIT)))
    except (OSError, ValueError):
        return False


def _name(cell: Any) -> str:
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def _outdated(entry: Entry, why: str) -> str:
    return (
        f"{entry.stem}.ipynb was made for other checks: {why}. Bring it up to date: python -m grader notebooks, then "
        f"nbgrader generate_assignment {entry.stem} --force, then nbgrader autograde {entry.stem} --force."
    )


def _show(nb: Any, entry: Entry, code: str) -> None:
    """Add what was handed in, for whoever reads the notebook: the checks are beside it, and so is the lesson."""
    lesson = next((piece.text for piece in pieces(entry) if piece.kind == "lesson"), "")
    code = code.replace(lesson, '"""The lesson."""', 1) if lesson else code
    if len(code) > SHOWN:
        code = f"{code[:SHOWN]}\n# ... {len(code) - SHOWN:,} characters more"
    place = next(place for place, cell in enumerate(nb.cells) if _name(cell).startswith(CHECK)) - 1
    cell = new_code_cell(f"# {entry.stub.name}, as it was handed in\n\n{code}")
    cell.id = "handed-in"
    nb.cells.insert(max(place, 0), cell)
