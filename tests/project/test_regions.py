"""Marked regions: found, paired, counted, taken out; a damaged pair is named by its line."""

from __future__ import annotations

import pytest

from grader.content.regions import CODE, EDITION, HIDDEN, SOLUTION, WITH, inside, regions, without_markers
from grader.errors import GraderError

TEXT = """\
def f(x):
    ### BEGIN SOLUTION
    return x
    ### END SOLUTION
### BEGIN HIDDEN TESTS
def test(): ...
### END HIDDEN TESTS
<!-- BEGIN WITH ex01 ex02 -->
more
<!-- END WITH -->
"""


def test_regions_of_each_kind_are_found_with_their_places():
    (solution,) = regions(TEXT, SOLUTION)
    assert (solution.begin, solution.end, solution.indent, solution.of(TEXT)) == (2, 4, "    ", ["    return x"])
    assert inside(TEXT, HIDDEN) == {6}
    assert [(each.kind, each.labels) for each in regions(TEXT, *EDITION)] == [(WITH, ("ex01", "ex02"))]
    assert [each.kind for each in regions(TEXT, *CODE)] == [SOLUTION, HIDDEN]


def test_without_markers_keeps_what_stands_between_them():
    assert without_markers(TEXT, SOLUTION).startswith("def f(x):\n    return x\n### BEGIN HIDDEN")
    assert "BEGIN" not in without_markers(TEXT, *CODE, *EDITION)
    assert without_markers("x = 1  # BEGIN WHOLE of it\r\n", *EDITION) == "x = 1  # BEGIN WHOLE of it\r\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("### BEGIN SOLUTION\n", ":1: BEGIN SOLUTION without an end"),
        ("\n### END SOLUTION\n", ":2: '### END SOLUTION' has no match"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n", ":2: "),
        ("### BEGIN SOLUTION\n### END HIDDEN TESTS\n", ":2: "),
    ],
)
def test_a_marker_without_its_partner_is_named_by_its_line(text: str, place: str):
    with pytest.raises(GraderError, match=place):
        regions(text, *CODE, name="the file")
