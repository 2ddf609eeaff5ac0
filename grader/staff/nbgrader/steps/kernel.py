"""The kernel that does not exist, so that nothing of a student is ever executed by nbgrader."""

from __future__ import annotations

import json
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor

NO_KERNEL = {"name": "no-kernel", "display_name": "Graded by the judge, never in a kernel", "language": "python"}


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
