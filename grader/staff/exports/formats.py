"""The formats by name, and reading what is to be exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grader.errors import GraderError
from grader.results import Result
from grader.staff.batch.record import Record
from grader.staff.batch.tables import as_csv, checks
from grader.staff.exports.gradescope import gradescope
from grader.staff.exports.junit import junit
from grader.staff.exports.prairielearn import prairielearn


def read(path: Path) -> tuple[str, Result]:
    """Read a result document, or the record of a student in a batch; returns whose it is, and the result.

    Raises:
        GraderError: the file is missing, is neither, or the student's submission could not be graded.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GraderError(f"Can't read {path}: {error.strerror or error}.") from None
    except ValueError as error:
        raise GraderError(f"{path} is not a JSON document: {error}") from None
    if not isinstance(document, dict):
        raise GraderError(f"{path} is not a result document.")
    try:
        if "record" not in document:
            return path.stem, Result.of_document(document)
        record = Record.of_document(document)
    except GraderError as error:
        raise GraderError(f"{path}: {error}") from None
    if record.result is None:
        raise GraderError(f"{path} holds no result: {record.problem}")
    return record.student, record.result


def written(student: str, result: Result, target: str, hidden: Any) -> str:
    """A result in a format: gradescope, prairielearn, junit or csv."""
    match target:
        case "gradescope":
            return _json(gradescope(result, hidden))
        case "prairielearn":
            return _json(prairielearn(result, show_hidden=hidden == "visible"))
        case "junit":
            return junit(result)
        case "csv":
            return as_csv(checks([Record(student, "", result=result)]))
    raise ValueError(f"no format {target!r}")


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
