"""Static rules: what an exercise forbids, found in the syntax tree of what it is made of."""

from grader.judging.rules.look import Look, NotLookedAt, Rules, Violation

__all__ = ["Look", "NotLookedAt", "Rules", "Violation"]
