"""What the stretch goals of exercise 4 must do."""

from __future__ import annotations

from grader.checks import Exercise, Random, check


@check("a patch is encoded by its row and its column", axes={"": "patch feature"})
def test_grid(ex: Exercise, rng: Random):
    height, width = rng.sizes(2, 3, 6)
    return ex.grid_encoding(height, width, 12)


@check("a single row of patches, and a single column", after=test_grid)
def test_grid_of_one_line(ex: Exercise, rng: Random):
    (length,) = rng.sizes(1)
    return {"row": ex.grid_encoding(1, length, 8), "column": ex.grid_encoding(length, 1, 8)}


@check("each head has a slope of its own, and what lies ahead is ruled out", axes={"": "head query key"})
def test_alibi(ex: Exercise, rng: Random):
    (length,) = rng.sizes(1, 4, 9)
    return ex.alibi(8, length)


@check("any number of heads, one among them", after=test_alibi)
def test_alibi_of_any_number_of_heads(ex: Exercise, rng: Random):
    return {"two": ex.alibi(2, 5), "one": ex.alibi(1, 4), "sixteen": ex.alibi(16, 3)}
