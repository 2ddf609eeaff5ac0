"""Three-way merges of one exercise: the stub as handed out, the new stub, and what the learner made of the old one.

git does the merging. Before it does, two things are taken out of its way that are no conflicts: the number in "(The
reference needs 3 lines.)", and a new docstring that ends just where the learner's code begins.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.errors import GraderError
from grader.probing.trees import parse

PLACEHOLDER = re.compile(r"^(\s*)# Your code here\. \(The reference needs .*\)$")
HERE = "# <<merging: the body of {}>>"


@dataclass(frozen=True)
class Merge:
    """The outcome of a merge: its text, and whether there are conflicts in it (marked as git marks them)."""

    text: str
    conflicts: bool


def merge(mine: str, base: str, theirs: str) -> Merge:
    """Bring the changes from `base` to `theirs` into `mine`, which keeps its line ends.

    Raises:
        GraderError: git can't be run.
    """
    crlf = mine.count("\r\n") > mine.count("\n") / 2
    mine, base, theirs = (text.replace("\r\n", "\n").replace("\r", "\n") for text in (mine, base, theirs))
    if mine in (base, theirs) or base == theirs:
        merged = Merge(theirs if mine == base else mine, conflicts=False)
    else:
        merged = _merge(mine, base, theirs)
    return Merge(merged.text.replace("\n", "\r\n"), merged.conflicts) if crlf else merged


def _merge(mine: str, base: str, theirs: str) -> Merge:
    sizes = _sizes(theirs)
    texts = [_without_sizes(text) for text in (mine, base, theirs)]
    shared = set.intersection(*(set(_bodies(text)) for text in texts))
    merged = _git_merge(*(_marked(text, shared) for text in texts))
    lines = [line for line in merged.text.splitlines() if line.strip() not in {HERE.format(name) for name in shared}]
    return Merge(_with_sizes("\n".join(lines) + "\n", sizes), merged.conflicts)


def _git_merge(mine: str, base: str, theirs: str) -> Merge:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("yours", "before", "new")]
        for path, text in zip(paths, (mine, base, theirs), strict=True):
            path.write_text(text, encoding="utf-8", newline="\n")
        labels = [part for label in ("yours", "before", "new") for part in ("-L", label)]
        try:
            done = subprocess.run(
                ["git", "merge-file", "-p", "--diff3", *labels, *map(str, paths)],
                capture_output=True,
                encoding="utf-8",
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GraderError(f"git can't be run: {error}") from None
    if not 0 <= done.returncode < 128:
        raise GraderError(f"git merge-file failed: {done.stderr.strip()}")
    return Merge(done.stdout, done.returncode > 0)


def _definitions(text: str) -> Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions and methods of a source by their qualified names; none if it is not Python."""
    found: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    for node in tree.body:
        parts = [("", node)] if not isinstance(node, ast.ClassDef) else [(f"{node.name}.", part) for part in node.body]
        for prefix, part in parts:
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                found[prefix + part.name] = part
    return found


def _bodies(text: str) -> dict[str, int]:
    """For each function with a docstring and more, the number of the docstring's last line."""
    return {
        name: node.body[0].end_lineno or 0
        for name, node in _definitions(text).items()
        if ast.get_docstring(node) is not None and len(node.body) > 1
    }


def _marked(text: str, names: set[str]) -> str:
    """The text with a line of its own between each of these functions' docstring and what follows: an anchor."""
    after = {line: name for name, line in _bodies(text).items() if name in names}
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        lines.append(line)
        if number in after:
            lines.append(HERE.format(after[number]))
    return "\n".join(lines) + "\n"


def _owners(text: str) -> dict[int, str]:
    """For each placeholder's line the function around it, by the lines above it (the text may not be Python)."""
    owners, path = {}, [(-1, "")]
    for number, line in enumerate(text.splitlines(), start=1):
        opened = re.match(r"(\s*)(?:async\s+)?(?:def|class)\s+(\w+)", line)
        if opened:
            depth = len(opened[1])
            path = [(indent, name) for indent, name in path if indent < depth] + [(depth, opened[2])]
        if PLACEHOLDER.match(line):
            owners[number] = ".".join(name for _, name in path if name)
    return owners


def _sizes(text: str) -> dict[str, str]:
    """The placeholders of a stub as they are written, by function."""
    lines = text.splitlines()
    return {name: lines[number - 1].strip() for number, name in _owners(text).items()}


def _without_sizes(text: str) -> str:
    owners = _owners(text)
    lines = text.splitlines()
    for number, name in owners.items():
        margin = re.match(r"\s*", lines[number - 1])
        assert margin is not None
        lines[number - 1] = f"{margin[0]}# Your code here. (The reference needs <{name}>)"
    return "\n".join(lines) + "\n"


def _with_sizes(text: str, sizes: Mapping[str, str]) -> str:
    def written(match: re.Match[str]) -> str:
        return match[1] + sizes.get(match[2], "# Your code here.")

    return re.sub(r"^(\s*)# Your code here\. \(The reference needs <(.*)>\)$", written, text, flags=re.MULTILINE)
