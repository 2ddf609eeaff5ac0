"""What the lab says when it can't go on: one clear line or two, and exit status 2."""

from __future__ import annotations

import click


class LabError(click.ClickException):
    """Something that the user can put right. The message says what was expected, what came, and what to do next."""

    exit_code = 2
