"""`--changed`: a long test that has passed is skipped until something changes that decides it.

A test is marked as long (`pytest.mark.long`) where it tries content: every mistake, every variant, every forgery. What
decides it is the engine, what authors wrote of its exercise and of those before, and its own module with the helpers
beside it. An exercise is found by the parameter `entry` or `candidate`, or by the module's name; else all
content decides.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest

from grader.content.syllabus import Entry, load
from grader.staff.settled import Settled, content

SETTLED = pytest.StashKey[Settled]()
HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--changed", action="store_true", help="skip long tests that passed and that nothing has changed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("long") is None:
        return
    settled = item.stash[SETTLED] = Settled(re.sub(r"\W+", "-", item.nodeid), decisive(item))
    if item.config.getoption("--changed") and settled.known:
        pytest.skip("it has passed, and nothing has changed that decides it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.passed and SETTLED in item.stash:
        item.stash[SETTLED].keep()
    return report


def decisive(item: pytest.Item) -> list[str]:
    """Return the texts that decide a test, besides the engine."""
    beside = [*HERE.glob("*.py"), *item.path.parent.glob("conftest.py"), item.path]
    helpers = sorted({path for path in beside if path == item.path or not path.name.startswith("test_")})
    return [*(path.read_text(encoding="utf-8") for path in helpers), *content(exercise(item))]


def exercise(item: pytest.Item) -> Entry | None:
    """Return the one exercise that a test is about; None if there is none."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    for each in (given.get("entry"), getattr(given.get("candidate"), "entry", None)):
        if isinstance(each, Entry):
            return each
    found = [each for each in load() if re.search(rf"\b{each.stem[:4]}\b", item.path.stem.replace("_", " "))]
    return found[0] if len(found) == 1 else None
