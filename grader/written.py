"""What somebody has written or handed in: the sources, why other files can't be read, and what they import."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from grader.errors import SourceUnreadable
from grader.probing.assembly import FOLDER, Source
from grader.probing.trees import parse

FILE_LIMIT = 1 << 20  # bytes of one source file
FILES_LIMIT = 200
PIECES_LIMIT = 200_000  # nodes of one source's syntax tree; the longest reference has a fortieth of that
TOO_MUCH = "it is too large or nested too deeply to be read. Keep it simple: name the pieces and put them together"
TOO_LONG = f"it holds more than {PIECES_LIMIT:,} names, numbers and operators. Hand in what the exercise needs"


@dataclass
class Written:
    """Somebody's written work: the sources by stem, why others can't be read, and what was odd about it.

    `details` is what Python said where something can't be read; only instructors see it.
    """

    sources: dict[str, Source] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)


def read_written(folder: Path) -> Written:
    """Read every source in a learner's folder."""
    written = Written()
    for path in sorted(folder.glob("*.py")):
        try:
            written.sources[path.stem] = Source.read(path, "learner")
        except (SourceUnreadable, OSError) as error:
            written.unreadable[path.stem] = str(error)
    return written


def read_untrusted(folder: Path) -> Written:
    """Read the sources in a folder that somebody else has filled.

    No link is followed (it could lead to the reference), nothing but plain files is opened, and no more than a source
    can sensibly have is read.
    """
    written = Written()
    sources, unreadable = written.sources, written.unreadable
    for path in sorted(folder.glob("*.py"))[:FILES_LIMIT]:
        if not path.stem.isidentifier():
            continue
        if path.is_symlink() or not path.is_file():
            unreadable[path.stem] = f"{path} is not a plain file, so it is not read."
        elif path.stat().st_size > FILE_LIMIT:
            unreadable[path.stem] = f"{path} is larger than {FILE_LIMIT >> 20} MiB, so it is not read."
        else:
            try:
                source = Source.read(path, "learner")
                if why := burden(source.text):
                    unreadable[path.stem] = f"{path} can't be used: {why}."
                else:
                    sources[path.stem] = source
            except (SourceUnreadable, OSError) as error:
                unreadable[path.stem] = str(error)
    return written


def burden(text: str) -> str:
    """Compile a source where there are limits, and return why it can't be taken, if it would be a burden to the judge.

    What is wrong with its syntax is told elsewhere.
    """
    try:
        compile(text, "<handed in>", "exec", dont_inherit=True)
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    except MemoryError:  # so Python says, too, that something is nested too deeply
        return TOO_MUCH
    return TOO_LONG if sum(1 for _ in ast.walk(tree)) > PIECES_LIMIT else ""


BY_NAME = frozenset({"__import__", "import_module", "exec", "eval"})  # what imports a module whose name is a string


def imported(text: str, stems: Collection[str]) -> frozenset[str]:
    """Return the modules among `stems` that a source may import, wherever and in whichever form.

    Where a name is put together at run time, it can be any of them: then all are returned. A source that does not
    parse imports none.
    """
    try:
        nodes = list(ast.walk(parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(_own(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(_named(node))
        elif isinstance(node, ast.Call) and _calls_by_name(node):
            code = node.args[0] if node.args else None
            if not isinstance(code, ast.Constant) or not isinstance(code.value, str):
                return frozenset(stems)
            found.update(re.findall(r"\w+", code.value))
    return frozenset(found & set(stems))


def reached(
    begin: Iterable[str], find: Callable[[str], Source | None], imports: Callable[[Source], Iterable[str]]
) -> dict[str, Source | None]:
    """Return the modules that some import, directly or not, themselves included, each as `find` gives it.

    Args:
        begin: the stems to begin with.
        find: finds a source by its stem.
        imports: says which stems a source imports.
    """
    found: dict[str, Source | None] = {}
    waiting = list(begin)
    while waiting:
        stem = waiting.pop()
        if stem not in found:
            found[stem] = source = find(stem)
            waiting += sorted(imports(source)) if source is not None else []
    return found


def _own(name: str) -> str:
    """The first part of a dotted name, below the folder."""
    return name.removeprefix(f"{FOLDER}.").partition(".")[0]


def _named(node: ast.ImportFrom) -> Iterator[str]:
    if node.module is not None and not (node.level == 0 and node.module == FOLDER):
        yield _own(node.module) if node.level == 0 else node.module.partition(".")[0]
    else:
        yield from (alias.name for alias in node.names)


def _calls_by_name(node: ast.Call) -> bool:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr in ("__import__", "import_module")
    return isinstance(function, ast.Name) and function.id in BY_NAME
