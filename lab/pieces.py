"""The pieces that a run is made of: the learner's own, with the reference in the gaps, or the reference as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grader.assembly import Assembly, Exercise
from grader.errors import GraderError
from grader.grading import assemble
from lab.errors import LabError


@dataclass(frozen=True)
class Pieces:
    """What the lab needs of an assembly, and whose it is."""

    exercises: Path | None  # the learner's folder; None for the reference as a whole
    borrowed: tuple[str, ...]  # exercises that are the reference's since the learner's don't pass yet
    tokenizers: Exercise
    training: Exercise
    sampling: Exercise
    capstone: Exercise

    def describe(self) -> str:
        """Whose pieces these are, in a sentence."""
        if self.exercises is None:
            return "Built from the reference solution."
        if not self.borrowed:
            return "Built from your own pieces, all of them."
        names = ", ".join(self.borrowed)
        return f"Built from your own pieces, and, where yours don't pass yet, borrowed from the reference: {names}."


@contextmanager
def open_pieces(exercises: Path | None) -> Iterator[Pieces]:
    """Assemble the pieces for as long as the context lasts.

    Args:
        exercises: the folder with the learner's files; None takes the reference as a whole.

    Raises:
        LabError: the folder does not exist or holds none of the exercises.
    """
    try:
        if exercises is None:
            assembly, borrowed = Assembly.reference(), []
        else:
            assembled = assemble(exercises)
            assembly, borrowed = assembled.assembly, assembled.borrowed
    except GraderError as error:
        raise LabError(str(error)) from error
    with assembly:
        yield Pieces(
            exercises=exercises,
            borrowed=tuple(borrowed),
            tokenizers=assembly.exercise("ex02_tokenizers"),
            training=assembly.exercise("ex14_training"),
            sampling=assembly.exercise("ex15_sampling"),
            capstone=assembly.exercise("ex16_capstone"),
        )
