"""What this project changes in nbgrader: how a submission is read, and what runs instead of a kernel.

The gradebook, the formgrader, feedback, export and the exchange stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from glob import glob
from typing import Any

from grader.content.syllabus import load


def configure(c: Any) -> None:
    """Put the isolated judge into nbgrader.

    Args:
        c: nbgrader's configuration.
    """
    from nbgrader.converters import Autograde, GenerateAssignment

    from grader.staff.nbgrader.steps.copying import before_copying, put_missing
    from grader.staff.nbgrader.steps.deadlines import Deadlines
    from grader.staff.nbgrader.steps.feedback import before_feedback
    from grader.staff.nbgrader.steps.gradebook import PrivateGradebook
    from grader.staff.nbgrader.steps.judge import JudgeSubmission
    from grader.staff.nbgrader.steps.kernel import NoKernel
    from grader.staff.nbgrader.steps.reading import SourceReader, SubmissionReader
    from grader.staff.nbgrader.steps.solutions import ClearOtherSolutions

    def changed(stock: Any, swap: dict[str, Any]) -> list[Any]:
        return [swap.get(each.__name__, each) for each in stock.default_args[0] if swap.get(each.__name__, each)]

    _before_notebooks_are_looked_for(Autograde, put_missing)
    c.Autograde.pre_convert_hook = before_copying
    c.GenerateFeedback.pre_convert_hook = before_feedback
    traits = Autograde.class_traits()
    c.Autograde.exporter_class = SubmissionReader
    sanitizing = changed(traits["sanitize_preprocessors"], {})
    c.Autograde.sanitize_preprocessors = [PrivateGradebook, NoKernel, *sanitizing, Deadlines]
    c.Autograde.autograde_preprocessors = changed(traits["autograde_preprocessors"], {"Execute": JudgeSubmission})
    stock = GenerateAssignment.class_traits()["preprocessors"]
    c.GenerateAssignment.exporter_class = SourceReader
    generating = changed(stock, {"ClearSolutions": ClearOtherSolutions})
    c.GenerateAssignment.preprocessors = [*generating, Deadlines, NoKernel, PrivateGradebook]
    c.FileNameCollectorPlugin.valid_ext = [".ipynb", ".py"]  # zip_collect takes notebooks only
    c.Autograde.exclude_overwriting = {entry.stem: [entry.stub.name] for entry in load()}


def _before_notebooks_are_looked_for(converter: Any, prepare: Callable[[str, str], None]) -> None:
    """Let something happen in each submission before nbgrader leaves out those without a notebook.

    nbgrader has a hook for after that, and none for before: so its own method is wrapped, once.
    """
    stock = converter.init_notebooks
    if hasattr(stock, "__wrapped__"):
        return

    @wraps(stock)
    def init_notebooks(self: Any) -> None:
        directory = self.coursedir.format_path(
            self.coursedir.submitted_directory, self.coursedir.student_id, self.coursedir.assignment_id
        )
        for source in glob(directory):  # noqa: PTH207 - the pattern is nbgrader's
            prepare(source, self.coursedir.assignment_id)
        stock(self)

    converter.init_notebooks = init_notebooks
