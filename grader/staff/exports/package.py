"""The zip that Gradescope asks for: what sets an autograder up, what runs it, and the project with its solutions."""

from __future__ import annotations

import shlex
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT
from grader.staff.exports.gradescope import Visibility

INCLUDED = (
    "README.md",
    "conftest.py",
    "constraints.txt",
    "pyproject.toml",
    "exercises/*.py",
    "exercises/stubs.json",
    "exercises/syllabus.toml",
    "grader/**/*",
    "lab/**/*",
    "solutions/*.py",
    "tests/test_*.py",
    "tests/misconceptions/*.toml",
)
EXECUTABLE, PLAIN = 0o100755, 0o100644

SETUP = """\
#!/usr/bin/env bash
# Runs once, when the image of the autograder is built.
set -euo pipefail
cd "${{AUTOGRADER_ROOT:-/autograder}}/source"
if [ ! -x .venv/bin/python ]; then
    python=""
    for version in 3.13 3.12 3.11; do
        if [ -z "$python" ] && apt-get install -y --no-install-recommends "python$version" "python$version-venv"; then
            python="python$version"
        fi
    done
    "${{python:?Python 3.11 or newer is needed: choose a newer image}}" -m venv .venv
fi
.venv/bin/python -m pip install --quiet -c constraints.txt {pip}torch
.venv/bin/python -m pip install --quiet -c constraints.txt {pip}-e .
"""

RUN = """\
#!/usr/bin/env bash
# Runs for each submission. What it prints is for instructors; students see what stands in results.json.
set -euo pipefail
root="${{AUTOGRADER_ROOT:-/autograder}}"
cd "$root/source"
exec .venv/bin/python -m grader gradescope-grade "$root/submission" "$root/results/results.json" {options}
"""


def write_package(out: Path, entries: Sequence[Entry], hidden: Visibility, pip: str = "") -> None:
    """Write the zip, the same one each time as long as the project is the same.

    Args:
        out: the file.
        entries: what is graded.
        hidden: when students see the hidden checks.
        pip: further arguments for pip when the image is built, such as where CPU wheels of PyTorch are.

    Raises:
        GraderError: the file exists, or can't be written.
    """
    options = " ".join(["--hidden", hidden, *(entry.label for entry in entries)])
    scripts = {
        "setup.sh": SETUP.format(pip=" ".join(map(shlex.quote, shlex.split(pip))) + " " * bool(pip)),
        "run_autograder": RUN.format(options=options),
    }
    try:
        with zipfile.ZipFile(out, "x", zipfile.ZIP_DEFLATED) as archive:
            for name, text in scripts.items():
                _add(archive, name, text.encode(), EXECUTABLE)
            for path in _files():
                _add(archive, path.relative_to(ROOT).as_posix(), path.read_bytes(), PLAIN)
    except FileExistsError:
        raise GraderError(f"{out} exists already, and nothing is ever written over. Name another file.") from None
    except OSError as error:
        raise GraderError(f"Can't write {out}: {error.strerror or error}.") from None


def _files() -> Iterator[Path]:
    found = {path for pattern in INCLUDED for path in ROOT.glob(pattern)}
    yield from sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    info = zipfile.ZipInfo(name)  # dated 1980: no clock, so the same zip each time
    info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    archive.writestr(info, content)
