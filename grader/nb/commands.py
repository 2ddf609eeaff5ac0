"""What Jupyter understands and Python does not: magics, the shell, help, cells in another language."""

from __future__ import annotations

import re
import textwrap

BODY_RUNS = {"time", "capture", "prun"}  # cell magics that run what stands below them as if it stood there alone
PROMPT = re.compile(r"^(?:>>> ?|\.\.\. ?|In \[\d*\]: ?)")
HELP = re.compile(r"\?{1,2}[\w.*%]+|[\w.*%\[\]'\"]+\?{1,2}")
ASSIGNED = re.compile(r"[\w.,\[\]* \t]+=\s*[!%]\s*\w")
TIMED = re.compile(r"%time[ \t]+(?=\S)")
TOKEN = re.compile(r"(?i)[rbuf]{0,2}(\"\"\"|'''|\"|')|[a-z0-9_]+|\\.|.", re.DOTALL)


def plain(source: str) -> tuple[str, bool]:
    """A cell as Python, with as many lines, and whether anything had to be left out.

    Commands become `pass`; a cell in another language has nothing but empty lines.
    """
    lines = _dedented(source).split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if lines[first].startswith("%%") or lines[first].startswith("!!"):
        magic = lines[first].lstrip("%").split(maxsplit=1)
        if lines[first].startswith("!!") or not magic or magic[0] not in BODY_RUNS:
            return "\n" * (len(lines) - 1), True
        lines[first] = ""
        return plain("\n".join(lines))[0], True
    if _compiles("\n".join(lines)):
        return "\n".join(lines), False  # a line that begins with % or ! stands in a string
    return _without_commands(lines)


def _without_commands(lines: list[str]) -> tuple[str, bool]:
    """The lines without those that are commands; in the middle of a statement or a string there are none."""
    kept, changed, state = [], False, _State()
    continued = False  # a command that goes on in the next line
    for line in lines:
        if continued:
            kept.append("")
            continued = line.endswith("\\")
            continue
        if state.at_start and is_command(line.strip()):
            changed = True
            timed = TIMED.match(line.strip())
            indent = line[: len(line) - len(line.lstrip())]
            if timed is None:
                kept.append(f"{indent}pass")
                continued = line.endswith("\\")
                continue
            line = indent + line.strip()[timed.end() :]
        state.read(line)
        kept.append(line)
    return "\n".join(kept), changed


def is_command(line: str) -> bool:
    """Return whether a line at the beginning of a statement is a command of a notebook."""
    if line.startswith(("%", "!", "?")):
        return True
    words = line.partition("#")[0].strip().rstrip(";")
    return (words.endswith("?") and HELP.fullmatch(words) is not None) or ASSIGNED.match(line[:1000]) is not None


class _State:
    """Where a statement stands at the end of a line: in a string, in brackets, before a continuation, or at its end."""

    def __init__(self) -> None:
        self._quote = ""
        self._depth = 0
        self._continued = False

    @property
    def at_start(self) -> bool:
        return not self._quote and self._depth <= 0 and not self._continued

    def read(self, line: str) -> None:
        at, self._continued = 0, False
        while at < len(line):
            if self._quote:
                end = _end_of_string(line, at, self._quote)
                if end is None:
                    self._quote = self._quote if len(self._quote) == 3 or line.endswith("\\") else ""
                    return
                at, self._quote = end, ""
                continue
            found = TOKEN.match(line, at)
            assert found is not None
            at = found.end()
            if found[1]:
                self._quote = found[1]
            elif found[0] == "#":
                return
            elif found[0] in "([{":
                self._depth += 1
            elif found[0] in ")]}":
                self._depth -= 1
            elif found[0] == "\\":
                self._continued = True


def _end_of_string(line: str, at: int, quote: str) -> int | None:
    while at < len(line):
        if line[at] == "\\":
            at += 2
        elif line.startswith(quote, at):
            return at + len(quote)
        else:
            at += 1
    return None


def _dedented(source: str) -> str:
    """A cell without what Jupyter takes off: an indentation of all lines, prompts that were copied along."""
    source = source.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    lines = source.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if PROMPT.match(first):
        return "\n".join(PROMPT.sub("", line) for line in lines)
    if first.startswith((" ", "\t")):
        dedented = textwrap.dedent(source)
        return dedented if dedented.count("\n") == source.count("\n") else source
    return source


def _compiles(text: str) -> bool:
    try:
        compile(text, "<cell>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True
