"""The pictures of the documents, made from real runs: python docs/pictures.py [map RUN] [failure] [screens]."""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
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
SMALL = (80, 24)  # columns and rows of the smallest terminal that a watch's screen has to fit
# What learners write: the code of the solution, and what stands there instead.
MISTAKES = {
    "ex01_softmax": ("exps / np.sum(exps, axis=axis, keepdims=True)", "exps / np.sum(exps, axis=axis)"),
    "ex02_tokenizers": ("range(256, vocab_size)", "range(256, 256 + vocab_size)"),
    "ex03_embeddings": ("rows = self.weight[ids]", "rows = self.wieght[ids]"),
    "ex05_attention": ("torch.softmax(scores, dim=-1)", "torch.softmax(scores, dim=-2)"),
    "ex08_residual_norm": (
        "(centred * centred).sum(dim=-1, keepdim=True) / d_model",
        "centred.var(dim=-1, keepdim=True)",
    ),
}
ESCAPE = re.compile(r"\x1b\[[\d;]*m")
TIMED = re.compile(r" graded in \d+\.\d+ s")
CLEARED = "\x1b[H\x1b[2J"


@contextmanager
def mistaken(stem: str) -> Iterator[Path]:
    """A folder that holds a learner's exercises, in which everything is right but one thing."""
    right, wrong = MISTAKES[stem]
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        exercises = Path(folder) / "exercises"
        shutil.copytree(ROOT / "solutions", exercises, ignore=shutil.ignore_patterns("__pycache__"))
        path = exercises / f"{stem}.py"
        text = path.read_text(encoding="utf-8")
        if text.count(right) != 1:
            raise SystemExit(f"{stem} has {text.count(right)} times {right!r}")
        path.write_text(text.replace(right, wrong), encoding="utf-8")
        yield Path(folder)


def failure(out: Path) -> None:
    """What `make test` shows of a failing check, for a known mistake."""
    with mistaken("ex05_attention") as folder:
        screen = seen(["test", "05"], folder, (WIDTH, 60)).partition("\n")[2]  # without the start of PyTorch
    screen = screen.replace(' ARGS="--exercises exercises"', "").replace('"--all --exercises exercises"', "--all")
    svg(screen, "make test EX=05", out, WIDTH)


def screens(out: Path) -> None:
    """What a watch shows of each mistake on a small terminal."""
    out.mkdir(exist_ok=True)
    for stem in MISTAKES:
        label = stem.partition("_")[0]
        with mistaken(stem) as folder:
            screen = seen(["watch", label[2:]], folder, SMALL, until="[q]").rpartition(CLEARED)[2].rstrip("\n")
        screen = TIMED.sub("", screen)  # the time of a run that had nothing kept from the last one
        if screen.count("\n") >= SMALL[1]:
            raise SystemExit(f"{label} does not fit on one screen")
        svg(screen, f"make watch EX={label[2:]}", out / f"{label}.svg", SMALL[0])


def seen(command: list[str], folder: Path, size: tuple[int, int], until: str = "") -> str:
    """What a command of the grader shows on a terminal, colours included: until it ends, or has shown something.

    It runs beside a folder `exercises`, as a learner's does.
    """
    mine, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment |= {"PYTHONPATH": str(ROOT)}
    environment.pop("NO_COLOR", None)
    command = [str(ROOT / ".venv" / "bin" / "python"), "-m", "grader", *command]
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
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
        if until and until in ESCAPE.sub("", b"".join(parts).decode("utf-8", "replace")):
            process.terminate()
            until = ""
    process.wait()
    return b"".join(parts).decode("utf-8", "replace").replace("\r\n", "\n")


def svg(screen: str, title: str, out: Path, width: int) -> None:
    """Write a screen as a picture, without any font from elsewhere."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {title}", style="bold"))
    console.print(Text.from_ansi(screen.rstrip("\n")))
    text = console.export_svg(title=title, theme=THEME, code_format=FRAME)
    out.write_text(INDENTED.sub(_moved, text), encoding="utf-8")


INDENTED = re.compile(r'x="([\d.]+)"( y="[\d.]+") textLength="([\d.]+)"([^>]*>)((?:&#160;)+)')
CHARACTER = 12.2  # how wide one is, in the units of rich's pictures


def _moved(found: re.Match[str]) -> str:
    """A text without the spaces that it begins with, as far to the right: some programs leave them out."""
    x, y, length, rest, spaces = found.groups()
    gap = CHARACTER * spaces.count(";")
    return f'x="{float(x) + gap:g}"{y} textLength="{float(length) - gap:g}"{rest}'


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
        case ["screens"]:
            screens(ROOT / "docs" / "screens")
        case ["map", run]:
            bird(Path(run), ROOT / "docs" / "map.png")
        case _:
            raise SystemExit(__doc__)
