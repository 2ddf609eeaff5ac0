"""Notebooks: a course for nbgrader, graded by this project's judge, and the checks that students run in JupyterLab."""

from grader.nb.inplace import begin

__all__ = ["begin"]
