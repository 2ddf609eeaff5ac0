"""The reference as the engine sees it: what it returns from a probe, and what can be borrowed of it.

It is code where the project holds its solutions, and recorded numbers in a release for students (`recorded`).
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self

from grader.checks import ATTRIBUTES, Check
from grader.content.stubs import attributes
from grader.content.syllabus import Entry, find
from grader.errors import ReferenceBroken
from grader.files import ROOT
from grader.judging.calls import Calls
from grader.judging.observation_store import Memory
from grader.probing.assembly import Assembly, Exercise, Source, read_folder
from grader.probing.outcome import observe
from grader.store import Store, fingerprint


class Reference(Protocol):
    """The standard that a judge compares with. Use it as a context manager before asking for observations."""

    sources: Mapping[str, Source]  # what can be borrowed, by stem
    records: bool  # whether the traces of mistakes can be recorded with it

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def ready(self, entry: Entry, seed: int) -> None:
        """Make sure that an exercise can be judged.

        Raises:
            GraderError: it can't, with this seed or with its checks as they are now.
        """
        ...

    def warm(self, stem: str) -> None:
        """Get what it takes to judge an exercise into memory."""
        ...

    def observed(self, stem: str, check: Check, seed: int, hidden: bool) -> tuple[Any, Calls]:
        """The reference's observation, and the calls that the probe makes.

        Raises:
            ReferenceBroken: the probe fails on the reference.
        """
        ...

    def exercise(self, stem: str) -> Exercise | None:
        """The reference's code of an exercise, for a judge that has to measure something; None where there is none."""
        ...

    def identity(self, stem: str) -> str:
        """A text that is another one whenever the reference of an exercise is."""
        ...

    def recorded_traces(self, entry: Entry) -> Path | None:
        """The traces of an exercise's misconceptions that came with the reference; None if none did."""
        ...


LONG = 0.5  # seconds: an observation that takes longer is remembered


class Code:
    """The reference as code. With a memory, what takes long is done once and not in each process."""

    records = True

    def __init__(self, assembly: Assembly, memory: Memory | None = None) -> None:
        self.assembly = assembly
        self.memory = memory
        self.sources: Mapping[str, Source] = assembly.sources
        self._known: dict[tuple[str, str, bool], tuple[int, tuple[Any, Calls]]] = {}  # with the seed of each
        ATTRIBUTES.update(attributes())

    def __enter__(self) -> Self:
        self.assembly.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.assembly.close()

    def ready(self, entry: Entry, seed: int) -> None:
        """Code runs with any seed and any check."""

    def warm(self, stem: str) -> None:
        """Import the exercise."""
        self.assembly.module(stem)

    def observed(self, stem: str, check: Check, seed: int, hidden: bool) -> tuple[Any, Calls]:
        """Run the probe, the first time; many submissions, or mistakes, are judged by the same observations.

        Of each check one is kept: at many seeds, all of them together would fill the memory.
        """
        key = (stem, check.__name__, hidden)
        if key not in self._known or self._known[key][0] != seed:
            self._known[key] = seed, self._recall(stem, check, seed, hidden)
        return self._known[key][1]

    def _recall(self, stem: str, check: Check, seed: int, hidden: bool) -> tuple[Any, Calls]:
        if self.memory is None:
            return self._observe(stem, check, seed, hidden)
        digest = self._digest(stem, check, seed, hidden)
        found = self.memory.get(digest, hidden)
        if found is None:
            started = time.perf_counter()
            found = self._observe(stem, check, seed, hidden)
            if time.perf_counter() - started > LONG:
                self.memory.put(digest, check, *found)
        return found

    def _digest(self, stem: str, check: Check, seed: int, hidden: bool) -> str:
        """A fingerprint of all that decides an observation."""
        (entry,) = find([stem])
        versions = [getattr(sys.modules.get(name), "__version__", "") for name in ("numpy", "torch")]
        sources = [self.sources[each].text for each in (*entry.needs, stem)]
        texts = [check.__name__, str(hidden), *versions, entry.suite.read_text(encoding="utf-8"), *sources]
        return fingerprint(seed, texts)

    def _observe(self, stem: str, check: Check, seed: int, hidden: bool) -> tuple[Any, Calls]:
        calls = Calls(secret=hidden)
        try:
            with calls.of(self.assembly, stem) as exercise:
                return observe(lambda ex, rng: calls.traced(check.probe(ex, rng)), exercise, seed), calls
        except Exception as error:
            detail = "".join(traceback.format_exception(error))
            raise ReferenceBroken(f"{stem}::{check.__name__} fails on the reference itself:\n{detail}") from error

    def exercise(self, stem: str) -> Exercise:
        """The exercise in the reference's assembly."""
        return self.assembly.exercise(stem)

    def identity(self, stem: str) -> str:
        """Its source."""
        return self.sources[stem].text

    def recorded_traces(self, entry: Entry) -> Path | None:  # noqa: ARG002
        """None: code records them when they are asked for."""
        return None


def reference_assembly(stretch: bool = False) -> Assembly:
    """The project's solutions, whole; in a release, those that it brings.

    Args:
        stretch: with what solves the stretch goals of each at its end.
    """
    sources = read_folder(ROOT / "solutions", "reference")
    if stretch:
        for stem, more in read_folder(ROOT / "solutions" / "stretch", "reference").items():
            sources[stem] = replace(sources[stem], text=f"{sources[stem].text}\n\n{more.text}")
    return Assembly(sources)


def here(remember: bool = False, stretch: bool = False) -> Reference:
    """The reference that this copy of the project holds.

    Args:
        remember: keep what takes long in files, which code under test could change where it is not isolated.
        stretch: that of the stretch goals; nothing takes long there.

    Raises:
        GraderError: this is a release, and its manifest is damaged.
    """
    from grader.content.edition import manifest
    from grader.judging.recorded import Recorded

    code = reference_assembly(stretch)
    released = manifest()
    if released is not None:
        return Recorded(released, code, stretch)
    return Code(code, Memory(Store()) if remember and not stretch else None)
