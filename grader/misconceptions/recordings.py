"""What the known misconceptions look like: recorded once per seed, kept in a file, read when something fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from grader.content.suite import CheckInfo, checks_of
from grader.content.syllabus import Entry
from grader.judging.reference import Reference
from grader.misconceptions.catalogue import Misconception, catalogue, mistaken
from grader.probing.assembly import Source
from grader.store import Store, fingerprint, read_document
from grader.workers.process import Interrupted, Worker, WorkerProcess
from grader.workers.runner import Runner

PAIRS = 40  # that are tried for one puzzle
_lent: dict[Path, Path] = {}  # where a file is that could not be kept, by its place in the store
KEPT = 4  # files of one exercise, for as many seeds or states of its suite
LIMIT = 10.0  # seconds for one check; what takes longer is not worth comparing with


def traces_file(
    reference: Reference, entry: Entry, seed: int, launch: Callable[[], Worker], puzzle: Puzzle | None = None
) -> Path | None:
    """The traces that came with the reference, or those that its code leaves; None if there are none."""
    if not reference.records:
        return reference.recorded_traces(entry)
    return known_file(entry, seed, reference.sources, launch, puzzle)


def known_file(
    entry: Entry,
    seed: int,
    reference: Mapping[str, Source],
    launch: Callable[[], Worker] = WorkerProcess,
    puzzle: Puzzle | None = None,
    runner: Runner | None = None,
) -> Path | None:
    """The file with the traces of an exercise's misconceptions, recorded now if need be; None if there are none.

    Each misconception is there by itself. With a puzzle, so are the pairs that might explain it. What is recorded runs
    in a process that is launched, unless there is a runner.

    Raises:
        GraderError: the catalogue is damaged, or the file can't be written.
    """
    if not catalogue(entry):
        return None
    store = Store()
    name = f"known/{entry.stem}-{_digest(entry, seed, reference)[:16]}.json"
    path = _lent.get(store.path(name), store.path(name))
    document = read_document(path)
    if document is not None and puzzle is None:
        return path
    begun = f"begun/{entry.stem}-{_digest(entry, seed, reference)[:16]}.json"
    with Runner(seed, launch) if runner is None else nullcontext(runner) as runner:
        found = document
        if found is None:
            traces = store.read(begun) or {}
            try:
                found = record(entry, reference, runner, traces)
            except Interrupted:
                store.write(begun, traces)
                raise
            store.keep_youngest(f"begun/{entry.stem}-*.json", 0)
        added = puzzle is not None and _add_pairs(found, puzzle, entry, reference, runner)
    if not added and document is not None:
        return path
    kept = store.lend(name, found)
    store.keep_youngest(f"known/{entry.stem}-*.json", KEPT)
    if kept is not None:
        _lent[store.path(name)] = kept
    return kept


@dataclass(frozen=True)
class Puzzle:
    """The checks that a learner's code passes, those that it fails, and those of these that no single mistake explains.

    Of the others nothing is known: they call what is not written yet, or wait for another check.
    """

    passing: frozenset[str]
    failing: frozenset[str]
    unexplained: frozenset[str]


def record(
    entry: Entry, reference: Mapping[str, Source], runner: Runner, traces: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run the quick checks on the reference with each mistake in it.

    Args:
        entry: the exercise.
        reference: the reference's sources.
        runner: runs the checks.
        traces: what is recorded already, by the mistake's id; the rest is added one by one, in case of an interruption.

    Returns:
        `singles`: what fails, packed, by the mistake's id; `statuses`, of the quick checks, likewise;
        `pairs`, none yet; and `rivals`: pairs of mistakes that change the same piece of code.
    """
    mistakes = catalogue(entry)
    traces = {} if traces is None else traces
    for each in mistakes:
        if each.id not in traces:
            seen = traces_of(entry, reference, [each], quick_checks(entry), runner)
            traces[each.id] = None if seen is None else [seen, dict(runner.statuses)]
    rivals = [
        [one.id, other.id]
        for one, other in combinations(mistakes, 2)
        if mistaken(reference[entry.stem], [one, other]) is None
    ]
    possible = {each.id: traces[each.id] for each in mistakes if traces[each.id] is not None}
    singles, statuses = ({id: both[index] for id, both in possible.items()} for index in (0, 1))
    return {"singles": singles, "statuses": statuses, "pairs": [], "rivals": rivals}


def _add_pairs(
    document: dict[str, Any], puzzle: Puzzle, entry: Entry, reference: Mapping[str, Source], runner: Runner
) -> bool:
    """Record the pairs that might explain a puzzle, where they are not just the sum of two; whether there were any."""
    singles: dict[str, dict[str, Any]] = document["singles"]
    mistakes = {each.id: each for each in catalogue(entry)}
    there = {(one, other) for one, other, _ in document["pairs"]}
    added = False
    for one, other in likely_pairs(singles, puzzle):
        if (one, other) not in there:
            added = True
            meet = singles[one].keys() & singles[other].keys()
            infos = [info for info in quick_checks(entry) if info.name in meet]
            traces = traces_of(entry, reference, [mistakes[one], mistakes[other]], infos, runner)
            document["pairs"].append((one, other, traces))  # None: they don't go together, nobody has made both
    return added


def likely_pairs(singles: Mapping[str, Mapping[str, Any]], puzzle: Puzzle) -> list[tuple[str, str]]:
    """The pairs that meet in a check that is unexplained and fail none that passes, best first; not many."""
    marks = {id: frozenset(traces) for id, traces in singles.items()}
    possible = [id for id, found in marks.items() if found & puzzle.failing and not found & puzzle.passing]
    pairs = [(one, other) for one, other in combinations(possible, 2) if marks[one] & marks[other] & puzzle.unexplained]
    return sorted(pairs, key=lambda pair: len(puzzle.failing - marks[pair[0]] - marks[pair[1]]))[:PAIRS]


def traces_of(
    entry: Entry,
    reference: Mapping[str, Source],
    mistakes: list[Misconception],
    infos: list[CheckInfo],
    runner: Runner,
) -> dict[str, Any] | None:
    """Return what fails in time, packed, with some mistakes in the reference; None if they don't go together."""
    source = mistaken(reference[entry.stem], mistakes)
    if source is None:
        return None
    needed = {stem: reference[stem] for stem in entry.needs}
    if runner.open(entry, needed | {entry.stem: source}).status == "pass":
        for info in infos:  # those that wait for another one, too: a learner's may fail while the other can't be seen
            runner.check(info, LIMIT)
    return dict(runner.seen)


def quick_checks(entry: Entry) -> list[CheckInfo]:
    """The checks that a diagnosis rests on: all but those that train for long."""
    return [info for info in checks_of(entry.suite) if not info.slow]


def _digest(entry: Entry, seed: int, reference: Mapping[str, Source]) -> str:
    texts = [entry.suite.read_text(encoding="utf-8"), repr(catalogue(entry))]
    texts += [reference[stem].text for stem in (*entry.needs, entry.stem)]
    return fingerprint(seed, texts)
