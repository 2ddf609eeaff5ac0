"""The manifest of a release: the one file that says that this copy of the project is one, and what it leaves out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from grader.errors import GraderError
from grader.files import ROOT

FILE = "release.json"
FORMAT = 1
RECORDED = "recorded"  # the folder with what stands in for the solutions
SKELETONS, OBSERVATIONS, TRACES = (f"{RECORDED}/{name}" for name in ("skeletons", "observations", "misconceptions"))
STRETCH = f"{OBSERVATIONS}/stretch"  # those of the stretch goals


@dataclass(frozen=True)
class Part:
    """One exercise in a release's manifest."""

    hidden: int  # checks that run only when it is graded
    points: int  # of all its checks, hidden ones included
    checks: str  # fingerprint of the test file as it was released
    solution: bool  # whether its solution was released, too
    stretch: str = ""  # fingerprint of the checks of its stretch goals; "" if it has none


@dataclass(frozen=True)
class Manifest:
    """The manifest of a release: its version, its seed and its exercises."""

    version: str
    seed: int  # what the recorded observations were drawn from
    whole: bool  # whether it has the course, with or without its bonus, and not only what comes up to some date
    exercises: Mapping[str, Part]

    def text(self) -> str:
        """The file's content."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"


@cache
def manifest(root: Path = ROOT) -> Manifest | None:
    """The manifest of this copy of the project; None if it is no release.

    Raises:
        GraderError: the file is damaged, or of a later format.
    """
    path = root / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise GraderError(f"{path} is in a format that this version of the project does not read.")
        parts = {stem: Part(**part) for stem, part in data.pop("exercises").items()}
        return Manifest(exercises=parts, **data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise GraderError(f"{path} is damaged. Restore it: git checkout -- {FILE}") from None


def part(stem: str) -> Part | None:
    """Return what the manifest says of an exercise; None if this is no release."""
    found = manifest()
    return None if found is None else found.exercises.get(stem)
