"""Trying: the lesson's worked example on the learner's own code, and a prompt with all they have built (`make try`)."""

from __future__ import annotations

import ast
import code
import contextlib
import doctest
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from grader.content import stubs
from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import shown
from grader.grading import Grading, built_on
from grader.probing.assembly import Assembly, unqualified
from grader.probing.trees import parse

SECTION = "By hand"
Kind = Literal["code", "result", "wrong", "note"]


@dataclass
class Built:
    """What a learner has built, ready to be played with."""

    assembly: Assembly
    names: dict[str, list[str]] = field(default_factory=dict)  # what each exercise gives, by its stem
    borrowed: list[str] = field(default_factory=list)  # stems that the named exercise takes from the reference

    def namespace(self) -> dict[str, Any]:
        """Everything that was built, by name, with NumPy and PyTorch."""
        import numpy
        import torch

        found: dict[str, Any] = {"np": numpy, "torch": torch}
        for stem, names in self.names.items():
            module = self.assembly.module(stem)
            found |= {name: getattr(module, name) for name in names if hasattr(module, name)}
        return found


@contextmanager
def opened(exercises: Path, entry: Entry | None = None) -> Iterator[Built]:
    """Everything that a learner has built and that passes, and one exercise as it is now.

    Args:
        exercises: the folder with the learner's files.
        entry: the exercise that is taken even though it does not pass.

    Raises:
        GraderError: that exercise is not written yet, can't be imported, or waits for an earlier one.
    """
    with Grading(exercises) as grading:
        own = {each.stem: grading.learner[each.stem] for each in load() if each != entry and grading.passes(each)}
        borrowed = []
        if entry is not None:
            mine = grading.learner.get(entry.stem)
            if mine is None or stubs.is_untouched(entry, mine.text):
                path = shown(str(exercises / entry.stub.name))
                raise GraderError(grading.unreadable.get(entry.stem, f"Nothing is written in {path} yet."))
            chosen = grading.chosen(entry)
            if chosen.missing:
                raise GraderError(built_on(entry, chosen.missing))
            own[entry.stem], borrowed = mine, chosen.borrowed
        helpers = {stem: source for stem, source in grading.learner.items() if not grading.is_exercise(stem)}
        with Assembly({**grading.reference, **helpers, **own}) as assembly:
            names = {each.stem: _public(each) for each in load() if each.stem in own}
            built = Built(assembly, names, borrowed)
            if entry is not None:
                _import(assembly, entry)
            yield built


def _public(entry: Entry) -> list[str]:
    """The functions and classes of an exercise."""
    tree = parse(stubs.generated(entry))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"]


def _import(assembly: Assembly, entry: Entry) -> None:
    try:
        assembly.module(entry.stem)
    except (Exception, SystemExit) as error:
        line = getattr(error, "lineno", None)
        where = f"{shown(str(assembly.sources[entry.stem].path))}{f':{line}' if line else ''}"
        raise GraderError(f"{where} can't be imported: {type(error).__name__}: {unqualified(str(error))}") from error


@dataclass
class Transcript:
    """What came of a worked example, as at a prompt."""

    lines: list[tuple[Kind, str]] = field(default_factory=list)
    examples: int = 0
    right: int = 0  # how many came out as in the lesson
    variables: dict[str, Any] = field(default_factory=dict)


def by_hand(entry: Entry, assembly: Assembly) -> Transcript:
    """Run the worked example of an exercise's lesson on the code of an assembly."""
    lesson = ast.get_docstring(parse(stubs.generated(entry))) or ""
    begin, end = _section(lesson)
    variables = dict(vars(assembly.module(entry.stem)))
    test = doctest.DocTestParser().get_doctest(lesson, variables, f"the lesson of {entry.label}", None, 0)
    transcript = Transcript()
    _Runner(range(begin, end), transcript).run(test, out=lambda _: None, clear_globs=False)
    transcript.variables = test.globs
    return transcript


def _section(lesson: str) -> tuple[int, int]:
    """The first line of the worked example, and the one after its last."""
    lines = lesson.splitlines()
    heads = [number - 1 for number, line in enumerate(lines) if number and re.fullmatch(r"-{3,}", line)]
    begin = next((number for number in heads if lines[number] == SECTION), len(lines))
    return begin, next((number for number in heads if number > begin), len(lines))


class _Runner(doctest.DocTestRunner):
    """Runs all examples and tells of those of one section; what fails does not stop the rest."""

    def __init__(self, told: range, transcript: Transcript) -> None:
        super().__init__(verbose=False)
        self.told = told
        self.transcript = transcript
        self._absent: set[str] = set()  # variables that an example could not make

    def report_start(self, _out: Any, _test: doctest.DocTest, example: doctest.Example) -> None:
        if example.lineno in self.told:
            self.transcript.examples += 1
            self._tell("code", ">>> " + example.source.rstrip().replace("\n", "\n... "))

    def report_success(self, _out: Any, _test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        if example.lineno in self.told:
            self.transcript.right += 1
            self._tell("result", got)

    def report_failure(self, _out: Any, _test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        if example.lineno in self.told:
            self._tell("wrong", got or "(nothing)")
            self._tell("note", "in the lesson: " + example.want.rstrip().replace("\n", "\n               "))

    def report_unexpected_exception(
        self,
        _out: Any,
        _test: doctest.DocTest,
        example: doctest.Example,
        exc_info: tuple[type[BaseException], BaseException, TracebackType | None],
    ) -> None:
        with contextlib.suppress(SyntaxError):
            for node in ast.walk(parse(example.source)):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    self._absent.add(node.id)
        if example.lineno not in self.told:
            return
        error = exc_info[1]
        if isinstance(error, NotImplementedError):
            self._tell("note", "(this is still to be written)")
        elif isinstance(error, NameError) and error.name in self._absent:
            self._tell("note", "(this waits for the above)")
        else:
            self._tell("wrong", f"{type(error).__name__}: {error}")

    def _tell(self, kind: Kind, text: str) -> None:
        self.transcript.lines += [(kind, unqualified(line)) for line in text.rstrip().splitlines()]


def prompt(variables: Mapping[str, Any], banner: str) -> None:
    """A Python prompt with some variables, until the learner leaves it."""
    names = dict(variables)
    try:
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    except ImportError:  # Windows has none
        pass
    with contextlib.suppress(SystemExit):
        code.InteractiveConsole(names).interact(banner=banner, exitmsg="")
