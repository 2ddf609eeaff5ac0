"""The errors that the engine raises on purpose, each with a message that says what to do."""

from __future__ import annotations


class GraderError(Exception):
    """Something about the set-up or the usage is wrong; the command line prints the message and exits with 2."""


class SourceUnreadable(GraderError):
    """A source file can't be read as text."""


class MissingName(AttributeError):
    """The exercise under test doesn't define a name that the syllabus asks for."""


class OffLimits(RuntimeError):
    """Learner's code uses what it is to build itself."""


class ReferenceBroken(GraderError):
    """The reference itself fails a check: a mistake of the project's, never of the learner's."""
