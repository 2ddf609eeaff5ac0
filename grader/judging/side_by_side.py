"""The learner's numbers beside the expected ones, around the first element that differs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from grader.judging.comparison import Difference, number

WINDOW = 6  # numbers shown in a row
LABEL = 10  # characters before the first of them
MORE = "...  "  # for numbers that are left out


def beside(difference: Difference, axes: Sequence[str] = ()) -> list[str]:
    """Two rows of the last axis under each other, and a mark under the first element that differs.

    Args:
        difference: where it is.
        axes: the names of the array's axes, if they are known.
    """
    got, want, index = difference.got, difference.want, difference.index
    if not index:
        return [f"yours     {_number(got[()])}", f"expected  {_number(want[()])}"]
    *front, place = index
    size = want.shape[-1]
    start = max(0, min(place - WINDOW // 2, size - WINDOW))
    stop = min(size, start + WINDOW)
    last = ":" if (start, stop) == (0, size) else f"{start}:{stop}"
    rows = [[_number(item) for item in array[tuple(front)][start:stop]] for array in (got, want)]
    widths = [max(len(row[column]) for row in rows) for column in range(stop - start)]
    lines = [
        f"{label:<{LABEL}}" + "  ".join(f"{item:>{width}}" for item, width in zip(row, widths, strict=True))
        for label, row in zip(("yours", "expected"), rows, strict=True)
    ]
    before = sum(widths[: place - start]) + 2 * (place - start)
    mark = " " * (LABEL + before) + "^" * widths[place - start]
    spoken = f"  ({', '.join([*map(_said, axes[:-1], front), f'along {axes[-1]}'])})" if len(axes) == len(index) else ""
    header = f"{difference.path or 'result'}[{', '.join([*map(str, front), last])}]{spoken}"
    return [header, *lines, mark]


def narrow(lines: Sequence[str], width: int) -> list[str]:
    """Leave out columns at the ends of the rows of `beside`, so that they fit; the marked one stays."""
    if len(lines) != 4 or max(map(len, lines[1:])) <= width:
        return list(lines)
    header, *rows, mark = lines
    ends = [found.end() for found in re.finditer(r"\S+", rows[0])][1:]
    begins = [LABEL, *(end + 2 for end in ends[:-1])]
    first = last = begins.index(mark.index("^"))

    def size(first: int, last: int) -> int:
        return LABEL + ends[last] - begins[first] + len(MORE) * ((first > 0) + (last < len(ends) - 1))

    while True:
        wider = [(first - 1, last), (first, last + 1)] if last - first < 1 else [(first, last + 1), (first - 1, last)]
        fits = [(one, other) for one, other in wider if one >= 0 and other < len(ends) and size(one, other) <= width]
        if not fits:
            break
        first, last = fits[0]
    before, after = MORE if first else "", "  ..." if last < len(ends) - 1 else ""
    shown = [f"{row[:LABEL]}{before}{row[begins[first] : ends[last]]}{after}" for row in rows]
    return [header, *shown, f"{'':<{LABEL + len(before)}}{mark[begins[first] : ends[last]]}"]


def _said(axis: str, place: int) -> str:
    return f"{axis} {place}"


def _number(value: Any) -> str:
    return number(float(value)) if isinstance(value, float | np.floating) else str(value)
