"""What took long and passed: it is not tried again until something changes that decides it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grader.content.syllabus import Entry, load
from grader.files import ROOT
from grader.store import Store, fingerprint

CONTENT = ("solutions", "tests", "exercises")
IGNORED = ROOT / "tests" / "project"  # the project's own tests: whoever asks names those that matter


class Settled:
    """What is known to be right in the present state of what decides it: the engine, and some texts."""

    def __init__(self, name: str, texts: Iterable[str]) -> None:
        self._store = Store()
        self._document = f"settled/{name}.json"
        self._key = fingerprint(0, texts)

    @property
    def known(self) -> Any:
        """Return what was kept of it in this state; None if nothing was."""
        document = self._store.read(self._document)
        return document[1] if isinstance(document, list) and document[0] == self._key else None

    def keep(self, what: Any = True) -> None:
        """Keep that it is right, and what there is to say of it (JSON)."""
        self._store.write(self._document, [self._key, what])


def content(entry: Entry | None = None) -> list[str]:
    """Return the names and texts of all that authors wrote: of one exercise and those before it, or of all."""
    entries = load()
    later = [] if entry is None else [each.stem for each in entries[entries.index(entry) + 1 :]]
    found = []
    for path in sorted(path for folder in CONTENT for path in (ROOT / folder).rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in (".py", ".toml", ".md") and IGNORED not in path.parents and not _of(name, later):
            found += [name, path.read_text(encoding="utf-8")]
    return found


def _of(name: str, stems: Iterable[str]) -> bool:
    return any(stem in name for stem in stems)
