"""Questions on exercise 4: how a transformer is told where a token stands."""

from __future__ import annotations

import math

from grader.learning.quiz import Ask, Exercise, Random, question


@question("position 0")
def origin(ex: Exercise, rng: Random) -> Ask:
    width = 2 * rng.integers(3, 9)
    column = rng.integers(0, width)
    return Ask(
        f"In the sinusoidal encoding with d_model = {width}, what stands at position 0 in column {column}?",
        int(ex.sinusoidal_encoding(1, width)[0, column]),
        "The angle is 0 for every clock. Even columns hold sines, sin 0 = 0; odd ones cosines, cos 0 = 1.",
    )


@question("how long a clock takes to go round")
def wavelength(ex: Exercise, rng: Random) -> Ask:
    width = rng.pick([8, 16, 32])
    pair = rng.pick([0, width // 8, width // 4, 3 * width // 8])
    pe = ex.sinusoidal_encoding(2, width)
    angle = math.atan2(pe[1, 2 * pair].item(), pe[1, 2 * pair + 1].item())
    return Ask(
        f"d_model = {width}, base 10000. After how many positions do columns {2 * pair} and {2 * pair + 1} repeat? "
        "(2 pi is about 6.283.)",
        2 * math.pi / angle,
        f"Their angle at position t is t / 10000**({2 * pair}/{width}) = t / {10000 ** (2 * pair / width):g}, and a "
        "turn is 2 pi. Slow clocks tell distant positions apart, quick ones neighbours.",
        tolerance=0.02,
    )


@question("what a dot product of two encodings depends on")
def only_the_distance(ex: Exercise, rng: Random) -> Ask:
    start, gap, by = rng.integers(2, 9), rng.integers(2, 7), 10 * rng.integers(1, 6)
    pe = ex.sinusoidal_encoding(start + gap + by + 1, 16)
    near, far = (pe[s] @ pe[s + gap] for s in (start, start + by))
    return Ask(
        f"The dot product of the encodings of positions {start} and {start + gap} is {near:.3f}. "
        f"What is that of positions {start + by} and {start + by + gap}?",
        far.item(),
        "The same. sin a sin b + cos a cos b = cos(a - b) in each pair of columns: only the distance counts, wherever "
        "the two stand.",
    )


@question("the shift as a matrix")
def shift(ex: Exercise, rng: Random) -> Ask:
    width = 2 * rng.integers(3, 9)
    offset = rng.integers(1, 6)
    return Ask(
        f"One matrix takes the encoding of any position (d_model = {width}) to that of the position {offset} later. "
        f"How many of its {width * width} entries are not zero?",
        int((ex.shift_matrix(offset, width) != 0).sum()),
        f"It turns each of the {width // 2} clocks by its own angle: {width // 2} blocks of 2 by 2 on the diagonal, "
        "and none of them touches another clock.",
    )


@question("the parameters of positions")
def parameters(ex: Exercise, rng: Random) -> Ask:
    length, width = rng.pick([64, 256, 1024]), rng.pick([32, 128, 768])
    kind = rng.pick(["LearnedPositions", "SinusoidalPositions"])
    module = getattr(ex, kind)(length, width)
    why = {
        "LearnedPositions": f"One learned row of {width} for each of {length} positions, as in GPT-2.",
        "SinusoidalPositions": "None: the table is computed, not learned. It is a buffer.",
    }
    return Ask(
        f"How many parameters does {kind}(max_len={length}, d_model={width}) have?",
        sum(p.numel() for p in module.parameters()),
        why[kind],
    )
