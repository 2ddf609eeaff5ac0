"""The checks of an exercise inside a notebook's own kernel, as courses run them that have no judge elsewhere.

The same checks, the same comparison and the same reference, but in the process that also runs what students wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grader.content.syllabus import find
from grader.judging.judge import Judge
from grader.judging.reference import here
from grader.nb.content import content
from grader.probing.assembly import Assembly, Source
from grader.workers.here import import_suite


def begin(stem: str) -> Callable[[str], float]:
    """Get ready to check the file beside the notebook; returns a function that runs a group of checks."""
    (entry,) = find([stem])
    suite, reference = import_suite(entry.suite), here().__enter__()
    own = Source.read(Path(entry.stub.name), "learner")
    needs = {need: reference.sources[need] for need in entry.needs}
    judge = Judge(stem, Assembly({**needs, stem: own}).__enter__(), reference, seed=0)

    def check(group: str) -> float:
        """Run the checks of a group; the points are the value of the cell."""
        points = 0
        for info in content(entry).group(group).checks:
            verdict = judge.judge(getattr(suite, info.name), info.limit, info.hidden)
            points += info.points if verdict.status == "pass" else 0
            print(f"[{verdict.status}] {info.says} {verdict.message}")
        return float(points)

    return check
