"""Assemblies: importable packages built from a choice of source files. Everything that is ever run is one of these."""

from __future__ import annotations

import ast
import builtins
import difflib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import itertools
import linecache
import re
import sys
import threading
import tokenize
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Literal

from grader.errors import MissingName, SourceUnreadable
from grader.probing.trees import parse

Origin = Literal["learner", "reference", "edited"]

FOLDER = "exercises"  # as an editor's automatic imports call the package

_numbers = itertools.count(1)
_open: dict[str, Assembly] = {}  # by the name of the package


def unqualified(text: str) -> str:
    """Return a text without the names that packages have in here: a learner knows modules, and no assembly."""
    return re.sub(r"\bassembly_\d+\b", FOLDER, re.sub(r"\bassembly_\d+\.(?=\w)", "", text))


@dataclass(frozen=True)
class Source:
    """One module's source: where it stands, what it says, and whose it is."""

    stem: str
    path: Path
    text: str
    origin: Origin
    code: CodeType | None = None  # what is run instead of the text, where there is none

    @classmethod
    def read(cls, path: Path, origin: Origin) -> Source:
        """Read a source file as Python would.

        Raises:
            SourceUnreadable: it is no Python source.
        """
        return cls(path.stem, path, decoded(path.read_bytes(), path), origin)

    def edited(self, edits: Iterable[tuple[str, str]]) -> Source:
        """This source with pieces replaced; every piece to find must occur exactly once, in the code if it does there.

        So a lesson may show a line of the code below it.
        """
        text = self.text
        for find, put in edits:
            start = _after_the_lesson(text)
            if text.count(find, start) != 1:
                start = 0
            if text.count(find, start) != 1:
                raise ValueError(f"{self.path}: {find!r} occurs {text.count(find)} times, not once")
            text = text[:start] + text[start:].replace(find, put)
        return replace(self, text=text, origin="edited")


_one_at_a_time = threading.Lock()  # CPython 3.11 fails now and then when two threads build syntax trees at once


def _after_the_lesson(text: str) -> int:
    """Return where the docstring of a module ends; 0 if it has none, or is no Python."""
    try:
        with _one_at_a_time:
            first = parse(text).body[0]
    except (SyntaxError, ValueError, IndexError):
        return 0
    if not (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    ):
        return 0
    return sum(map(len, text.splitlines(keepends=True)[: first.end_lineno]))


def decoded(data: bytes, path: Path | str) -> str:
    """Return a source's text: UTF-8, or as its coding line says, with or without a byte-order mark, any line ends.

    Args:
        data: what the file holds.
        path: what to call it in an error.

    Raises:
        SourceUnreadable: the bytes are not text in that encoding, or hold NUL bytes.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as error:  # an encoding that nobody knows, or no UTF-8 where the encoding would stand
        encoding = "utf-8-sig"
        if _decodes(data, encoding):
            raise SourceUnreadable(f"{path}: {error.msg}. Take the coding line out and save it as UTF-8.") from None
    try:
        text = io.TextIOWrapper(io.BytesIO(data), encoding).read()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        name = "UTF-8" if encoding.startswith("utf-8") else encoding
        raise SourceUnreadable(
            f"{path}:{line}: byte {error.start} is not {name}. Save the file with the encoding UTF-8 and try again."
        ) from None
    except (LookupError, ValueError) as error:  # hex, zlib and the like
        raise SourceUnreadable(f"{path}: {error}. Save the file with the encoding UTF-8 and try again.") from None
    if "\0" in text:
        raise SourceUnreadable(f"{path}: the file holds NUL bytes, so it is not Python source. Restore it from a copy.")
    return text


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def read_folder(folder: Path, origin: Origin) -> dict[str, Source]:
    """Every module of a folder by its stem, helper modules of the learner's own included."""
    return {path.stem: Source.read(path, origin) for path in sorted(folder.glob("*.py")) if path.stem.isidentifier()}


class Assembly:
    """A package built from sources. Use it as a context manager; on leaving, all traces of it are removed.

    Inside, `module(stem)` imports a module of it; its modules import each other by relative names and by the absolute
    ones that work in the folder or beside it (`ex05`, `exercises.ex05`); tracebacks and `inspect.getsource` show the
    text that is run. Two assemblies never share a module.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        libraries: Collection[str] | None = None,
        more: Callable[[str], Source | None] = lambda _: None,
    ) -> None:
        """
        Args:
            sources: its modules, by stem.
            libraries: the top-level modules that they may import besides the standard library; None for all there are.
            more: asked for a module that is not among them, when it is imported.
        """
        self.sources = dict(sources)
        self.libraries = libraries
        self._more = more
        self.package = f"assembly_{next(_numbers)}"
        self._finder = _Finder(self)
        self._edited_files: list[str] = []

    @classmethod
    def of(cls, *choices: Mapping[str, Source], only: Sequence[str] | None = None) -> Assembly:
        """Build from several folders' sources; a later choice wins over an earlier one."""
        sources: dict[str, Source] = {}
        for choice in choices:
            sources.update(choice)
        return cls(sources if only is None else {stem: sources[stem] for stem in only})

    def __enter__(self) -> Assembly:
        sys.meta_path.insert(0, self._finder)
        if not _open:
            builtins.__import__ = _Import(builtins.__import__)
        _open[self.package] = self
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the package out of `sys.modules`, the import machinery and the line cache."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        if _open.pop(self.package, None) is not None and not _open and isinstance(builtins.__import__, _Import):
            builtins.__import__ = builtins.__import__.plain
        for name in [name for name in sys.modules if name.split(".", 1)[0] == self.package]:
            del sys.modules[name]
        for filename in self._edited_files:
            linecache.cache.pop(filename, None)
        self._edited_files.clear()

    def module(self, stem: str) -> ModuleType:
        """Import one module of the assembly, with what it imports itself."""
        if self._finder not in sys.meta_path:
            raise RuntimeError("the assembly is closed: use it inside `with assembly:`")
        return importlib.import_module(f"{self.package}.{stem}")

    def exercise(self, stem: str) -> Exercise:
        """One exercise of the assembly, as a probe sees it."""
        return Exercise(self, stem)

    def filename(self, stem: str) -> str:
        """The file name under which a module's code is known: its path, marked if the text is an edited one."""
        source = self.sources[stem]
        path = str(source.path.resolve())
        return path if source.origin != "edited" else f"{path} (edited for {self.package})"

    def relative(self, name: str) -> str | None:
        """The relative name of a module of this assembly that an absolute one means ("" for all of it); None if none.

        `exercises` is the folder; what else is installed under a name wins over a file of the learner's. A piece of the
        reference is meant whatever lies in the folder one is in: a learner's exercise of the same name may lie there.
        """
        top, _, rest = name.partition(".")
        if top == FOLDER:
            return rest
        if top in sys.stdlib_module_names or not self.holds(top):
            return None
        if self.sources[top].origin != "learner":
            return name
        found = importlib.util.find_spec(top)
        beside = found is None or Path(found.origin or "").resolve().parent == self.sources[top].path.resolve().parent
        return name if beside else None

    def holds(self, stem: str) -> bool:
        """Return whether it has such a module."""
        if stem not in self.sources and stem.isidentifier():
            found = self._more(stem)
            if found is not None:
                self.sources[stem] = found
        return stem in self.sources

    def allows(self, name: str) -> bool:
        """Return whether its modules may import what has this absolute name."""
        top = name.partition(".")[0]
        return self.libraries is None or top in sys.stdlib_module_names or top in self.libraries

    def _register(self, stem: str) -> str:
        filename, text = self.filename(stem), self.sources[stem].text
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        self._edited_files.append(filename)
        return filename


class _Import:
    """Stands in for `__import__` while assemblies are open: their modules' absolute imports stay inside."""

    def __init__(self, plain: Callable[..., Any]) -> None:
        self.plain = plain

    def __call__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        assembly = _open.get((globals or {}).get("__package__") or "") if level == 0 else None
        if assembly is None:
            return self.plain(name, globals, locals, fromlist, level)
        relative = assembly.relative(name)
        if relative is not None:
            found = self.plain(relative, globals, locals, fromlist, 1)
            return found if fromlist or relative == name else sys.modules[assembly.package]
        if not assembly.allows(name):
            top = name.partition(".")[0]
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
        return self.plain(name, globals, locals, fromlist, level)


class Exercise:
    """The names of one exercise in an assembly: `ex.softmax` is the assembly's `softmax`."""

    def __init__(self, assembly: Assembly, stem: str) -> None:
        self._assembly = assembly
        self._stem = stem

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        module = self._assembly.module(self._stem)
        try:
            return getattr(module, name)
        except AttributeError:
            close = difflib.get_close_matches(name, [other for other in vars(module) if other[0] != "_"], n=1)
            hint = f" Is `{close[0]}` meant to be it?" if close else " Was it renamed or deleted?"
            path = self._assembly.sources[self._stem].path
            raise MissingName(f"{path.name} defines no `{name}`.{hint}") from None

    def of(self, stem: str) -> Exercise:
        """Another exercise of the same assembly."""
        return Exercise(self._assembly, stem)

    def __repr__(self) -> str:
        return f"<{self._stem} in {self._assembly.package}>"


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the modules of one assembly from the texts of its sources; never writes byte code."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly

    def find_spec(
        self, fullname: str, _path: object = None, _target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, stem = fullname.partition(".")
        if package != self.assembly.package:
            return None
        if not stem:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        if not self.assembly.holds(stem):
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=self.assembly.filename(stem))
        spec.has_location = True
        return spec

    def is_package(self, fullname: str) -> bool:
        return fullname == self.assembly.package

    def get_source(self, fullname: str) -> str:
        if self.is_package(fullname):
            return ""
        stem = fullname.partition(".")[2]
        if stem not in self.assembly.sources:
            raise ImportError(f"no module {fullname}", name=fullname)
        return self.assembly.sources[stem].text

    def get_code(self, fullname: str) -> Any:
        source = self.get_source(fullname)
        held = self.assembly.sources.get(fullname.partition(".")[2])
        if held is not None and held.code is not None:
            return held.code
        if self.is_package(fullname):
            return compile(source, f"<{fullname}>", "exec", dont_inherit=True)
        filename = self.assembly._register(fullname.partition(".")[2])
        return compile(source, filename, "exec", dont_inherit=True)
