"""Fingerprints of a source: every few tokens in a row. Names, comments, strings and layout make no difference.

Sources of other people are read in a process of its own; run as a module, this is that process.
"""

from __future__ import annotations

import builtins
import hashlib
import io
import keyword
import tokenize
from collections.abc import Iterable, Mapping
from typing import Any

from grader.workers.confined import Confined, Unanswered, serve_confined

LENGTH = 6  # tokens
MOST = 20_000  # of one source; the longest reference has a twentieth of that
GIVEN = {"torch", "np", "nn", "self", "math", "F", *dir(builtins)}
LEFT_OUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)

Prints = dict[int, tuple[int, int]]  # the first and the last line of each, where it stands first

_process = Confined(__name__)


def prints_of(sources: Mapping[str, str]) -> dict[str, Prints]:
    """The fingerprints of somebody's sources by stem; none of what can't be read within the limits."""
    try:
        found = _process.ask({"sources": dict(sources)})
    except Unanswered:
        return {}
    return {stem: {each: (first, last) for each, first, last in rows} for stem, rows in found["prints"].items()}


def prints(text: str) -> Prints:
    """The fingerprints of a source, as far as it is Python."""
    words: list[str] = []
    lines: list[int] = []
    before = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in LEFT_OUT and not _is_docstring(token, before):
                words.append(_word(token, before))
                lines.append(token.start[0])
            if token.type not in (tokenize.COMMENT, tokenize.NL):
                before = token.string
            if len(words) > MOST:
                break
    except (tokenize.TokenError, SyntaxError):
        pass  # as far as it goes
    found: Prints = {}
    for at in range(len(words) - LENGTH + 1):
        found.setdefault(_digest(words[at : at + LENGTH]), (lines[at], lines[at + LENGTH - 1]))
    return found


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The other side of `prints_of`."""
    found = {stem: prints(text) for stem, text in request["sources"].items()}
    return {"prints": {stem: [(each, *lines) for each, lines in own.items()] for stem, own in found.items()}}


def _is_docstring(token: tokenize.TokenInfo, before: str) -> bool:
    """A string that is a statement says something about the code, as a comment does."""
    return token.type == tokenize.STRING and (not before or before.isspace())


def _word(token: tokenize.TokenInfo, before: str) -> str:
    if token.type == tokenize.STRING:
        return "STRING"
    chosen = token.type == tokenize.NAME and not keyword.iskeyword(token.string)
    return "NAME" if chosen and before != "." and token.string not in GIVEN else token.string


def _digest(words: Iterable[str]) -> int:
    return int.from_bytes(
        hashlib.blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=8).digest(), "little"
    )


if __name__ == "__main__":
    serve_confined(answer)
