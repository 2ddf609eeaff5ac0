"""What pytest and an editor's test explorer collect here: the checks of the exercises.

The project's own tests need more packages and minutes: they are collected where a path leads there (`tests/project`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "project"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the project's own tests out, unless they were asked for."""
    if collection_path != PROJECT:
        return None
    here = config.invocation_params.dir
    asked = [(here / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(PROJECT) for path in asked) else True
