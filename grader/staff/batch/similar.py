"""Near-identical submissions, for a human to look at: code that shares what hardly anybody else has written."""

from __future__ import annotations

import builtins
import io
import keyword
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from grader.probing.assembly import Source

SHINGLE = 6  # tokens
COMMON = 0.15  # a shingle that this share of the class has written says nothing
RARE_ENOUGH = 4  # but one that at most so many have written always does
LEAST = 12  # rare shingles that two have to share
ALIKE = 0.7
GIVEN = {"torch", "np", "nn", "self", "math", "F", *dir(builtins)}
LEFT_OUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)


@dataclass(frozen=True)
class Pair:
    """Two answers to one exercise that look alike, and how much: the share of what is unusual in the smaller one."""

    stem: str
    one: str
    other: str
    share: float


def similar(sources: Mapping[str, Mapping[str, Source]], given: Mapping[str, Source]) -> list[Pair]:
    """Pairs of students whose answers to an exercise share most of what is unusual in them, the most alike first.

    Args:
        sources: by student, by stem.
        given: the stubs: what they hold was not written by the students.
    """
    found: list[Pair] = []
    for stem in given:
        handed_out = shingles(given[stem].text)
        written = {student: shingles(own[stem].text) - handed_out for student, own in sources.items() if stem in own}
        found += _pairs(stem, written)
    return sorted(found, key=lambda pair: (-pair.share, pair.stem, pair.one, pair.other))


def _pairs(stem: str, written: Mapping[str, set[int]]) -> Iterable[Pair]:
    counts = Counter(shingle for own in written.values() for shingle in own)
    most = max(RARE_ENOUGH, COMMON * len(written))
    rare = {student: {shingle for shingle in own if counts[shingle] <= most} for student, own in written.items()}
    holders: dict[int, list[str]] = defaultdict(list)
    for student, own in rare.items():
        for shingle in own:
            holders[shingle].append(student)
    shared: Counter[tuple[str, str]] = Counter()
    for students in holders.values():
        shared.update(combinations(sorted(students), 2))
    for (one, other), count in shared.items():
        share = count / min(len(rare[one]), len(rare[other]))
        if count >= LEAST and share >= ALIKE:
            yield Pair(stem, one, other, share)


def shingles(text: str) -> set[int]:
    """Hashes of every few tokens in a row. Names that were chosen, comments, strings and layout make no difference."""
    words: list[str] = []
    before = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in LEFT_OUT:
                words.append(_word(token, before))
                before = token.string
    except (tokenize.TokenError, IndentationError, SyntaxError):
        pass  # as far as it goes
    return {hash(tuple(words[i : i + SHINGLE])) for i in range(len(words) - SHINGLE + 1)}


def _word(token: tokenize.TokenInfo, before: str) -> str:
    if token.type == tokenize.STRING:
        return "STRING"
    chosen = token.type == tokenize.NAME and not keyword.iskeyword(token.string)
    return "NAME" if chosen and before != "." and token.string not in GIVEN else token.string
