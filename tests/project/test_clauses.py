"""Every sentence that a learner reads about a name is graded, or says why not: tests/clauses/ keeps the list.

A clause is a piece of a public docstring, with the checks that fail without it and the wrong code that shows it:
known mistakes (`broken_by`) or further edits of the reference (`edits`).
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from grader.content.stubs import generated
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, load
from grader.files import ROOT
from grader.misconceptions.catalogue import catalogue
from grader.misconceptions.recordings import LIMIT, known_file
from grader.probing.assembly import Source, read_folder
from grader.store import read_document
from grader.workers.runner import Runner

FOLDER = ROOT / "tests" / "clauses"
ENTRIES = pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.stem)
HEADERS = ("Args:", "Attributes:", "Returns:", "Raises:", "Yields:")


@dataclass(frozen=True)
class Clause:
    """A piece of a public docstring: what grades it and what breaks it, or why nothing does."""

    of: str
    says: str
    checks: tuple[str, ...] = ()
    broken_by: tuple[str, ...] = ()
    edits: tuple[tuple[tuple[str, str], ...], ...] = ()
    ungraded: str = ""


def clauses_of(entry: Entry) -> list[Clause]:
    tables = tomllib.loads((FOLDER / f"{entry.stem}.toml").read_text(encoding="utf-8"))["clause"]
    return [_read(table) for table in tables]


def _read(table: Mapping[str, Any]) -> Clause:
    """`edits` is one wrong turn, a list of {find, replace}; several are a list of such lists."""
    edits = table.get("edits", [])
    turns = [edits] if edits and isinstance(edits[0], dict) else edits
    pairs = tuple(tuple((edit["find"], edit["replace"]) for edit in turn) for turn in turns)
    listed = {key: tuple(table[key]) for key in ("checks", "broken_by") if key in table}
    return Clause(**{**table, **listed, "edits": pairs, "says": _one_line(table["says"])})


def docstrings(stub: str) -> dict[str, str]:
    """What a stub says of its public names, each on one line, without headings and sources."""
    return {name: _one_line("\n".join(_sentences(text))) for name, text in _documented(ast.parse(stub).body)}


def _documented(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (node.name[0] != "_" or node.name == "__init__"):
            text = ast.get_docstring(node)
            if text:
                yield prefix + node.name, text
            if isinstance(node, ast.ClassDef):
                yield from _documented(node.body, f"{prefix}{node.name}.")


def _sentences(text: str) -> Iterator[str]:
    source = False
    for line in inspect.cleandoc(text).splitlines():
        source = line.startswith("Source:") or (source and bool(line))
        if not source and line.strip() not in HEADERS:
            yield line


def _one_line(text: str) -> str:
    return " ".join(text.split())


def uncovered(text: str, pieces: list[str]) -> list[str]:
    """The runs of words of a text that none of the pieces holds."""
    told = [False] * len(text)
    for piece in pieces:
        for found in re.finditer(re.escape(piece), text):
            told[found.start() : found.end()] = [True] * len(piece)
    runs: list[list[str]] = [[]]
    for word in re.finditer(r"\S+", text):
        letters = [at for at in range(*word.span()) if text[at].isalnum()]
        if all(told[at] for at in letters):
            runs.append([])
        else:
            runs[-1].append(word.group())
    return [" ".join(run) for run in runs if run]


# ---- the list is whole ----------------------------------------------------------------------------------------------


@ENTRIES
def test_every_sentence_of_a_public_docstring_is_a_clause(entry: Entry):
    clauses = clauses_of(entry)
    missing = [
        f'[[clause]]\nof = "{name}"\nsays = """{sentence}"""\nchecks = []\nbroken_by = []\n'
        for name, text in docstrings(generated(entry)).items()
        for run in uncovered(text, [clause.says for clause in clauses if clause.of == name])
        for sentence in re.split(r"(?<=[.;]) ", run)
    ]
    assert not missing, f"tests/clauses/{entry.stem}.toml does not have:\n\n" + "\n".join(missing)


@ENTRIES
def test_every_clause_stands_in_the_docstring_that_it_names(entry: Entry):
    said = docstrings(generated(entry))
    strange = [f"{clause.of}: {clause.says}" for clause in clauses_of(entry) if clause.says not in said[clause.of]]
    assert not strange, "the docstring does not say so:\n" + "\n".join(strange)


@ENTRIES
def test_every_clause_is_graded_or_says_why_not(entry: Entry):
    checks, known = {info.name for info in checks_of(entry.suite)}, {each.id for each in catalogue(entry)}
    for clause in clauses_of(entry):
        spot = f"{clause.of}: {clause.says}"
        assert set(clause.checks) <= checks, spot
        assert set(clause.broken_by) <= known, spot
        if clause.ungraded:
            assert len(clause.ungraded) > 15, f"{spot}: a reason, please"
            assert not (clause.checks or clause.broken_by or clause.edits), f"{spot}: graded or not?"
        else:
            assert clause.checks, f"{spot}: no check"
            assert clause.broken_by or clause.edits, f"{spot}: nothing that breaks it"


def test_every_exercise_has_a_list_and_every_list_an_exercise():
    assert {path.stem for path in FOLDER.glob("*.toml")} == {entry.stem for entry in load()}


# ---- and true -------------------------------------------------------------------------------------------------------


@pytest.mark.long
@ENTRIES
def test_without_a_clause_its_checks_fail(entry: Entry):
    """Each wrong turn fails one of the clause's checks at least, and each check notices one of them at least.

    Checks that train for long are left out: the mutants have them run. Which of the others a known mistake fails is on
    record, for the diagnosis.
    """
    reference = read_folder(ROOT / "solutions", "reference")
    quick = {info.name for info in checks_of(entry.suite) if not info.slow}
    turns = {each.id: each.edits for each in catalogue(entry)}
    failed = recorded_failures(entry, reference)
    wrong: list[str] = []
    with Runner(seed=0) as runner:
        for clause in clauses_of(entry):
            asked = [name for name in clause.checks if name in quick]
            if not asked:
                continue
            breaks = {id: turns[id] for id in clause.broken_by}
            breaks |= {f"edits {number}": edits for number, edits in enumerate(clause.edits)}
            seen = {}
            for label, edits in breaks.items():
                known = failed.setdefault(edits, {})
                known |= _failures(entry, reference, edits, [name for name in asked if name not in known], runner)
                seen[label] = {name for name in asked if known[name]}
            spot = f"{clause.of}: {clause.says}"
            wrong += [f"{spot}\n    {label} passes {', '.join(asked)}" for label, by in seen.items() if not by]
            idle = set(asked) - set().union(*seen.values())
            wrong += [f"{spot}\n    {name} fails for none of {', '.join(breaks)}" for name in sorted(idle)]
    assert not wrong, "\n".join(wrong)


def recorded_failures(
    entry: Entry, reference: Mapping[str, Source]
) -> dict[tuple[tuple[str, str], ...], dict[str, bool]]:
    """Which quick checks the reference fails with each known mistake in it, by the mistake's edits."""
    path = known_file(entry, 0, reference)
    statuses = ((None if path is None else read_document(path)) or {}).get("statuses", {})
    return {
        each.edits: {name: status != "pass" for name, status in statuses.get(each.id, {}).items()}
        for each in catalogue(entry)
    }


def _failures(
    entry: Entry, reference: Mapping[str, Source], edits: tuple[tuple[str, str], ...], names: list[str], runner: Runner
) -> dict[str, bool]:
    """Which of some checks the reference fails once it is edited."""
    if not names:
        return {}
    sources = {stem: reference[stem] for stem in entry.needs}
    opened = runner.open(entry, sources | {entry.stem: reference[entry.stem].edited(edits)}).status == "pass"
    infos = {info.name: info for info in checks_of(entry.suite)}
    return {name: not opened or runner.check(infos[name], LIMIT).status != "pass" for name in names}


# ---- the harness itself ---------------------------------------------------------------------------------------------

STUB = '''
def shown(x):
    """Return twice x.

    Args:
        x: (N,) numbers, at
            least one.

    Returns:
        Numbers. x is left alone.

    Source: nobody 1999, who
    wrote much.
    """

def _hidden(x):
    """Not for learners."""

class Thing:
    """A thing."""

    def forward(self, x):
        """Go on."""
'''


def test_what_is_read_are_the_docstrings_of_public_names_without_their_sources():
    assert docstrings(STUB) == {
        "shown": "Return twice x. x: (N,) numbers, at least one. Numbers. x is left alone.",
        "Thing": "A thing.",
        "Thing.forward": "Go on.",
    }


def test_words_that_no_piece_holds_are_found():
    text = docstrings(STUB)["shown"]
    assert uncovered(text, [text]) == []
    assert uncovered(text, ["Return twice x", "Numbers. x is left"]) == ["x: (N,) numbers, at least one.", "alone."]
