"""The map of a run in a frame, for a notebook: `from lab.map.frame import show`, then `show()` in a cell."""

from __future__ import annotations

from html import escape
from pathlib import Path

from lab import runs
from lab.errors import LabError
from lab.runs import RUNS


class Frame:
    """A page in a frame of a notebook. It runs scripts of its own, and reaches nothing outside."""

    def __init__(self, page: Path, height: int) -> None:
        self.page, self.height = page, height

    def __repr__(self) -> str:
        return f"The map of a run: open {runs.shown(self.page)} in a browser."

    def _repr_html_(self) -> str:
        page = escape(self.page.read_text(encoding="utf-8"), quote=True)
        return (
            f'<iframe title="The map of {escape(self.page.parent.name, quote=True)}" sandbox="allow-scripts" '
            f'style="width: 100%; height: {self.height}px; border: 0" srcdoc="{page}"></iframe>'
        )


def show(run: str | None = None, height: int = 900, root: Path = RUNS) -> Frame:
    """The map of a run as the last line of a notebook's cell.

    Args:
        run: its name; by default the one trained last.
        height: of the frame, in pixels.
        root: the folder of all runs.

    Raises:
        LabError: there is no such run, or it has no map yet.
    """
    found = runs.find(root, run)
    if not found.map.is_file():
        raise LabError(f"{found.name} has no map yet: make map RUN_NAME={found.name}")
    return Frame(found.map, height)
