"""Questions: what a file of tests/quiz needs to ask them, and how the engine finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT
from grader.probing.assembly import Assembly, Exercise
from grader.probing.random import Random

Answer = bool | int | float | str | tuple[int, ...] | list[int] | frozenset[int]
FOLDER = ROOT / "tests" / "quiz"


@dataclass(frozen=True)
class Ask:
    """One question with its numbers, its answer, and why that is the answer.

    The type of `answer` says how a reply is read: a tuple is a shape, a list a sequence of numbers, a frozenset a set
    of them, a bool yes or no, an int a whole number, a float a number within `tolerance` (relative); a string is one of
    `choices`, or a piece of text where there are none.
    """

    text: str
    answer: Answer
    why: str
    choices: Sequence[str] = ()
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        if self.choices and self.answer not in self.choices:
            raise ValueError(f"the answer {self.answer!r} is not among the choices {list(self.choices)}")
        if len(set(self.choices)) != len(self.choices):
            raise ValueError(f"two of the choices are the same: {list(self.choices)}")


@dataclass(frozen=True)
class Question:
    """A kind of question, which draws new numbers each time; `ask` computes the answer by running an assembly."""

    name: str
    title: str
    ask: Callable[[Exercise, Random], Ask]


def question(title: str) -> Callable[[Callable[[Exercise, Random], Ask]], Question]:
    """Decorator: turn a function `(ex, rng) -> Ask` into a question; `title` says what it is about in a few words."""

    def decorate(ask: Callable[[Exercise, Random], Ask]) -> Question:
        return Question(ask.__name__, title, ask)

    return decorate


@contextmanager
def changed(ex: Exercise, *edits: tuple[str, str]) -> Iterator[Exercise]:
    """The exercise with pieces of its source replaced: for questions on what happens when one is left out.

    Args:
        ex: the exercise, whose assembly stays as it is.
        edits: (find, put); what is to be found must occur exactly once.

    Raises:
        ValueError: a piece does not occur exactly once.
    """
    sources, stem = ex._assembly.sources, ex._stem
    with Assembly({**sources, stem: sources[stem].edited(edits)}) as assembly:
        yield assembly.exercise(stem)


def multiplications(call: Callable[[], object]) -> int:
    """Return how many multiplications the matrix products of a call take, as PyTorch's own counter sees them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops()) // 2  # it counts the additions, too


def path_of(entry: Entry) -> Path:
    """The file with an exercise's questions."""
    return FOLDER / f"{entry.stem}.py"


def questions_of(entry: Entry) -> tuple[Question, ...]:
    """The questions on an exercise, in the order of the file; none if there is no file.

    Raises:
        GraderError: the file is damaged.
    """
    import importlib.util

    path = path_of(entry)
    if not path.exists():
        return ()
    spec = importlib.util.spec_from_file_location(f"quiz_{entry.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise GraderError(f"{path} can't be used ({type(error).__name__}: {error}). Restore it from git.") from error
    return tuple(value for value in vars(module).values() if isinstance(value, Question))
