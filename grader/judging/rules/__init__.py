"""Static rules: what an exercise forbids, found in the syntax tree of what it is made of."""

from grader.judging.rules.look import Rules, TooDeep, Violation

__all__ = ["Rules", "TooDeep", "Violation"]
