"""The pictures of the README, made from real runs: python docs/pictures.py [map RUN] [failure]."""

from __future__ import annotations

import io
import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from fcntl import ioctl
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100
THEME = TerminalTheme(
    (253, 252, 249),
    (28, 39, 51),
    [
        (28, 39, 51),
        (178, 34, 34),
        (22, 110, 60),
        (150, 90, 0),
        (33, 102, 172),
        (120, 60, 140),
        (20, 110, 110),
        (90, 102, 115),
    ],
)
FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<title>{chrome}</title>
<style>
text {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: {char_height}px; }}
{styles}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#fdfcf9" stroke="#d9d7cf"/>
<g transform="translate(9, 12)">{backgrounds}{matrix}</g>
</svg>
"""
# What a learner would write: the softmax over the queries, in exercise 5.
MISTAKE = ("ex05_attention", "torch.softmax(scores, dim=-1)", "torch.softmax(scores, dim=-2)")


def failure(out: Path) -> None:
    """The screen of a failing check, for a known mistake."""
    stem, right, wrong = MISTAKE
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        exercises = Path(folder) / "exercises"
        shutil.copytree(ROOT / "solutions", exercises, ignore=shutil.ignore_patterns("__pycache__"))
        path = exercises / f"{stem}.py"
        text = path.read_text(encoding="utf-8")
        if text.count(right) != 1:
            raise SystemExit(f"{stem} has {text.count(right)} times {right!r}")
        path.write_text(text.replace(right, wrong), encoding="utf-8")
        mine = exercises.relative_to(ROOT)
        screen = seen([".venv/bin/python", "-m", "grader", "test", "05", "--exercises", str(mine)], ROOT)
        screen = screen.replace(str(mine), "exercises").replace(f"{ROOT}/", "")
    svg(screen, "make test EX=05", out)


def seen(command: list[str], where: Path) -> str:
    """What a command shows on a terminal of our width, colours included."""
    mine, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, WIDTH, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(WIDTH)}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(command, cwd=where, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(mine, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    process.wait()
    return b"".join(parts).decode("utf-8", "replace").replace("\r\n", "\n")


def svg(screen: str, title: str, out: Path) -> None:
    """Write a screen as a picture, without any font from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {title}", style="bold"))
    console.print(Text.from_ansi(screen.rstrip("\n")))
    out.write_text(console.export_svg(title=title, theme=THEME, code_format=FRAME), encoding="utf-8")


def bird(run: Path, out: Path) -> None:
    """The map of a run in a browser, as large as a laptop's screen."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1440, "height": 860, "deviceScaleFactor": 1, "mobile": False},
        )
        driver.get((run / "map.html").resolve().as_uri())
        driver.execute_script(
            "const t = document.getElementById('text'); t.value = 'ROMEO:\\nO, she doth teach the torch';"
            "t.dispatchEvent(new Event('input')); map.set({layer: 1, head: 1});"
        )
        driver.save_screenshot(str(out))
    finally:
        driver.quit()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["failure"]:
            failure(ROOT / "docs" / "failure.svg")
        case ["map", run]:
            bird(Path(run), ROOT / "docs" / "map.png")
        case _:
            raise SystemExit(__doc__)
