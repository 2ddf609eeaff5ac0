"""Closed book: an exercise, or a whole model, written from memory against the same checks."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from grader.content import outline as bare
from grader.content.stubs import FOLDER as EXERCISES
from grader.content.stubs import skeleton
from grader.content.suite import CheckInfo, checks_of
from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.files import ROOT, free, read_toml, shown, stamp, write_atomically
from grader.grading import Grading
from grader.probing.assembly import Source
from grader.probing.trees import parse
from grader.progress import Event
from grader.results import ExerciseResult

FOLDER = ROOT / "recall"
IN_FULL = 3  # problems shown of one exercise


@dataclass(frozen=True)
class Task:
    """The names to write from memory into one file, by exercise; None stands for the whole of it."""

    name: str
    title: str
    parts: Mapping[Entry, tuple[str, ...] | None]

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.py"

    @property
    def word(self) -> str:
        """Return what to type after EX=."""
        (*others, last) = self.parts
        return self.name if others or self.parts[last] else last.label[2:]

    def start(self) -> str:
        """The text that the file begins with: signatures for one exercise, nothing for a task of several."""
        if any(names is not None for names in self.parts.values()):
            return ""
        (entry,) = self.parts
        return bare.signatures(skeleton(entry), f"{self.title}, from memory.")

    def contract(self) -> str:
        """The signatures of the names that are asked for, by exercise."""
        pieces = []
        for entry, names in self.parts.items():
            text = bare.signatures(skeleton(entry), entry.title)
            lines = text.replace(bare.PLACEHOLDER, "...").splitlines()
            for node in parse(text).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and (names is None or node.name in names):
                    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                    pieces.append("\n".join(lines[start - 1 : node.end_lineno]))
        return "\n\n\n".join(pieces) + "\n"

    def is_untouched(self) -> bool:
        """Return whether the file is as it was handed out."""
        return Source.read(self.path, "learner").text.strip() == self.start().strip()

    def begin(self) -> Path | None:
        """Write the file to start from; one that is there is moved to recall/done/, and its new place returned.

        Raises:
            GraderError: a file can't be moved or written.
        """
        old = self.put_away() if self.path.exists() else None
        try:
            FOLDER.mkdir(exist_ok=True)
            write_atomically(self.path, self.start())
        except OSError as error:
            raise GraderError(f"Can't write {shown(str(self.path))}: {error.strerror or error}.") from None
        return old

    def put_away(self) -> Path:
        """Move the file to recall/done/ under its name and the time.

        Raises:
            GraderError: it can't be moved.
        """
        folder = FOLDER / "done"
        try:
            folder.mkdir(exist_ok=True)
            return self.path.rename(free(folder / f"{self.name}.{stamp()}.py"))
        except OSError as error:
            raise GraderError(f"Can't move {shown(str(self.path))}: {error.strerror or error}.") from None

    def grade(self, done: Callable[[ExerciseResult], object] = lambda _: None) -> list[ExerciseResult]:
        """Run the checks of every part on the file.

        Raises:
            GraderError: the file can't be read.
        """
        source = Source.read(self.path, "learner")
        results = []
        with FromMemory({entry.stem: source for entry in self.parts}) as grading:
            for entry, names in self.parts.items():
                infos = checks_of(entry.suite) if names is None else within(entry, names)
                attempt = grading.attempt(entry)
                borrowed = attempt.borrowed if names is None else []  # one file of its own borrows nothing
                results.append(ExerciseResult.of(entry.stem, map(attempt.check, infos), borrowed))
                done(results[-1])
        return results


class FromMemory(Grading):
    """Grades a file that stands for one or several exercises; the rest is the learner's own as it is in exercises/."""

    def __init__(self, own: Mapping[str, Source]) -> None:
        super().__init__(EXERCISES)
        self.own = own
        self.learner |= own
        for stem in own:
            self.unreadable.pop(stem, None)

    def passes(self, entry: Entry, look: Callable[[Entry], None] = lambda _: None) -> bool:
        """Pieces of the file are used whether they pass or not: they are all there is."""
        return entry.stem in self.own or super().passes(entry, look)


def find_task(name: str) -> Task:
    """The task that is meant by `name`: a group of the syllabus, or one exercise.

    Raises:
        GraderError: there is none.
    """
    known = groups()
    word = name.lower()
    if word in known:
        return known[word]
    try:
        (entry,) = find([name])
    except GraderError as error:
        raise GraderError(f"{error} And {', '.join(known)}, for several in one file.") from None
    return Task(entry.stem, entry.title, {entry: None})


def groups() -> dict[str, Task]:
    """The tasks that span several exercises, by name: the tables `[[recall]]` of the syllabus."""
    path = ROOT / "exercises" / "syllabus.toml"
    entries = {entry.stem: entry for entry in load()}
    found = {}
    for item in read_toml(path).get("recall", []):
        unknown = [stem for stem in item["names"] if stem not in entries]
        if unknown:
            raise GraderError(f"{path}: the recall {item['name']} names {', '.join(unknown)}, which is not an exercise")
        parts = {entries[stem]: tuple(names) for stem, names in item["names"].items()}
        found[item["name"]] = Task(item["name"], item["title"], parts)
    return found


def within(entry: Entry, names: tuple[str, ...]) -> list[CheckInfo]:
    """The checks of an exercise that use none of its names but these."""
    used = names_used(entry.suite)
    return [info for info in checks_of(entry.suite) if used[info.name] <= set(names)]


def names_used(suite: Path) -> dict[str, set[str]]:
    """For each function of a test file, the names of the exercise that it uses, itself or through its helpers."""
    functions = {node.name: node for node in parse(suite.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}

    def reached(name: str, seen: frozenset[str]) -> Iterator[str]:
        for node in ast.walk(functions[name]):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ex":
                yield node.attr
            elif isinstance(node, ast.Name) and node.id in functions and node.id not in seen:
                yield from reached(node.id, seen | {node.id})

    return {name: set(reached(name, frozenset({name}))) - {"of"} for name in functions}


def problems(result: ExerciseResult) -> Iterator[str]:
    """Yield what does not pass, in words: each reason once, the first few in full."""
    reasons: dict[str, list[str]] = {}
    for check in result.checks:
        if check.status not in ("pass", "blocked", "todo"):
            reasons.setdefault(check.message, []).append(check.says)
    for message, says in list(reasons.items())[:IN_FULL]:
        more = f" (and {len(says) - 1} more checks, for the same reason)" if len(says) > 1 else ""
        yield f"  {result.stem.partition('_')[0]}: {says[0]}{more}"
        yield from (f"      {line}" for line in message.splitlines())
    if len(reasons) > IN_FULL:
        yield f"  and {len(reasons) - IN_FULL} more, shown when these are solved"


def began(events: list[Event], name: str) -> datetime | None:
    """Return when the present attempt at a task began; None if there is none."""
    for event in reversed(events):
        if event.ex == name and event.what in ("recall_began", "recalled"):
            return event.at if event.what == "recall_began" else None
    return None


def elapsed(since: datetime | None) -> int | None:
    """Seconds since then; None if it is not known or the clock was set back."""
    if since is None:
        return None
    seconds = round((datetime.now(UTC) - since).total_seconds())
    return seconds if seconds >= 0 else None
