"""What a notebook holds besides lesson and stub: exercises/notebooks/*.toml, and the marking schemes in tests/marking.

An exercise without a file of its own gets a notebook, too: its public checks are one group, and nobody is asked
a question.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from grader.content.edition import part
from grader.content.suite import CheckInfo, checks_of, withheld
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT, read_toml
from grader.results import CheckResult

FOLDER = ROOT / "exercises" / "notebooks"
MARKING = ROOT / "tests" / "marking"
HIDDEN, HIDDEN_TITLE = "hidden", "Hidden checks"  # the group of all hidden checks


@dataclass(frozen=True)
class Group:
    """Checks that one cell runs together."""

    id: str
    title: str
    checks: tuple[CheckInfo, ...]
    points: int  # of all its checks, also of those that this copy of the project does not hold
    withheld: int = 0  # how many it does not hold


@dataclass(frozen=True)
class Question:
    """A question that is answered in words, and marked by a person."""

    text: str
    points: int


@dataclass(frozen=True)
class Experiment:
    """A few lines that show something, with what to look at, and what to change in them where that can be done."""

    text: str
    code: str
    vary: str = ""


@dataclass(frozen=True)
class Formula:
    """Lines of a lesson that a notebook shows as mathematics."""

    text: str
    tex: str


@dataclass(frozen=True)
class Content:
    """All of it, for one exercise."""

    entry: Entry
    groups: tuple[Group, ...]
    question: Question | None = None
    experiment: Experiment | None = None
    formulas: tuple[Formula, ...] = ()

    @property
    def points(self) -> int:
        """Return what the checks are worth, all of them together."""
        return sum(group.points for group in self.groups)

    def group(self, id: str) -> Group:
        """A group by its name.

        Raises:
            GraderError: there is none of that name.
        """
        for group in self.groups:
            if group.id == id:
                return group
        known = ", ".join(f'check("{group.id}")' for group in self.groups)
        raise GraderError(f"{self.entry.label} has no group of checks {id!r}. It has {known}.")


def content(entry: Entry) -> Content:
    """Read what an exercise's notebook holds.

    Raises:
        GraderError: the file is damaged, or its groups are not what the public checks are.
    """
    data, path = _read(entry), notebook_file(entry)
    public = {info.name: info for info in checks_of(entry.suite) if not info.hidden}
    try:
        groups = tuple(
            _group(id, title, [public[name] for name in names]) for id, title, names in _named(entry, public)
        )
        question, experiment = data.get("question"), data.get("experiment")
        return Content(
            entry,
            (*groups, *_hidden(entry)),
            Question(question["text"].strip(), question["points"]) if question else None,
            _experiment(experiment) if experiment else None,
            tuple(Formula(each["text"].strip("\n"), each["tex"].strip()) for each in data.get("formula", ())),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise GraderError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def grouped(entry: Entry, checks: Sequence[CheckResult]) -> dict[str, tuple[Group, list[CheckResult]]]:
    """The results of all checks of an exercise, by the group that each is in.

    Raises:
        GraderError: the groups are not what the public checks are.
    """
    public = {check.name: check for check in checks if not check.hidden}
    found = {id: (title, [public[name] for name in names]) for id, title, names in _named(entry, public)}
    hidden = [check for check in checks if check.hidden]
    if hidden:
        found[HIDDEN] = (HIDDEN_TITLE, hidden)
    return {
        id: (Group(id, title, (), sum(check.max_points for check in results)), results)
        for id, (title, results) in found.items()
    }


def notebook_file(entry: Entry) -> Path:
    """Return where the content of an exercise's notebook stands."""
    return FOLDER / f"{entry.stem}.toml"


def scheme(entry: Entry) -> str:
    """Return how to mark the question; "" where nothing is said, as in a release for students."""
    path = MARKING / f"{entry.stem}.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


@cache
def links() -> dict[str, str]:
    """Addresses of what the lessons name, by title."""
    path = FOLDER / "links.toml"
    return dict(read_toml(path)["links"]) if path.exists() else {}


def _read(entry: Entry) -> dict[str, Any]:
    path = notebook_file(entry)
    return read_toml(path) if path.exists() else {}


def _named(entry: Entry, public: Collection[str]) -> list[tuple[str, str, list[str]]]:
    """The groups of public checks: name, title, and the checks' names. Each public check is in one of them."""
    path = notebook_file(entry)
    given = _read(entry).get("group")
    if given is None:
        return [("public", "Public checks", list(public))]
    try:
        groups = [(each["id"], each["title"], list(each["checks"])) for each in given]
    except (KeyError, TypeError) as error:
        raise GraderError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    named = [name for _, _, names in groups for name in names]
    for name in named:
        if name not in public:
            raise GraderError(f"{path}: {name} is no public check of {entry.suite.name}.")
        if named.count(name) > 1:
            raise GraderError(f"{path}: {name} is in two groups; it counts once.")
    forgotten = [name for name in public if name not in named]
    if forgotten:
        raise GraderError(f"{path}: no group holds {', '.join(forgotten)} of {entry.suite.name}. Add it to one.")
    return groups


def _experiment(data: dict[str, str]) -> Experiment:
    return Experiment(data["text"].strip(), data["code"].strip(), data.get("vary", "").strip())


def _group(id: str, title: str, infos: Sequence[CheckInfo]) -> Group:
    return Group(id, title, tuple(infos), sum(info.points for info in infos))


def _hidden(entry: Entry) -> tuple[Group, ...]:
    infos = tuple(info for info in checks_of(entry.suite) if info.hidden)
    released, missing = part(entry.stem), withheld(entry)
    points = sum(info.points for info in infos)
    if released is not None and missing:
        points = released.points - sum(info.points for info in checks_of(entry.suite) if not info.hidden)
    return (Group(HIDDEN, HIDDEN_TITLE, infos, points, missing),) if infos or missing else ()
