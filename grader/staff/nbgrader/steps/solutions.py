"""Solutions in cells that an instructor has added: cleared for students, as nbgrader does it."""

from __future__ import annotations

from typing import Any

from nbgrader.preprocessors import ClearSolutions

from grader.nb.cells import PREFIX
from grader.staff.nbgrader.notebook import QUESTION


class ClearOtherSolutions(ClearSolutions):
    """Clears the solutions in cells that an instructor has added; the cells of an exercise are stubs already."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> Any:
        """Leave a stub as it is."""
        name = str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))
        if name.startswith(PREFIX) or name == QUESTION:
            return cell, resources
        return super().preprocess_cell(cell, resources, cell_index)
