"""JUnit XML: a suite for each exercise and a case for each check, as continuous integration reads it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from grader.nb.feedback import clean, feedback
from grader.results import CheckResult, ExerciseResult, Result, Status

ELEMENTS: dict[Status, str] = {
    "fail": "failure", "error": "error", "timeout": "error", "blocked": "skipped", "todo": "skipped",
}  # fmt: skip


def junit(result: Result) -> str:
    """A result as JUnit XML; the points of a check are a property of its suite, `points:NAME`."""
    root = ET.Element("testsuites", {"name": "stubformer", **_totals(result.exercises)})
    for exercise in result.exercises:
        suite = ET.SubElement(root, "testsuite", {"name": exercise.stem, **_totals([exercise], skipped=True)})
        properties = ET.SubElement(suite, "properties")
        values: dict[str, object] = {"points": exercise.points, "max_points": exercise.max_points}
        values |= {"status": exercise.status, "borrowed": " ".join(exercise.borrowed)}
        values |= {"seed": result.seed, "isolation": result.isolation}
        values |= {f"points:{check.name}": f"{check.points} of {check.max_points}" for check in exercise.checks}
        for name, value in values.items():
            ET.SubElement(properties, "property", {"name": name, "value": str(value)})
        for check in exercise.checks:
            _case(suite, exercise.stem, check)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _case(suite: ET.Element, stem: str, check: CheckResult) -> None:
    about = {"name": check.name, "classname": stem}
    case = ET.SubElement(suite, "testcase", about if check.hidden else about | {"time": _time([check])})
    if check.status in ELEMENTS:
        told = {"message": clean(check.says), "type": check.status}
        ET.SubElement(case, ELEMENTS[check.status], told).text = feedback(check)


def _totals(exercises: list[ExerciseResult], skipped: bool = False) -> dict[str, str]:
    checks = [check for exercise in exercises for check in exercise.checks]
    kinds = [ELEMENTS.get(check.status, "") for check in checks]
    totals = {
        "tests": str(len(checks)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "time": _time(checks),
    }
    return totals | ({"skipped": str(kinds.count("skipped"))} if skipped else {})


def _time(checks: list[CheckResult]) -> str:
    """The seconds that public checks took, to one digit: a sleep could say a number of what a hidden one puts in."""
    seconds = sum(check.seconds for check in checks if not check.hidden)
    return f"{float(f'{seconds:.1g}'):.3f}"
