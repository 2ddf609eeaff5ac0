"""Feedback on what came without the exchange: it is released like all other, and said that it has to be sent."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from traitlets.log import get_logger

from grader.files import write_atomically

TIME, SECRET = "timestamp.txt", "submission_secret.txt"  # nbgrader's; `release_feedback` stops without them


def before_feedback(assignment: str, student: str, notebooks: list[str]) -> None:
    """Add what `release_feedback` reads of each submission where it is missing (nbgrader's `pre_convert_hook`).

    What `zip_collect` sorts in has no time, unless its name has one, and nothing that only its author knows. Without
    these, nobody behind it in the alphabet would get feedback.
    """
    for folder in {Path(path).parent for path in notebooks}:
        missing = [name for name in (TIME, SECRET) if not (folder / name).exists()]
        if SECRET in missing:
            write_atomically(folder / SECRET, secrets.token_hex(64), private=True)
            get_logger().warning(
                "%s's %s did not come through the exchange: send feedback/%s/%s yourself. release_feedback goes on "
                "with the others, but nobody can fetch this one.",
                student,
                assignment,
                student,
                assignment,
            )
        if TIME in missing:
            write_atomically(folder / TIME, datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC"))
