"""Every target of `make help`, run in a fresh clone that has nothing but the first set-up, as a newcomer runs it.

Takes long, and needs a package index: `make nightly`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from grader.files import ROOT

TOOLS = shutil.which("make") and shutil.which("git")
pytestmark = [pytest.mark.nightly, pytest.mark.skipif(not TOOLS, reason="there is no make or no git")]

# What a target is given, so that it has something to do and is done in minutes; and how it ends, if not with 0.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "look": ("EX=05", "ARGS=--exercises solutions"),
    "try": ("EX=05", "ARGS=--exercises solutions"),
    "jupyter": ("EX=05",),
    "shell": ("ARGS=--exercises solutions",),
    "hint": ("EX=05", "NAME=attend"),
    "solution": ("EX=01", "ARGS=--give-up"),
    "reset": ("EX=01", "ARGS=--yes"),
    "recall": ("EX=01",),
    "quiz": ("EX=01", "ARGS=--count 1"),
    "train": ("ARGS=--reference --steps 20 --plain",),
    "sample": ("PROMPT=ROMEO:", "ARGS=--tokens 20"),
    "demo": ("ARGS=--plain",),
    "ablate": ("ARGS=--reference --preset tiny --steps 20 --plain",),
    "chat": ("PROMPT=What is the capital of France?", "ARGS=--reference --tokens 20 --plain"),
    "speedrun": ("ARGS=--reference --plain",),
    "mutants": ("EX=01",),
    "mutate": ("EX=01",),
    "seeds": ("EX=01", "SEEDS=2"),
    "bench": ("ONLY=cold-test", "ARGS=--runs 1"),
    "release": ("OUT=build/my students", "UNTIL=ex01"),
    "notebooks": ("EX=01", "OUT=build/my course"),
}
FIRST: dict[str, str] = {"sample": "train", "map": "train"}  # what has to be there before
# They last, run by themselves, or need a remote with something new, a run of one's own pieces, or half a gigabyte.
APART = {"certificate", "watch", "check", "nightly", "update", "gpt2"}


def listed() -> list[str]:
    """The targets of `make help`."""
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return re.findall(r"^make ([a-z0-9]+) ", done.stdout, re.MULTILINE)


def make(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    """Run a target."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STUBFORMER", "PYTEST"))}
    return subprocess.run(
        ["make", target, *ARGUMENTS.get(target, ())],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=3600,
    )  # fmt: skip


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that is set up, as far as the learner's own commands set it up."""
    folder = tmp_path_factory.mktemp("clones") / "base"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    done = make(folder, "list")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("target", [target for target in listed() if target not in APART] if TOOLS else [])
def test_a_target_works_in_a_fresh_clone(base: Path, tmp_path: Path, target: str):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    shutil.copytree(base / ".venv", clone / ".venv", symlinks=True, copy_function=os.link)
    if target in FIRST:
        assert make(clone, FIRST[target]).returncode == 0
    done = make(clone, target)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    changed = [
        line for line in status.stdout.splitlines() if not line.endswith((" exercises/ex01_softmax.py", "build/"))
    ]
    assert changed == [], "it leaves something behind that git sees"


def test_the_benchmarks_run_one_and_all_in_a_fresh_clone(base: Path, tmp_path: Path):
    """All that they import is set up by the target, whichever is asked for."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    shutil.copytree(base / ".venv", clone / ".venv", symlinks=True, copy_function=os.link)
    done = subprocess.run(
        ["make", "bench", "ARGS=--runs 1"],
        cwd=clone, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=7200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
