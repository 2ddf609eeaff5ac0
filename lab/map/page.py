"""The page itself: one HTML file, made of a template, a style sheet, JavaScript modules and what was packed."""

from __future__ import annotations

import base64
import hashlib
import re
from graphlib import TopologicalSorter
from pathlib import Path

import jinja2
from markupsafe import Markup

from lab.map.pack import Packed, dumped

FOLDER = Path(__file__).with_name("page")
MAIN = "main.js"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)
SHOWN = 40  # characters of an alphabet


def render(packed: Packed) -> str:
    """The HTML of a page, which runs no script and shows no style but its own."""
    script, style = bundle() + "\nglobalThis.map = open();\n", (FOLDER / "style.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, keep_trailing_newline=True
    )
    return environment.get_template("page.html.jinja").render(
        title=packed.title,
        facts=packed.facts,
        provenance=packed.provenance,
        task=packed.data["task"],
        vocabulary=vocabulary(packed),
        longest=packed.data["config"].get("longest"),
        data=Markup(dumped(packed.data)),
        weights=Markup(base64.b64encode(packed.weights).decode("ascii")),
        script=Markup(script),
        style=Markup(style),
        script_hash=digest(script),
        style_hash=digest(style),
    )


def bundle(main: str = MAIN) -> str:
    """All modules as one, each after those that it imports: a page that is opened from a file can't load others."""
    waiting, needs = [main], {}
    while waiting:
        name = waiting.pop()
        if name not in needs:
            needs[name] = IMPORT.findall((FOLDER / name).read_text(encoding="utf-8"))
            waiting += needs[name]
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in TopologicalSorter(needs).static_order()]
    return "\n".join(re.sub(r"^export ", "", IMPORT.sub("", text), flags=re.MULTILINE) for text in texts)


def vocabulary(packed: Packed) -> str:
    """Return what can be typed, in a few words."""
    if packed.data["task"] != "text":
        return ""
    if packed.data["tokenizer"]["kind"] == "bytes":
        return "every character there is"
    signs = "".join(char for char in packed.data["alphabet"] if char.isprintable() and char != " ")
    more = f" and {len(signs) - SHOWN} more" if len(signs) > SHOWN else ""
    return f"the space, the line break, and {signs[:SHOWN]}{more}"


def digest(text: str) -> str:
    """The hash by which a Content-Security-Policy knows a script or a style."""
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
