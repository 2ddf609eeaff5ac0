"""What is idiomatic in a learner's code, and what would be more so: said after a pass (exercises/idioms.toml)."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from grader.content.stubs import generated
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT, read_toml, shown
from grader.learning.patterns import Bound, Code, Found, Pattern
from grader.probing.assembly import Source
from grader.screens.console import Printer

TABLE = ROOT / "exercises" / "idioms.toml"
MOST = 3  # of each kind that are shown


class Remark(NamedTuple):
    """Something to say of a line."""

    idiom: str
    line: int
    code: str
    says: str


@dataclass(frozen=True)
class Form:
    """A way to write something: a pattern and what else has to be so, with the words that were put into it."""

    pattern: Pattern
    words: Mapping[str, str]
    holds: Pattern | None = None
    spares: Pattern | None = None
    within: Pattern | None = None
    steady: str = ""
    apart: str = ""

    def find(self, code: Code) -> Iterator[Found]:
        """Each place in a file where it stands."""
        for found, node, above in self.pattern.find(code):
            bound = found.bound
            if (
                (self.holds is None or self.holds.holds(code, node, bound))
                and (self.spares is None or not self.spares.holds(code, node, bound))
                and (self.within is None or any(self.within.fits(code, each, each, {}) is not None for each in above))
                and (not self.steady or not _changes(node, bound[self.steady]))
                and (not self.apart or _is_apart(self.apart, bound))
            ):
                yield found


@dataclass(frozen=True)
class Idiom:
    """One idiom: how it is written, how it is often written instead, and what to say of either."""

    name: str
    found: Sequence[Form]
    missed: Sequence[Form]
    praise: str
    advice: str
    takes: Sequence[str]
    right: str
    wrong: str

    def first(self, forms: Sequence[Form], says: str, code: Code) -> Remark | None:
        """Return what is to be said of the first line with one of these forms."""
        places = [(found, form) for form in forms for found in form.find(code)]
        if not places:
            return None
        found, form = min(places, key=lambda place: place[0].line)
        for word, choice in form.words.items():
            says = re.sub(rf"\b{word}\b", choice, says)
        says = re.sub(r"\{([A-Z])\}", lambda gap: found.bound[gap[1]], says)
        return Remark(self.name, found.line, found.text, says)


@cache
def idioms(path: Path = TABLE) -> tuple[Idiom, ...]:
    """Read the table of idioms.

    Raises:
        GraderError: it is missing or damaged.
    """
    try:
        data = read_toml(path)
    except FileNotFoundError:
        raise GraderError(f"{path} is missing. Restore it: git checkout -- exercises/{path.name}") from None
    words = data["any"]
    return tuple(
        Idiom(
            name=item["name"],
            found=[form for each in item.get("found", ()) for form in _forms(each, words)],
            missed=[form for each in item.get("missed", ()) for form in _forms(each, words)],
            praise=item.get("praise", ""),
            advice=item.get("advice", ""),
            takes=item.get("takes", ()),
            right=item["right"],
            wrong=item["wrong"],
        )
        for item in data["idiom"]
    )


def remarks(
    code: Code, own: frozenset[str] = frozenset(), forbids: Sequence[str] = ()
) -> tuple[list[Remark], list[Remark]]:
    """Return what is idiomatic in a file, and what would be more so: a few of each, every line at most once.

    Args:
        code: the file.
        own: the names of idioms to be told first, those of the exercise.
        forbids: what may not be advised, as the syllabus has it.
    """
    good, better = [], []
    for idiom in sorted(idioms(), key=lambda idiom: idiom.name not in own):
        allowed = not any(fnmatchcase(name, each) for name in idiom.takes for each in forbids)
        advised = idiom.first(idiom.missed, idiom.advice, code) if allowed else None
        praised = idiom.first(idiom.found, idiom.praise, code) if advised is None else None
        better += [advised] if advised is not None else []
        good += [praised] if praised is not None else []
    return _few(good), _few(better)


def idioms_of(entry: Entry) -> frozenset[str]:
    """The names of the idioms that the reference or another right solution has, where this copy has these."""
    files = [entry.solution, *sorted((ROOT / "tests" / "variants" / entry.stem).glob("*.py"))]
    given = generated(entry)
    found = set()
    for path in files:
        if path.is_file():
            code = Code(Source.read(path, "reference").text, given)
            found |= {idiom.name for idiom in idioms() if any(True for form in idiom.found for _ in form.find(code))}
    return frozenset(found)


def show(entry: Entry, path: Path, plain: bool = False) -> None:
    """Print what is idiomatic in a learner's file, and what would be more so; nothing if there is nothing to say.

    Raises:
        GraderError: the file is missing or is not Python.
    """
    try:
        code = Code(Source.read(path, "learner").text, generated(entry))
    except (OSError, SyntaxError) as error:
        raise GraderError(f"{shown(str(path))} can't be read: {error}") from None
    out = Printer(plain)
    good, better = remarks(code, idioms_of(entry), entry.forbids)
    for title, style, several in (
        ("Idiomatic in yours:", "green", good),
        ("More idiomatic would be:", "yellow", better),
    ):
        if several:
            out.line(title, style=f"bold {style}")
        for remark in several:
            out.line(Text("  ").append_text(out.place(f"{shown(str(path))}:{remark.line}", "cyan")))
            out.block(remark.code, 4)
            out.block(remark.says, 4)
        if several:
            out.line()


def _few(several: Sequence[Remark]) -> list[Remark]:
    lines: dict[int, Remark] = {}
    for remark in several:
        lines.setdefault(remark.line, remark)
    return list(lines.values())[:MOST]


def _forms(item: str | dict[str, Any], words: Mapping[str, Sequence[str]]) -> Iterator[Form]:
    """The forms that an entry of the table means: one for each choice of the words in capitals."""
    data: dict[str, Any] = {"code": item} if isinstance(item, str) else item
    used = [word for word in words if re.search(rf"\b{word}\b", data["code"])]
    for chosen in itertools.product(*(words[word] for word in used)):
        text, choice = data["code"], dict(zip(used, chosen, strict=True))
        for word, each in choice.items():
            text = re.sub(rf"\b{word}\b", each, text)
        more = {key: Pattern(data[key], {}) for key in ("holds", "spares", "within") if key in data}
        yield Form(
            Pattern(text, data.get("where", {})),
            choice,
            **more,
            steady=data.get("steady", ""),
            apart=data.get("apart", ""),
        )


def _changes(node: ast.AST, name: str) -> bool:
    """Return whether something inside may change what bears a name: sets it, or a part of it, or calls a method."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name | ast.Attribute | ast.Subscript) and not isinstance(each.ctx, ast.Load):
            text = ast.unparse(each)
            if text == name or text.startswith((f"{name}[", f"{name}.")):
                return True
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and ast.unparse(each.func.value) == name:
            return True
    return False


def _is_apart(letter: str, bound: Bound) -> bool:
    """Return whether what fills one gap is mentioned in no other."""
    mine = re.compile(rf"(?<![\w.]){re.escape(bound[letter])}(?!\w)")
    return not any(mine.search(text) for other, text in bound.items() if other != letter)
