"""The house: its rooms from the ground up, and a picture of them (`python -m grader.staff.house`)."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path

from grader.files import ROOT, write_atomically

ENGINE = ROOT / "grader"
PICTURE = ROOT / "docs" / "house.svg"
ROOMS = (  # a room imports from those before it
    "errors",
    "files",
    "store",
    "probing",
    "content",
    "checks",
    "results",
    "written",
    "judging",
    "diagnosis",
    "workers",
    "sandbox.inside",
    "sandbox",
    "misconceptions",
    "verdict_cache",
    "grading",
    "progress",
    "screens",
    "nb",
    "learning",
    "staff",
    "cli.app",
    "cli.staff",
    "cli",
    "pytest_plugin",
    "__main__",
)
ROW, TOP, LEFT, WIDTH = 34, 60, 24, 1240
ARCS = 900  # where the arcs begin


def modules() -> list[Path]:
    """Every module of the engine."""
    return sorted(ENGINE.rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module inside the engine: `judging.judge`; "" for the engine itself."""
    parts = path.relative_to(ENGINE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(name: str) -> str:
    """The room that a module stands in: the longest that its name begins with.

    Raises:
        ValueError: it stands in none.
    """
    rooms = [room for room in ROOMS if f"{name}.".startswith(f"{room}.")]
    if not rooms:
        raise ValueError(f"grader.{name} stands in no room")
    return max(rooms, key=len)


def imports(path: Path) -> Iterator[str]:
    """The modules of the engine that a module imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "grader":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}".removeprefix("grader.")
                place = ENGINE.joinpath(*whole.split("."))
                yield whole if place.is_dir() or place.with_suffix(".py").is_file() else whole.rpartition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (each.name.removeprefix("grader.") for each in node.names if each.name.startswith("grader."))


def idea(room: str) -> str:
    """The first sentence of what a room says of itself."""
    place = ENGINE.joinpath(*room.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def picture() -> str:
    """The rooms as an SVG: the ground floor at the bottom, and an arc for what each room imports from another."""
    size = Counter(room_of(name_of(path)) for path in modules() if path.name != "__init__.py")
    arrows: Counter[tuple[str, str]] = Counter()
    for path in modules():
        if name_of(path):
            here = room_of(name_of(path))
            arrows.update((here, room_of(other)) for other in imports(path) if room_of(other) != here)
    place = {room: TOP + ROW * (len(ROOMS) - 1 - number) for number, room in enumerate(ROOMS)}
    height = TOP + ROW * len(ROOMS) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="13" '
        'font-family="sans-serif">',
        "<title>The rooms of grader/, and what each imports</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="30" font-size="17" font-weight="bold" fill="#1b2a41">The rooms of grader/: '
        "each imports only from those below it</text>",
    ]
    for (here, other), count in sorted(arrows.items(), key=lambda item: (place[item[0][0]], place[item[0][1]])):
        y0, y1 = place[here] + 13, place[other] + 13
        out = ARCS + 14 + (y1 - y0) * 0.42
        parts.append(
            f'<path d="M{ARCS} {y0} C{out:.0f} {y0} {out:.0f} {y1} {ARCS} {y1}" fill="none" stroke="#3a6ea5" '
            f'stroke-opacity="0.35" stroke-width="{min(6.0, 0.6 + 0.4 * count):.1f}">'
            f"<title>{here} imports {other} ({count})</title></path>"
        )
    for room, y in place.items():
        fill = "#fdf1dc" if room.split(".")[0] == "staff" or room == "cli.staff" else "#e8f0f8"
        many = f"{size[room]} module{'s' if size[room] != 1 else ''}"
        parts += [
            f'<rect x="{LEFT}" y="{y}" width="{ARCS - LEFT}" height="{ROW - 8}" rx="4" fill="{fill}"/>',
            f'<text x="{LEFT + 10}" y="{y + 17}" font-weight="bold" fill="#1b2a41">{room}</text>',
            f'<text x="{LEFT + 140}" y="{y + 17}" fill="#1b2a41">{escape(shortened(idea(room)))}</text>',
            f'<text x="{ARCS - 8}" y="{y + 17}" fill="#5b6b7d" font-size="11" text-anchor="end">{many}</text>',
        ]
    parts.append(
        f'<text x="{LEFT}" y="{height - 10}" font-size="11" fill="#5b6b7d">Orange: never in a release. '
        "A line is an import, wider where there are more.</text>"
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def shortened(text: str, most: int = 92) -> str:
    """A text that fits its row, cut after a word."""
    return text if len(text) <= most else f"{text[:most].rpartition(' ')[0]} ..."


if __name__ == "__main__":
    write_atomically(PICTURE, picture())
