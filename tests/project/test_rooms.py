"""The house: a few rooms with one idea each, and imports that go one way."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from grader.files import ROOT
from grader.staff.house import ENGINE, PICTURE, ROOMS, imports, modules, name_of, picture, room_of

BESIDE_CODE_UNDER_TEST = {"probing": {"errors"}, "sandbox.inside": {"errors", "probing", "checks"}}
NEVER_RELEASED = {"staff", "cli.staff"}


@pytest.mark.parametrize("path", [path for path in modules() if name_of(path)], ids=name_of)
def test_a_module_imports_from_its_own_room_and_from_those_below(path: Path):
    room = room_of(name_of(path))
    for imported in imports(path):
        other = room_of(imported)
        assert ROOMS.index(other) <= ROOMS.index(room), f"{name_of(path)} imports {imported}, which stands above it"
        if room in BESIDE_CODE_UNDER_TEST and other != room:
            assert other in BESIDE_CODE_UNDER_TEST[room], f"{name_of(path)} runs beside code under test"
        if room not in NEVER_RELEASED:
            assert other not in NEVER_RELEASED, f"{name_of(path)} is in every release, {imported} in none"


def test_no_two_modules_import_each_other():
    waiting = {name_of(path): set(imports(path)) - {name_of(path)} for path in modules() if path.name != "__init__.py"}
    while waiting:
        free = [name for name, needs in waiting.items() if not needs & waiting.keys()]
        assert free, f"an import circle among {sorted(waiting)}"
        for name in free:
            del waiting[name]


@pytest.mark.parametrize("init", sorted(ENGINE.glob("*/**/__init__.py")), ids=name_of)
def test_a_room_says_in_a_line_what_lives_there_and_is_not_crowded(init: Path):
    assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), "it does not say what it is"
    assert len([path for path in init.parent.glob("*.py") if path != init]) <= 12, "it is crowded"


def test_the_picture_shows_the_house_as_it_is():
    assert {room_of(name_of(path)) for path in modules() if name_of(path)} == set(ROOMS)
    assert PICTURE.read_text(encoding="utf-8") == picture(), "draw it anew: python -m grader.staff.house"


def test_every_path_of_the_architecture_page_leads_somewhere():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:grader|lab|tests|exercises|solutions|docs)/[^`*]*)`", text)
    assert len(paths) > 40
    for path in paths:
        if "NN" not in path:
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("folder", ["grader", "lab"])
def test_a_docstring_says_what_a_function_does(folder: str):
    """Not "What it is called", but "Return what it is called": in the indicative, as PEP 257 has it."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)) and not is_command(node):
                assert not re.match("(What|How|Where|Whose) ", text), f"{path.name}, {node.name}: {text}"


def is_command(function: ast.FunctionDef) -> bool:
    """Whether its docstring is what a command's --help says."""
    return any(ast.unparse(each).endswith(".command()") for each in function.decorator_list)


def test_nobody_parses_past_the_lock():
    """Threads that parse at the same time make each other fail in CPython 3.11 (see grader/probing/trees.py)."""
    for path in modules():
        if path.name not in ("trees.py", "house.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\bast\.parse\((?!.*mode=\"eval\")", text), path
