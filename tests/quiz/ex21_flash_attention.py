"""Questions on exercise 21: flash attention."""

from __future__ import annotations

import math

import torch

from grader.learning.quiz import Ask, Exercise, Random, changed, multiplications, question


@question("the correction")
def correction(ex: Exercise, rng: Random) -> Ask:
    one, two = rng.sizes(2, 1, 9)
    later = rng.pick([2, 4, 5]) * max(one, two)
    ones = torch.ones(1, 1, dtype=torch.float64)
    scores = torch.tensor([[one], [two], [later]], dtype=torch.float64).log()
    values = torch.tensor([[1.0], [1.0], [0.0]], dtype=torch.float64)  # the share of the first two
    share = ex.flash_attention(ones, scores, values, block_size=2).item()
    return Ask(
        f"d = 1, the query is 1. The first tile has the scores ln {one} and ln {two}, the second ln {later}. What is "
        "the total of the first tile worth after the second has raised the top?",
        share / (1 - share),
        f"The sum of the exps is {one + two}; with ln {later} subtracted from every score it is {one + two} / {later}.",
    )


@question("tiles that are made")
def tiles(ex: Exercise, rng: Random) -> Ask:
    blocks, size = rng.integers(2, 8), rng.pick([2, 3, 4])
    length = blocks * size
    x = torch.ones(length, 1)
    work = multiplications(lambda: ex.flash_attention(x, x, x, causal=True, block_size=size))
    return Ask(
        f"{length} tokens, causal, block_size {size}. How many tiles does the forward pass make?",
        work // (2 * size * size),
        f"The table has {blocks} x {blocks} tiles; those above the diagonal are skipped, the {blocks} on it are not: "
        f"{blocks} * {blocks + 1} / 2.",
    )


@question("what causal saves")
def causal_work(ex: Exercise, rng: Random) -> Ask:
    blocks = rng.pick([2, 4, 5, 10])
    x = torch.ones(2 * blocks, 1)
    some, every = (
        multiplications(lambda c=c: ex.flash_attention(x, x, x, causal=c, block_size=2)) for c in (True, False)
    )
    return Ask(
        f"A text is cut into {blocks} blocks. What fraction of the multiplications does causal flash attention make, "
        "compared with the one without a mask?",
        some / every,
        f"{blocks} * {blocks + 1} / 2 of {blocks} * {blocks} tiles. With more blocks it comes close to one half.",
    )


@question("the answer of three keys")
def three_keys(ex: Exercise, rng: Random) -> Ask:
    shares = rng.sizes(3, 1, 7)
    values = [10.0 * value for value in rng.sizes(3, 1, 9)]
    out = ex.flash_attention(
        torch.ones(1, 1, dtype=torch.float64),
        torch.tensor(shares, dtype=torch.float64).log()[:, None],
        torch.tensor(values, dtype=torch.float64)[:, None],
        block_size=1,
    )
    logs = ", ".join(f"ln {share}" for share in shares)
    return Ask(
        f"One query, three keys with the scores {logs} and the values {', '.join(f'{value:g}' for value in values)}; "
        "block_size 1. What is the answer?",
        out.item(),
        f"The same as in one tile: the weights are {', '.join(map(str, shares))}, each over {sum(shares)}.",
    )


@question("what L is")
def log_total(ex: Exercise, rng: Random) -> Ask:
    top, total, part = rng.integers(1, 5), rng.pick([3, 5, 9]), rng.pick([2, 4])
    scores = [float(top)] * (total - 1) + [top - math.log(part)] * part  # exp(score - top) adds up to the total
    keys, values = torch.tensor(scores, dtype=torch.float64)[:, None], torch.eye(len(scores), dtype=torch.float64)
    weights = ex.flash_attention(torch.ones(1, 1, dtype=torch.float64), keys, values, block_size=2)
    return Ask(
        f"After the last tile a query has top = {top} and total = {total}. One of its keys has the score "
        f"{top} - ln {part}. What is the weight of that key?",
        weights[0, -1].item(),
        f"L = {top} + ln {total}, and the weight is exp({top} - ln {part} - L) = 1 / ({part} * {total}).",
    )


@question("without the correction")
def without_correction(ex: Exercise, rng: Random) -> Ask:
    share = rng.pick([2, 3, 4])
    ones = torch.ones(1, 1, dtype=torch.float64)
    keys = torch.tensor([[1.0], [share]], dtype=torch.float64).log()
    values = torch.tensor([[10.0], [0.0]], dtype=torch.float64)
    edits = (
        ("totals[i].mul_(fade).add_(", "totals[i].add_("),
        ("mixes[i].mul_(fade).baddbmm_(", "mixes[i].baddbmm_("),
    )
    with changed(ex, *edits) as broken:
        wrong = broken.flash_attention(ones, keys, values, block_size=1).item()
    return Ask(
        f"One query; the keys have the scores 0 and ln {share}, the values 10 and 0; block_size 1. The factor "
        "exp(old top - new top) is left out for both sums. What comes out?",
        wrong,
        f"Each tile counts with exp(0) = 1, so both keys weigh the same: 5, instead of 10 / {share + 1}.",
    )


@question("a sight of the past")
def last_key(ex: Exercise, rng: Random) -> Ask:
    queries, more = rng.sizes(2, 2, 7)
    keys, i = queries + more, rng.integers(0, queries)
    x = torch.zeros(queries, 1)
    values = torch.eye(keys)
    seen = int((ex.flash_attention(x, torch.zeros(keys, 1), values, causal=True)[i] > 0).sum())
    return Ask(
        f"causal, {queries} queries and {keys} keys. How many keys does query {i} see (counted from 0)?",
        seen,
        f"j <= i + T_k - T_q = {i} + {more}: the keys 0 to {i + more}. The last query sees all.",
    )
