"""Verdicts that are known from an earlier run: whether an exercise passes, by a fingerprint of all that decides it."""

from __future__ import annotations

import json
from pathlib import Path

from grader.errors import GraderError
from grader.files import write_atomically


class VerdictCache:
    """Whether an exercise passes, by fingerprint. Losing it costs time, nothing else."""

    SIZE = 500

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            self._known: dict[str, bool] = {k: v for k, v in known.items() if isinstance(v, bool)}
        except (OSError, ValueError, AttributeError):
            self._known = {}

    def get(self, digest: str) -> bool | None:
        return self._known.get(digest)

    def put(self, digest: str, passed: bool) -> None:
        self._known.pop(digest, None)
        self._known[digest] = passed
        recent = dict(list(self._known.items())[-self.SIZE :])
        try:
            self.path.parent.mkdir(exist_ok=True)
            write_atomically(self.path, json.dumps(recent))
        except (OSError, GraderError):
            pass  # a read-only folder: the next run grades again
