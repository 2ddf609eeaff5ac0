"""Reading and looking at sources that nobody vouches for: in a process with limits, which alone ever parses them.

Run as a module, this is that process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from grader.judging.rules import Look, NotLookedAt, Rules, Violation
from grader.probing.assembly import Source
from grader.workers.confined import Confined, Ended, Unanswered, serve_confined
from grader.written import Written, imported, read_untrusted

TOO_MUCH = "{}. Nothing of it can be graded: make it shorter and simpler."


class Inspection:
    """Looks at the sources of one submission after the other."""

    def __init__(self) -> None:
        self._process = Confined(__name__)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def read(self, folder: Path) -> Written:
        """As `read_untrusted`.

        Raises:
            Unanswered: that takes too much.
        """
        answer = self._process.ask({"read": str(folder)})
        sources = {stem: Source(stem, Path(path), text, "learner") for stem, path, text in answer["sources"]}
        return Written(sources, answer["unreadable"])

    def imported(self, stem: str, text: str, stems: Collection[str]) -> frozenset[str]:
        """The modules among `stems` that a source may import.

        Raises:
            NotLookedAt: that takes too much.
            Ended: somebody ends the process.
        """
        return frozenset(self._ask(stem, {"imports_of": text, "stems": sorted(stems)})["stems"])

    def look(self, stem: str, texts: Mapping[str, str], forbids: Sequence[str], asked: Collection[str]) -> Look:
        """As `Rules(...).look()`.

        Raises:
            NotLookedAt: they are nested too deeply, branched, or take too much.
            Ended: somebody ends the process.
        """
        request = {"stem": stem, "texts": dict(texts), "forbids": list(forbids), "asked": sorted(asked)}
        answer = self._ask(stem, request)
        if "why" in answer:
            raise NotLookedAt(answer["stem"], answer["why"])
        return Look(*(tuple(Violation(*each) for each in answer[kind]) for kind in ("violations", "mentions")))

    def _ask(self, stem: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._process.ask(request)
        except Ended:
            raise
        except Unanswered as why:
            raise NotLookedAt(stem, TOO_MUCH.format(why)) from None


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The other side of `Inspection`."""
    if "read" in request:
        written = read_untrusted(Path(request["read"]))
        sources = [(stem, str(source.path), source.text) for stem, source in written.sources.items()]
        return {"sources": sources, "unreadable": written.unreadable}
    if "imports_of" in request:
        return {"stems": sorted(imported(request["imports_of"], request["stems"]))}
    try:
        found = Rules(request["stem"], request["texts"], request["forbids"], request["asked"]).look()
    except NotLookedAt as error:
        return {"stem": error.stem, "why": str(error)}
    return {kind: list(map(astuple, getattr(found, kind))) for kind in ("violations", "mentions")}


if __name__ == "__main__":
    serve_confined(answer)
