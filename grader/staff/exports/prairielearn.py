"""PrairieLearn: the `results.json` of an external grader (its documentation's "External grading")."""

from __future__ import annotations

from typing import Any

from grader.nb.feedback import feedback, summary
from grader.results import CheckResult, ExerciseResult, Result


def prairielearn(result: Result, show_hidden: bool = False) -> dict[str, Any]:
    """A result as PrairieLearn reads it.

    Args:
        result: what was found.
        show_hidden: list each hidden check; without it those of an exercise are one entry, with their points in all.
    """
    started = any(exercise.status != "todo" for exercise in result.exercises)
    return {
        "gradable": started,
        "score": result.points / result.max_points if result.max_points else 0.0,
        "message": f"{result.points} of {result.max_points} points" if started else "Nothing is written yet.",
        "output": "\n".join(summary(exercise) for exercise in result.exercises),
        "tests": [test for exercise in result.exercises for test in _tests(exercise, show_hidden)],
    } | ({} if started else {"format_errors": ["None of the exercises is started."]})


def _tests(exercise: ExerciseResult, show_hidden: bool) -> list[dict[str, Any]]:
    listed = [check for check in exercise.checks if show_hidden or not check.hidden]
    tests = [_test(exercise.stem, check) for check in listed]
    rest = [check for check in exercise.checks if check not in listed]
    if rest:
        passed = sum(check.status == "pass" for check in rest)
        tests.append(
            {
                "name": f"{exercise.stem}: {len(rest)} hidden checks",
                "description": "The same with other sizes and numbers, and what is easily forgotten.",
                "points": sum(check.points for check in rest),
                "max_points": sum(check.max_points for check in rest),
                "message": f"{passed} of {len(rest)} pass",
            }
        )
    return tests


def _test(stem: str, check: CheckResult) -> dict[str, Any]:
    return {
        "name": f"{stem}: {check.says}",
        "description": f"{check.name}{' (hidden)' if check.hidden else ''}",
        "points": check.points,
        "max_points": check.max_points,
        "message": check.status,
        "output": feedback(check),
    }
