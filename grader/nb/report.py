"""What a `check(...)` cell says: the same words in JupyterLab, in the formgrader and in the feedback."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from grader.content.syllabus import Entry
from grader.nb.cells import Places
from grader.nb.content import HIDDEN, Group
from grader.nb.feedback import feedback
from grader.results import CheckResult


def report(entry: Entry, group: Group, checks: Sequence[CheckResult], places: Places | None = None) -> str:
    """The report on one group of checks.

    Of hidden checks there is nothing but the sum: not what they test, not which of them pass, nothing of a message.

    Args:
        entry: the exercise.
        group: the group.
        checks: the results of its checks.
        places: where the cells of a notebook stand in the module, if that is where the code comes from.
    """
    points = sum(check.points for check in checks)
    total = f"{points} of {group.points} points"
    if group.id == HIDDEN:
        return f"{total}. What the hidden checks test is not shown.\n"
    lines = [f"{group.title}: {total}"]
    told: set[str] = set()
    for check in checks:
        lines.append(f"[{check.status}] {check.points}/{check.max_points}  {check.says}")
        reason = feedback(check)
        if reason and reason not in told:  # one mistake trips many checks: it is explained once
            told.add(reason)
            lines.append(textwrap.indent(_placed(reason, entry, places or {}), "        "))
    return "\n".join(lines) + "\n"


def _placed(text: str, entry: Entry, places: Places) -> str:
    """Lines of the module as lines of the cells that they stand in."""

    def line_of(match: re.Match[str]) -> str:
        line = int(match[1])
        for name, (first, last) in places.items():
            if first <= line <= last:
                return f"line {line - first + 1} of the cell of `{name}`"
        return match[0]

    return re.sub(rf"\S*\b{re.escape(entry.stem)}\.py:(\d+)", line_of, text) if places else text
