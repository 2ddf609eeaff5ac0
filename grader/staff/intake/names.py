"""Which exercise a file is meant to be, by its name as people write it: `Copy of ex05_attention.py`, `ex5.py.txt`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from grader.content.syllabus import Entry, load

LONGEST = 300  # characters of a name
EXTRA_ENDINGS = (".txt", ".json", ".download")  # what a browser or an editor puts behind the right one
ENDINGS = {".py": False, ".pyw": False, ".ipynb": True}  # whether it is a notebook
WORD = re.compile(r"[^\W_]+")
LABEL_WORDS = ("exercise", "exercice", "ex", "ejercicio", "esercizio", "aufgabe", "uebung", "übung", "oefening")
LABEL = re.compile(rf"(?:{'|'.join(LABEL_WORDS)})0*(\d{{1,3}})(\D.*)?")
COPY_WORDS = {
    *("copy", "of", "kopie", "von", "copie", "de", "copia", "cópia", "kopia", "kopi", "kopio", "duplicate", "ny"),
    *("final", "finished", "done", "last", "latest", "new", "fixed", "corrected", "revised", "version", "ver", "rev"),
    *("v", "attempt", "submission", "submit", "handin", "abgabe", "late", "resubmission", "my", "the", "neu", "fertig"),
}
OLD_WORDS = {"old", "backup", "bak", "orig", "original", "draft", "alt", "before", "previous"}
OTHER_WORDS = {  # such a file goes with the exercise, and is not the exercise
    *("test", "tests", "check", "checks", "plot", "plots", "demo", "bench", "benchmark", "notes", "note", "scratch"),
    *("helper", "helpers", "util", "utils", "playground", "sandbox", "debug", "compare", "comparison", "try", "run"),
}


@dataclass(frozen=True)
class Meaning:
    """The meaning of a file's name: an exercise, how sure that is, and the rest of the name."""

    stem: str
    doubt: int  # 0: the very name, 1: a spelling or a copy of it, 2: with words of another kind, 3: an old one
    notebook: bool
    number: int = 0  # that of a copy
    before: str = ""  # what stands before and behind the exercise's own name
    behind: str = ""

    @property
    def exact(self) -> bool:
        """Whether it is the name that was asked for."""
        return self.doubt == 0


def meaning(name: str) -> Meaning | None:
    """Return which exercise a file's name means, if any."""
    base, ending = split(name)
    if not ending or len(name) > LONGEST:
        return None
    notebook = ENDINGS.get(ending, False)
    for entry in load():
        if name in (f"{entry.stem}.py", f"{entry.stem}.ipynb"):
            return Meaning(entry.stem, 0, notebook)
    words = list(WORD.finditer(base))
    by_number = {int(entry.label.removeprefix("ex")): entry for entry in load()}
    for place, word in enumerate(words):
        number, rest, used = _label(words, place)
        if number not in by_number:
            continue
        entry = by_number[number]
        after = [rest] * bool(rest) + [each[0].casefold() for each in words[place + used :]]
        tail = _without_slug(entry, after)
        head = [each[0].casefold() for each in words[:place]]
        if tail is None or OTHER_WORDS & {*head, *tail}:
            return None
        before = base[: word.start()]
        end = words[-len(tail)].start() if tail and len(tail) <= len(words) else len(base)
        numbers = [int(each) for each in tail if each.isascii() and each.isdigit() and len(each) < 9]
        doubt = max(_doubt(head, tail), 0 if ending in ENDINGS else 2)
        return Meaning(entry.stem, doubt, notebook, (numbers or [0])[-1], before, base[end:])
    return None


def split(name: str) -> tuple[str, str]:
    """A name without its ending, and the ending that counts: that of `a.py.txt` is `.py`, that of `a.txt` is `.txt`."""
    base, ending = unicodedata.normalize("NFKC", name), ""
    for _ in range(3):
        stem, dot, last = base.rpartition(".")
        found = f".{last.casefold()}"
        if not dot or found not in (*EXTRA_ENDINGS, *ENDINGS):
            break
        base, ending = stem, found if found in ENDINGS or not ending else ending
    return base, ending if ending in (".txt", *ENDINGS) else ""


def _label(words: list[re.Match[str]], place: int) -> tuple[int, str, int]:
    """The number of the exercise that a word names, or -1; what is glued to it, and how many words that takes."""
    word = words[place][0].casefold()
    found = LABEL.fullmatch(word)
    if found:
        return int(found[1]), found[2] or "", 1
    follows = words[place + 1][0] if place + 1 < len(words) else ""
    if word in LABEL_WORDS and follows.isascii() and follows.isdigit() and len(follows) < 4:
        return int(follows), "", 2
    return -1, "", 1


def _without_slug(entry: Entry, words: list[str]) -> list[str] | None:
    """The words behind the exercise's own, which may be missing or written in one; None if they name another one."""
    slug = _slug(entry)
    for count in range(len(words), 0, -1):
        if "".join(words[:count]) == slug:
            return words[count:]
    for other in load():
        if other is not entry and any("".join(words[:count]) == _slug(other) for count in range(1, len(words) + 1)):
            return None
    return words


def _slug(entry: Entry) -> str:
    return entry.stem.partition("_")[2].replace("_", "")


def _doubt(head: list[str], tail: list[str]) -> int:
    words = {word for word in (*head, *tail) if not re.fullmatch(r"v?\d+", word)}
    if words & OLD_WORDS:
        return 3
    return 1 if words <= COPY_WORDS else 2
