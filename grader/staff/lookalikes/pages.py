"""A page for each group of look-alikes, with the two texts of a pair side by side and what they share marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from grader.files import private_folder, write_atomically
from grader.staff.lookalikes.groups import Group, Pair
from grader.staff.lookalikes.prints import Prints

FOLDER = "look-alikes"
PAGES = 100  # groups with a page of their own
SHOWN = 20  # pairs of a group that are shown
LINES = 1500  # of a text


@dataclass(frozen=True)
class Answer:
    """Somebody's answer to an exercise, with its fingerprints."""

    text: str
    prints: Prints


Answers = Mapping[str, Mapping[str, Answer]]  # by stem, by whose it is


def write_pages(groups: Sequence[Group], answers: Answers, stubs: Mapping[str, Prints], out: Path) -> list[str]:
    """Write the pages; returns the address of each group's page, seen from `out`, "" of those that have none."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("pair.html.jinja")
    addresses = [f"{FOLDER}/{group.stem}-{number}.html" for number, group in enumerate(groups[:PAGES], start=1)]
    if addresses:
        private_folder(out / FOLDER)
    for group, address in zip(groups, addresses, strict=False):
        given = stubs[group.stem]
        pairs = [(pair, *_sides(pair, answers[group.stem], given)) for pair in group.pairs[:SHOWN]]
        page = template.render(group=group, pairs=pairs, more=len(group.pairs) - len(pairs))
        write_atomically(out / address, page, private=True)
    return addresses + [""] * (len(groups) - len(addresses))


Line = tuple[int, str, bool]  # its number, its text, and whether the other side has it, too


def _sides(pair: Pair, answers: Mapping[str, Answer], given: Prints) -> tuple[list[Line], list[Line]]:
    one, other = answers[pair.one], answers[pair.other]
    shared = (one.prints.keys() & other.prints.keys()) - given.keys()
    return _lines(one, shared), _lines(other, shared)


def _lines(answer: Answer, shared: set[int]) -> list[Line]:
    marked = {line for each in shared for line in range(answer.prints[each][0], answer.prints[each][1] + 1)}
    lines = answer.text.splitlines()[:LINES]
    return [(number, line[:400], number in marked) for number, line in enumerate(lines, start=1)]
