"""The learner's numbers beside the expected ones, around the first element that differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grader.judging.comparison import Difference, number

WINDOW = 6  # numbers shown in a row


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
        f"{label:<10}" + "  ".join(f"{item:>{width}}" for item, width in zip(row, widths, strict=True))
        for label, row in zip(("yours", "expected"), rows, strict=True)
    ]
    before = sum(widths[: place - start]) + 2 * (place - start)
    mark = " " * (10 + before) + "^" * widths[place - start]
    spoken = f"  ({', '.join([*map(_said, axes[:-1], front), f'along {axes[-1]}'])})" if len(axes) == len(index) else ""
    header = f"{difference.path or 'result'}[{', '.join([*map(str, front), last])}]{spoken}"
    return [header, *lines, mark]


def _said(axis: str, place: int) -> str:
    return f"{axis} {place}"


def _number(value: Any) -> str:
    return number(float(value)) if isinstance(value, float | np.floating) else str(value)
