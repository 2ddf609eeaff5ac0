"""What the stretch goals of exercise 6 must do."""

from __future__ import annotations

import torch

from grader.checks import Exercise, Random, check


@check("a query sees the last `window` positions, itself included", axes={"": "query key"})
def test_window(ex: Exercise, rng: Random):
    window, length = sorted(rng.sizes(2, 3, 9))
    return ex.window_mask(length, window)


@check("the first positions are seen by all that come after them", after=test_window, axes={"sinks": "query key"})
def test_sinks(ex: Exercise, rng: Random):
    return {
        "sinks": ex.window_mask(9, 3, 2),
        "small": ex.window_mask(7, 1, 1),
        "wide": ex.window_mask(5, 12, 3),
        "none": ex.window_mask(6, 2, 0),
    }


@check("a query sees its own document, and nothing of what comes", axes={"": "batch head query key"})
def test_packed(ex: Exercise, rng: Random):
    first, second, third = rng.sizes(3, 1, 5)
    documents = torch.stack([torch.repeat_interleave(torch.tensor(order), torch.tensor(sizes)) for order, sizes in (
        ([0, 1, 2], [first, second, third]),
        ([7, -1, 3], [third, first, second]),
        ([4, 4, 4], [first, second, third]),
    )])  # fmt: skip
    return ex.packed_mask(documents)
