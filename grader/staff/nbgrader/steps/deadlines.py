"""Deadlines of the configuration, in the gradebook."""

from __future__ import annotations

from typing import Any

from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Dict


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
