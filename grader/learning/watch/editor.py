"""Opening a line in the learner's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from grader.errors import GraderError

PLUS = {
    "vi",
    "vim",
    "nvim",
    "view",
    "gvim",
    "mvim",
    "nano",
    "emacs",
    "emacsclient",
    "micro",
    "kak",
    "joe",
    "jed",
    "gedit",
}
COLON = {"hx", "helix", "subl", "zed", "lapce", "pulsar"}
GOTO = {"code", "code-insiders", "codium", "cursor", "windsurf"}
JETBRAINS = {"charm", "pycharm", "idea"}
HOW = 'Name your editor first, for example: export EDITOR=nano   or   export EDITOR="code"'


def command(path: Path, line: int, environment: Mapping[str, str]) -> list[str]:
    """The command that opens a file at a line, from $VISUAL or $EDITOR.

    Raises:
        GraderError: neither is set, or it can't be understood.
    """
    named = environment.get("VISUAL") or environment.get("EDITOR") or ("notepad" if os.name == "nt" else "")
    try:
        words = shlex.split(named, posix=os.name != "nt")
    except ValueError as error:
        raise GraderError(f"$EDITOR is {named!r}, which is not a command: {error}.") from None
    if not words:
        raise GraderError(f"No editor is named ($EDITOR is empty). {HOW}")
    name = Path(words[0].strip('"')).stem.lower()
    if name in PLUS:
        return [*words, f"+{line}", str(path)]
    if name in COLON:
        return [*words, f"{path}:{line}"]
    if name in GOTO:
        return [*words, "--goto", f"{path}:{line}"]
    if name in JETBRAINS:
        return [*words, "--line", str(line), str(path)]
    return [*words, str(path)]


def open_at(path: Path, line: int) -> None:
    """Open a file in the editor and wait until it gives the terminal back.

    Raises:
        GraderError: no editor is named, it can't be started, or it fails.
    """
    words = command(path, line, os.environ)
    try:
        code = subprocess.run(words, check=False).returncode
    except OSError as error:
        raise GraderError(f"Can't start the editor {words[0]!r}: {error.strerror or error}. {HOW}") from None
    if code:
        raise GraderError(f"The editor {words[0]!r} ended with exit code {code}.")
