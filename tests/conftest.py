"""What pytest and an editor's test explorer collect here: the checks of the exercises.

The project's own tests need more packages and minutes, and the checks of stretch goals concern those who have begun
them: both are collected where a path leads there (`tests/project`, `tests/stretch`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

APART = (Path(__file__).parent / "project", Path(__file__).parent / "stretch")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the project's own tests and the checks of stretch goals out, unless they were asked for."""
    if collection_path not in APART:
        return None
    here = config.invocation_params.dir
    asked = [(here / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(collection_path) for path in asked) else True
