"""An assembly is a real package, shows its true source, and leaves nothing behind."""

from __future__ import annotations

import importlib
import inspect
import linecache
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from grader.errors import MissingName, SourceUnreadable
from grader.probing.assembly import Assembly, Source, read_folder

ONE = "def f():\n    return 'one'\n\n\ndef broken():\n    return 1 / 0\n"
TWO = "from .one import f\n\n\ndef g():\n    return f() + ' two'\n"


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Source]:
    (tmp_path / "one.py").write_text(ONE)
    (tmp_path / "two.py").write_text(TWO)
    return read_folder(tmp_path, "learner")


def test_relative_imports_reach_the_same_assembly(sources: dict[str, Source]):
    mine = dict(sources, one=sources["one"].edited([("'one'", "'mine'")]))
    with Assembly(sources) as first, Assembly(mine) as second:
        assert first.module("two").g() == "one two"
        assert second.module("two").g() == "mine two"


def test_it_is_an_importable_package(sources: dict[str, Source]):
    with Assembly(sources) as assembly:
        module = importlib.import_module(f"{assembly.package}.two")
        assert module is assembly.module("two")
        assert module.__package__ == assembly.package
        assert module.__file__ == str(sources["two"].path)


def test_nothing_is_left_in_sys_modules(sources: dict[str, Source]):
    before, finders = set(sys.modules), list(sys.meta_path)
    with Assembly(sources) as assembly:
        assembly.module("two")
        filename = assembly.filename("two")
    assert set(sys.modules) == before
    assert sys.meta_path == finders
    assert filename not in linecache.cache
    with pytest.raises(RuntimeError, match="closed"):
        assembly.module("two")


def test_a_failed_import_leaves_nothing_either(sources: dict[str, Source]):
    before = set(sys.modules)
    broken = sources["one"].edited([("def f()", "import missing_module\ndef f()")])
    with Assembly(sources | {"one": broken}) as assembly, pytest.raises(ModuleNotFoundError, match="missing_module"):
        assembly.module("two")
    assert set(sys.modules) == before


def test_a_traceback_names_the_true_file_and_line(sources: dict[str, Source]):
    with Assembly(sources) as assembly:
        with pytest.raises(ZeroDivisionError) as caught:
            assembly.module("one").broken()
        frame = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (frame.filename, frame.lineno, frame.line) == (str(sources["one"].path), 6, "return 1 / 0")


def test_getsource_shows_what_is_run_even_when_it_was_edited(sources: dict[str, Source]):
    edited = sources["one"].edited([("return 'one'", "return 'edited'")])
    with Assembly({"one": edited}) as assembly:
        function = assembly.module("one").f
        assert inspect.getsource(function) == "def f():\n    return 'edited'\n"
        frame = assembly.filename("one")
    assert frame.startswith(str(sources["one"].path))
    assert frame != str(sources["one"].path)


def test_an_edit_must_fit_exactly_once(sources: dict[str, Source]):
    for find in ("return", "nowhere"):
        with pytest.raises(ValueError, match=r"occurs \d times, not once"):
            sources["one"].edited([(find, "")])


def test_a_missing_name_is_reported_with_the_nearest_one(sources: dict[str, Source]):
    with Assembly(sources) as assembly, pytest.raises(MissingName, match=r"one\.py defines no `brokn`.*`broken`"):
        _ = assembly.exercise("one").brokn


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path):
    (tmp_path / "one.py").write_bytes(b"\xef\xbb\xbf" + ONE.replace("\n", "\r\n").encode())
    assert Source.read(tmp_path / "one.py", "learner").text == ONE


@pytest.mark.parametrize(("content", "says"), [(b"x = '\xe9'", "byte 5 is not UTF-8"), (b"x = 1\0", "NUL")])
def test_what_is_not_text_is_refused_with_the_reason(tmp_path: Path, content: bytes, says: str):
    (tmp_path / "one.py").write_bytes(content)
    with pytest.raises(SourceUnreadable, match=says):
        Source.read(tmp_path / "one.py", "learner")


def test_an_edit_means_the_code_and_not_the_lesson_that_shows_it():
    text = '"""A lesson.\n\n>>> y = x + 1\n"""\n\ny = x + 1\n# lesson 2\n'
    source = Source("s", Path("s.py"), text, "reference")
    assert source.edited([("y = x + 1", "y = x")]).text == text.replace("\ny = x + 1", "\ny = x")
    assert source.edited([("A lesson", "The lesson")]).text == text.replace("A lesson", "The lesson")
    with pytest.raises(ValueError, match="not once"):
        replace(source, text=text + "y = x + 1\n").edited([("y = x + 1", "y = x")])
