"""The gradebook, for nobody but the people of the course."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbgrader.preprocessors import NbGraderPreprocessor

SQLITE = "sqlite:///"


class PrivateGradebook(NbGraderPreprocessor):
    """Takes the right to read the gradebook from everybody else; from the group, too, unless the course is shared."""

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """Change the mode of the file, if the gradebook is one."""
        url = str(resources["nbgrader"]["db_url"])
        path = Path(url.removeprefix(SQLITE))
        if url.startswith(SQLITE) and path.is_file():
            shared = self.parent.parent.coursedir.groupshared  # the exporter's, the converter's
            mode = path.stat().st_mode & 0o7777
            wanted = mode & ~(0o007 if shared else 0o077)
            if wanted != mode:
                path.chmod(wanted)
        return nb, resources
