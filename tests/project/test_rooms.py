"""The house: a few rooms with one idea each, and imports that go one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.files import ROOT

ENGINE = ROOT / "grader"
ROOMS = (  # from the ground up: a room imports from those before it
    "errors",
    "files",
    "store",
    "probing",
    "content",
    "checks",
    "results",
    "written",
    "judging",
    "workers",
    "sandbox.inside",
    "sandbox",
    "misconceptions",
    "verdict_cache",
    "grading",
    "progress",
    "screens",
    "learning",
    "nb",
    "staff",
    "cli.app",
    "cli.staff",
    "cli",
    "pytest_plugin",
    "__main__",
)
BESIDE_CODE_UNDER_TEST = {"probing": {"errors"}, "sandbox.inside": {"errors", "probing", "checks"}}
ABOVE_STAFF = {"staff", "cli.staff"}
MODULES = sorted(path for path in ENGINE.rglob("*.py") if path.name != "__init__.py")


def name_of(path: Path) -> str:
    """The dotted name of a module inside the engine: `judging.judge`."""
    parts = path.relative_to(ENGINE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(name: str) -> str:
    """The room that a module stands in: the longest that its name begins with."""
    return max((room for room in ROOMS if f"{name}.".startswith(f"{room}.")), key=len)


def imports(path: Path) -> Iterator[str]:
    """The modules of the engine that a module imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "grader":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}".removeprefix("grader.")
                inside = ENGINE.joinpath(*whole.split("."))
                is_module = inside.is_dir() or inside.with_suffix(".py").is_file()
                yield whole if is_module else whole.rpartition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (each.name.removeprefix("grader.") for each in node.names if each.name.startswith("grader."))


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=name_of)
def test_a_module_imports_from_its_own_room_and_from_those_below(path: Path):
    room = room_of(name_of(path)) if name_of(path) else "errors"
    for imported in imports(path):
        other = room_of(imported)
        assert ROOMS.index(other) <= ROOMS.index(room), f"{name_of(path)} imports {imported}, which stands above it"
        if room in BESIDE_CODE_UNDER_TEST and other != room:
            assert other in BESIDE_CODE_UNDER_TEST[room], f"{name_of(path)} runs beside code under test"
        if room not in ABOVE_STAFF:
            assert other not in ABOVE_STAFF, f"{name_of(path)} is in every release, {imported} in none"


def test_no_two_modules_import_each_other():
    graph = {name_of(path): set(imports(path)) - {name_of(path)} for path in MODULES}
    waiting = dict(graph)
    while waiting:
        free = [name for name, needs in waiting.items() if not needs & waiting.keys()]
        assert free, f"an import circle among {sorted(waiting)}"
        for name in free:
            del waiting[name]


def test_every_room_says_in_a_line_what_lives_there_and_is_not_crowded():
    for init in sorted(ENGINE.glob("*/**/__init__.py")):
        folder = init.parent
        assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), f"{folder} does not say what it is"
        assert len([path for path in MODULES if path.parent == folder]) <= 12, f"{folder.name} is crowded"
    assert {room_of(name_of(path)) for path in MODULES} == set(ROOMS)
