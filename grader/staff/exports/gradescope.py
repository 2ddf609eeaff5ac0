"""Gradescope: the `results.json` that an autograder writes (its documentation's "Autograder Specifications")."""

from __future__ import annotations

from typing import Any, Literal, get_args

from grader.nb.feedback import feedback, summary
from grader.results import CheckResult, Result

Visibility = Literal["visible", "after_due_date", "after_published", "hidden"]
VISIBILITIES: tuple[Visibility, ...] = get_args(Visibility)


def gradescope(result: Result, hidden: Visibility = "after_published") -> dict[str, Any]:
    """A result as Gradescope reads it, a test for each check.

    Args:
        result: what was found.
        hidden: when students see the hidden checks. They never see more of one than a word on what is wrong.
    """
    tests = []
    for place, exercise in enumerate(result.exercises, start=1):
        for number, check in enumerate(exercise.checks, start=1):
            tests.append(_test(check, exercise.stem, f"{place}.{number}", hidden))
    return {
        "score": result.points,
        "output": "\n".join(summary(exercise) for exercise in result.exercises),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"seed": result.seed, "isolation": result.isolation, "max_points": result.max_points},
        "tests": tests,
    }


def refusal(message: str) -> dict[str, Any]:
    """Return what Gradescope shows of a submission that can't be graded."""
    return {"score": 0, "output": message, "output_format": "text", "stdout_visibility": "hidden", "tests": []}


def _test(check: CheckResult, stem: str, number: str, hidden: Visibility) -> dict[str, Any]:
    return {
        "name": f"{stem.partition('_')[0]}: {check.says}",
        "name_format": "text",
        "number": number,
        "score": check.points,
        "max_score": check.max_points,
        "status": "passed" if check.status == "pass" else "failed",
        "output": feedback(check),
        "output_format": "text",
        "tags": [stem, check.status, *(turn.id for turn in (check.misconception.of if check.misconception else ()))],
        "visibility": hidden if check.hidden else "visible",
    }
