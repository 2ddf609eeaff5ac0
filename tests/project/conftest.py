"""What the project's own tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader.assembly import Assembly, Exercise, Source
from grader.stubs import generated
from grader.syllabus import find, load


@pytest.fixture(scope="session")
def reference() -> Iterator[Callable[[str], Exercise]]:
    """The reference's exercises by stem."""
    with Assembly.reference() as assembly:
        yield assembly.exercise


class Folder:
    """A learner's folder: untouched stubs, until a test puts something else there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for entry in load():
            (path / entry.stub.name).write_text(generated(entry), encoding="utf-8")

    def write(self, ex: str, text: str) -> Path:
        """Put a text in the place of an exercise."""
        path = self.path / find([ex])[0].stub.name
        path.write_text(text, encoding="utf-8")
        return path

    def solve(self, ex: str, *edits: tuple[str, str]) -> Path:
        """Put the solution there, with edits (each must fit exactly once)."""
        source = Source.read(find([ex])[0].solution, "learner")
        return self.write(ex, source.edited(edits).text)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A learner's folder of untouched stubs."""
    (tmp_path / "exercises").mkdir()
    return Folder(tmp_path / "exercises")
