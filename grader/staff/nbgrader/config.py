"""What this project changes in nbgrader: how a submission is read, and what runs instead of a kernel.

The gradebook, the formgrader, feedback, export and the exchange stay as they are.
"""

from __future__ import annotations

from typing import Any

from grader.content.syllabus import load


def configure(c: Any) -> None:
    """Put the isolated judge into nbgrader.

    Args:
        c: nbgrader's configuration.
    """
    from nbgrader.converters import Autograde, GenerateAssignment

    from grader.staff.nbgrader.autograde import (
        ClearOtherSolutions,
        Deadlines,
        Judge,
        NoKernel,
        SourceReader,
        SubmissionReader,
        before_copying,
    )

    def changed(stock: Any, swap: dict[str, Any]) -> list[Any]:
        return [swap.get(each.__name__, each) for each in stock.default_args[0] if swap.get(each.__name__, each)]

    c.Autograde.pre_convert_hook = before_copying
    traits = Autograde.class_traits()
    c.Autograde.exporter_class = SubmissionReader
    c.Autograde.sanitize_preprocessors = [NoKernel, *changed(traits["sanitize_preprocessors"], {}), Deadlines]
    c.Autograde.autograde_preprocessors = changed(traits["autograde_preprocessors"], {"Execute": Judge})
    stock = GenerateAssignment.class_traits()["preprocessors"]
    c.GenerateAssignment.exporter_class = SourceReader
    c.GenerateAssignment.preprocessors = [*changed(stock, {"ClearSolutions": ClearOtherSolutions}), Deadlines, NoKernel]
    c.FileNameCollectorPlugin.valid_ext = [".ipynb", ".py"]  # zip_collect takes notebooks only
    c.Autograde.exclude_overwriting = {entry.stem: [entry.stub.name] for entry in load()}
