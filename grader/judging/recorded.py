"""The reference as recorded numbers: what a release judges by, since it holds no code of the reference's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

from grader.checks import Check
from grader.content.edition import OBSERVATIONS, STRETCH, TRACES, Manifest
from grader.content.syllabus import Entry, find
from grader.errors import GraderError
from grader.files import ROOT, digest
from grader.judging.calls import Calls
from grader.judging.observation_store import unpack_observation
from grader.probing.assembly import Assembly, Exercise, Source


class Recorded:
    """The reference of a release: recorded observations, and the code of such solutions as were released, too."""

    records = False

    def __init__(self, manifest: Manifest, code: Assembly, stretch: bool = False, root: Path = ROOT) -> None:
        self.manifest = manifest
        self.stretch = stretch  # whether it is that of the stretch goals
        self.root = root
        self.code = code
        self.sources: Mapping[str, Source] = code.sources

    def __enter__(self) -> Self:
        self.code.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.code.close()

    def ready(self, entry: Entry, seed: int) -> None:
        """Refuse another seed than the recorded one, and checks that are not those that were recorded.

        Raises:
            GraderError: the numbers fit neither, or are missing.
        """
        if seed != self.manifest.seed:
            raise GraderError(
                f"This copy holds the expected results for seed {self.manifest.seed} only. Leave --seed out."
            )
        released, name = self.manifest.exercises.get(entry.stem), entry.suite.relative_to(ROOT).as_posix()
        if released is None or not self._observed(entry.stem).is_file():
            raise GraderError(f"The expected results of {entry.label} are missing. Restore it: git checkout -- .")
        due = released.stretch if self.stretch else released.checks
        if digest(entry.suite.read_bytes().decode("utf-8", "replace")) != due:
            raise GraderError(
                f"{name} is not as it was handed out, so that the recorded numbers may not fit it any more. "
                f"Restore it: git checkout -- {name}"
            )

    def warm(self, stem: str) -> None:
        """Read the observations."""
        self._observations(stem)

    def observed(self, stem: str, check: Check, seed: int, hidden: bool) -> tuple[Any, Calls]:  # noqa: ARG002
        """Return what was recorded; `ready` has seen to the seed."""
        return unpack_observation(self._observations(stem)[check.__name__], hidden)

    def exercise(self, stem: str) -> Exercise | None:
        """The code of a solution that was released with all that it may use."""
        (entry,) = find([stem])
        return self.code.exercise(stem) if {stem, *entry.needs} <= set(self.sources) else None

    def identity(self, stem: str) -> str:
        """The recorded file."""
        return self._observed(stem).read_text(encoding="utf-8")

    def recorded_traces(self, entry: Entry) -> Path | None:
        """The recorded traces."""
        path = self._path(TRACES, entry.stem)
        return path if path.is_file() else None

    def _observations(self, stem: str) -> dict[str, Any]:
        return _read(self._observed(stem))

    def _observed(self, stem: str) -> Path:
        return self._path(STRETCH if self.stretch else OBSERVATIONS, stem)

    def _path(self, folder: str, stem: str) -> Path:
        return self.root / folder / f"{stem}.json"


@cache
def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise GraderError(f"{path} is missing or damaged. Restore it: git checkout -- {path.name}") from None
