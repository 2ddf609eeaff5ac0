"""Building a release: the tree that students get, checked for leaks, as a git repository with a single commit."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from grader.checks import Check
from grader.content.edition import FILE, OBSERVATIONS, SKELETONS, STRETCH, TRACES, Manifest, Part
from grader.content.stubs import RECORD, generated, skeleton
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.files import ROOT, digest, read_toml, real
from grader.judging.reference import Code, reference_assembly
from grader.misconceptions.catalogue import catalogue
from grader.nb.content import notebook_file
from grader.staff.release import cutting, recording
from grader.staff.release.leaks import leaks
from grader.workers.here import import_suite

CONTENTS = Path(__file__).with_name("contents.toml")
NO_ASSISTANTS = Path(__file__).with_name("no_assistants.md")
AGENTS = "AGENTS.md"
READ_BY_ASSISTANTS = ("CLAUDE.md", "GEMINI.md", ".github/copilot-instructions.md", ".cursor/rules/tutor.mdc")
Assistants = Literal["tutor", "none", "free"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Selection:
    """The exercises to release, with or without their solutions."""

    entries: tuple[Entry, ...]
    solved: frozenset[str] = frozenset()  # the stems of those whose solutions come along
    seed: int = 0
    assistants: Assistants = "tutor"
    whole: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", all(entry in self.entries for entry in load() if not entry.bonus))

    @classmethod
    def of(
        cls,
        until: str | None = None,
        solutions: str | None = None,
        seed: int = 0,
        assistants: Assistants = "tutor",
        only_part: str | None = None,
    ) -> Selection:
        """A selection from what stands on a command line.

        Args:
            until: the last exercise; None for all.
            solutions: a range of exercises whose solutions come along, such as `ex01-ex04`.
            seed: what the inputs of the checks are drawn from.
            assistants: what AI assistants are told that they may do.
            only_part: one part of the syllabus, up to `until`: its exercises, and those that they need with their
                solutions, which the others borrow from.

        Raises:
            GraderError: an exercise or a part is unknown, or the range is empty or reaches beyond the release.
        """
        everything = load()
        if only_part is not None:
            return cls._of_part(only_part, until, solutions, seed, assistants)
        last = find([until])[0] if until else everything[-1]
        entries = everything[: everything.index(last) + 1]
        if not solutions:
            return cls(entries, seed=seed, assistants=assistants)
        first, _, end = solutions.partition("-")
        start, stop = (everything.index(find([name.strip()])[0]) for name in (first, end or first))
        if start > stop:
            raise GraderError(f"{solutions!r} is not a range: name the earlier exercise first.")
        if everything[stop] not in entries:
            raise GraderError(
                f"The release ends with {last.label}, so it can't have the solution of {everything[stop].label}."
            )
        return cls(entries, frozenset(entry.stem for entry in everything[start : stop + 1]), seed, assistants)

    @classmethod
    def _of_part(
        cls, part: str, until: str | None, solutions: str | None, seed: int, assistants: Assistants
    ) -> Selection:
        if solutions:
            raise GraderError("A part alone comes with the solutions of what it needs. Name no others.")
        everything = load()
        parts = dict.fromkeys(entry.part for entry in everything)
        if part not in parts:
            raise GraderError(f"{part!r} is not a part of the syllabus. There are: {'; '.join(parts)}.")
        last = everything.index(find([until])[0]) if until else len(everything)
        chosen_ones = [entry for place, entry in enumerate(everything) if entry.part == part and place <= last]
        if not chosen_ones:
            raise GraderError(f"No exercise of the part {part!r} comes up to {until}.")
        needed = {stem for entry in chosen_ones for stem in entry.needs} - {entry.stem for entry in chosen_ones}
        entries = tuple(entry for entry in everything if entry in chosen_ones or entry.stem in needed)
        return cls(entries, frozenset(needed), seed, assistants)


def build(out: Path, selection: Selection, say: Say = lambda _: None) -> Manifest:
    """Write a release; the folder holds all of it in the end, or is left as it was.

    Raises:
        GraderError: the folder is in use or can't be written; something would leak; a piece of the project is damaged.
    """
    check_free(out)
    out = real(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise GraderError(f"Can't write beside {out}: {error.strerror or error}.") from None
    try:
        work.chmod(0o755)
        write_files(work, selection)
        record(work, selection, say)
        manifest = write_manifest(work, selection)
        found = list(leaks(work, load(), selection.solved))
        if found:
            more = f"\n  and {len(found) - 5} more" if len(found) > 5 else ""
            raise GraderError("Nothing was released: something would leak.\n  " + "\n  ".join(found[:5]) + more)
        if not commit(work, manifest):
            say("git is not installed: the release is a plain folder.")
        if out.exists():
            out.rmdir()
        work.rename(out)
    except OSError as error:
        raise GraderError(f"Can't write {error.filename or out}: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def check_free(out: Path) -> None:
    """Refuse a folder that holds something, or that lies where the release itself is read from.

    Raises:
        GraderError: the folder can't be used.
    """
    if out.exists() and not out.is_dir():
        raise GraderError(f"{out} is a file. Name a folder that does not exist yet.")
    if out.is_dir() and any(out.iterdir()):
        raise GraderError(
            f"{out} is not empty, and nothing is ever written over. Name a folder that does not exist yet."
        )
    resolved = real(out)
    if resolved.is_relative_to(ROOT) and not resolved.is_relative_to(ROOT / "build"):
        raise GraderError(f"{out} lies inside this project. Name a folder outside of it, or one in build/.")


def write_files(root: Path, selection: Selection) -> None:
    """Everything but the recorded numbers and the manifest.

    Raises:
        GraderError: a marker has no match.
    """
    contents = read_toml(CONTENTS)
    labels = [entry.label for entry in selection.entries]
    with_exercises = [name for label, names in contents["with"].items() if label in labels for name in names]
    for path in chosen([*contents["copied"], *with_exercises], contents["left_out"]):
        target = root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for name in contents["marked"]:
        put(root / name, cutting.marked((ROOT / name).read_text(encoding="utf-8"), labels, name))
    tell_assistants(root, selection.assistants)
    exercises = root / "exercises"
    whole = (ROOT / "exercises" / "syllabus.toml").read_text(encoding="utf-8")
    put(exercises / "syllabus.toml", cutting.syllabus(whole, [entry.stem for entry in selection.entries]))
    prints = {entry.stem: digest(generated(entry)) for entry in selection.entries}
    put(exercises / RECORD, recording.text(prints, depth=1))
    for entry in selection.entries:
        put(exercises / entry.stub.name, generated(entry))
        put(exercises / "hints" / entry.hints.name, entry.hints.read_text(encoding="utf-8"))
        if notebook_file(entry).exists():  # which groups of checks a notebook runs
            put(exercises / "notebooks" / notebook_file(entry).name, notebook_file(entry).read_text(encoding="utf-8"))
        put(root / "tests" / entry.suite.name, cutting.public_checks(entry.suite.read_text(encoding="utf-8")))
        if entry.goals is not None:
            put(root / entry.goals.suite.relative_to(ROOT), entry.goals.suite.read_text(encoding="utf-8"))
        put(root / SKELETONS / entry.stub.name, skeleton(entry))
        if catalogue(entry):
            named = cutting.named_misconceptions(catalogue(entry))
            put(root / "tests" / "misconceptions" / f"{entry.stem}.toml", named)
        if entry.stem in selection.solved:
            put(root / "solutions" / entry.solution.name, entry.solution.read_text(encoding="utf-8"))


def tell_assistants(root: Path, assistants: Assistants) -> None:
    """Write the files that AI assistants read: to be a tutor, or to stay away; none if they are free."""
    if assistants == "free":
        return
    if assistants == "none":
        text = NO_ASSISTANTS.read_text(encoding="utf-8")
    else:
        text = cutting.marked((ROOT / AGENTS).read_text(encoding="utf-8"), (), AGENTS)
    put(root / AGENTS, text)
    pointer = f"Read {AGENTS} at the root of this repository, and keep to it.\n"
    for name in READ_BY_ASSISTANTS:
        front = "---\nalwaysApply: true\n---\n" if name.endswith(".mdc") else ""
        put(root / name, front + pointer)


def record(root: Path, selection: Selection, say: Say) -> None:
    """Record what the reference and its known mistakes return from the public checks, as they stand in the release."""
    with without_bytecode(), Code(reference_assembly(stretch=True)) as reference:
        for goals in filter(None, (entry.goals for entry in selection.entries)):
            checks = public(root / goals.suite.relative_to(ROOT))
            numbers = recording.observations(goals.stem, checks, reference, selection.seed)
            put(root / STRETCH / f"{goals.stem}.json", recording.text(numbers, depth=2))
    with without_bytecode(), Code(reference_assembly()) as reference:
        suites = {entry: public(root / "tests" / entry.suite.name) for entry in selection.entries}
        for entry, checks in suites.items():
            numbers = recording.observations(entry.stem, checks, reference, selection.seed)
            put(root / OBSERVATIONS / f"{entry.stem}.json", recording.text(numbers, depth=2))
        say(f"recorded the expected results of {sum(map(len, suites.values()))} public checks")
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            seen = pool.map(lambda entry: recording.traces(entry, suites[entry], reference, selection.seed), suites)
            for entry, traces in zip(suites, seen, strict=True):
                if traces is not None:
                    put(root / TRACES / f"{entry.stem}.json", recording.text(traces, depth=3))
                    say(f"{entry.label}: {len(traces['singles'])} misconceptions can be named")


def public(suite: Path) -> dict[str, Check]:
    """The checks of a test file of the release.

    Raises:
        GraderError: it can't do without what was cut out of it.
    """
    try:
        module = import_suite(suite)
    except Exception as error:
        raise GraderError(f"{suite.name} can't be imported without its hidden checks: {error!r}") from error
    return {name: value for name, value in vars(module).items() if isinstance(value, Check)}


def write_manifest(root: Path, selection: Selection) -> Manifest:
    """Write down what the release is, and what it leaves out."""
    parts = {}
    for entry in selection.entries:
        infos = checks_of(entry.suite)
        parts[entry.stem] = Part(
            hidden=sum(info.hidden for info in infos),
            points=sum(info.points for info in infos),
            checks=digest((root / "tests" / entry.suite.name).read_text(encoding="utf-8")),
            solution=entry.stem in selection.solved,
            stretch="" if entry.goals is None else digest(entry.goals.suite.read_text(encoding="utf-8")),
        )
    version = read_toml(ROOT / "pyproject.toml")["project"]["version"]
    manifest = Manifest(version, selection.seed, selection.whole, parts)
    put(root / FILE, manifest.text())
    return manifest


def commit(root: Path, manifest: Manifest) -> bool:
    """Make the folder a repository of one commit; False if there is no git.

    Raises:
        GraderError: git fails.
    """
    git = shutil.which("git")
    if git is None:
        return False
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [git, *arguments],
            cwd=root,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode and arguments[0] != "config":
            raise GraderError(f"git {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    run("init", "--quiet", "--template=", "--initial-branch=main")
    run("add", "--all")
    who = (
        []
        if run("config", "user.email")
        else ["-c", "user.name=Stubformer", "-c", "user.email=release@stubformer.invalid"]
    )
    message = f"Stubformer {manifest.version}: {len(manifest.exercises)} exercises"
    run(*who, "-c", "commit.gpgsign=false", "-c", "core.hooksPath=", "commit", "--quiet", "--message", message)
    return True


def chosen(patterns: Collection[str], left_out: Sequence[str]) -> Iterator[Path]:
    """The files of the project that fit some patterns and none of the others, in order."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    absent = {path for pattern in left_out for path in ROOT.glob(pattern)}
    yield from sorted(found - absent)


def put(path: Path, text: str) -> None:
    """Write a text with line feeds, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def without_bytecode() -> Iterator[None]:
    """Import without leaving compiled code behind."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
