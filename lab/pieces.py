"""The pieces that a run is made of: the learner's own, with the reference in the gaps, or the reference as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.grading import assemble
from grader.judging.reference import reference_assembly
from grader.probing.assembly import Exercise, Source
from lab.errors import LabError


@dataclass(frozen=True)
class Pieces:
    """The modules of an assembly that the lab uses, and whose they are."""

    exercises: Path | None  # the learner's folder; None for the reference as a whole
    borrowed: tuple[str, ...]  # exercises that are the reference's since the learner's don't pass yet
    passing: frozenset[str]  # exercises that pass; of the reference, all that are there
    tokenizers: Exercise
    masks: Exercise
    transformer: Exercise
    gpt: Exercise
    training: Exercise
    sampling: Exercise
    capstone: Exercise
    cache: Exercise
    rope: Exercise
    llama: Exercise
    race: Exercise
    sources: Mapping[str, Source]  # all of them, by stem

    def passes(self, stem: str) -> bool:
        """Whether something that nobody has to have built is there: for what is better with it, and works without."""
        return stem in self.passing

    def describe(self) -> str:
        """Return whose pieces these are, in a sentence."""
        if self.exercises is None:
            return "Built from the reference solution."
        if not self.borrowed:
            return "Built from your own pieces, all of them."
        names = ", ".join(self.borrowed)
        return f"Built from your own pieces, and, where yours don't pass yet, borrowed from the reference: {names}."


def with_needs(name: str) -> tuple[str, ...]:
    """An exercise and all those that it builds on, as far as this copy of the project has them."""
    entry = next((entry for entry in load() if entry.stem == name), None)
    return (*(entry.needs if entry else ()), name)


def require(used: Sequence[str], exercises: Path | None) -> None:
    """Refuse what this copy of the project can't have the pieces for: it may be a part of it, or hold no solutions.

    Raises:
        LabError: an exercise is not in the syllabus, or is to be the reference's and that is not there.
    """
    entries = {entry.stem: entry for entry in load()}
    absent = [stem for stem in used if stem not in entries]
    if absent:
        raise LabError(f"this needs {', '.join(absent)}, and the exercises here end with {list(entries)[-1]}")
    if exercises is None and not all(entries[stem].solution.exists() for stem in used):
        raise LabError("this needs the reference solution, which this copy of the project does not hold")


@contextmanager
def open_pieces(
    exercises: Path | None,
    used: Sequence[str] = (),
    look: Callable[[Entry], None] = lambda _: None,
    helpers: Sequence[str] = (),
) -> Iterator[Pieces]:
    """Assemble the pieces for as long as the context lasts.

    Args:
        exercises: the folder with the learner's files; None takes the reference as a whole.
        used: the exercises that will be used; only of these, and of the helpers, it is said that they were borrowed.
        look: called with each exercise that has to be graded first.
        helpers: exercises that will be used if they are there.

    Raises:
        LabError: the folder does not exist or holds none of the exercises; a piece is missing.
    """
    require(used, exercises)
    try:
        if exercises is None:
            assembly, borrowed, failing = reference_assembly(), [], []
        else:
            assembled = assemble(exercises, look=look)
            assembly, borrowed = assembled.assembly, assembled.borrowed
            failing = [*borrowed, *assembled.missing]
            missing = [stem for stem in assembled.missing if stem in used]
            if missing:
                names, do = ", ".join(missing), "does" if len(missing) == 1 else "do"
                raise LabError(f"this is built on your {names}, which {do} not pass yet (make test says why)")
    except GraderError as error:
        raise LabError(str(error)) from error
    with assembly:
        yield Pieces(
            exercises=exercises,
            borrowed=tuple(stem for stem in borrowed if stem in (*used, *helpers)),
            passing=frozenset(entry.stem for entry in load()).difference(failing),
            tokenizers=assembly.exercise("ex02_tokenizers"),
            masks=assembly.exercise("ex06_masks"),
            transformer=assembly.exercise("ex12_transformer"),
            gpt=assembly.exercise("ex13_gpt"),
            training=assembly.exercise("ex14_training"),
            sampling=assembly.exercise("ex15_sampling"),
            capstone=assembly.exercise("ex16_capstone"),
            cache=assembly.exercise("ex17_kv_cache"),
            rope=assembly.exercise("ex18_rope"),
            llama=assembly.exercise("ex22_llama"),
            race=assembly.exercise("ex23_muon"),
            sources=assembly.sources,
        )
