"""The user's own text: a file, several, or all of a folder, in memory or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab import large
from lab.console import Screen
from lab.corpora import Corpus, from_file, require_file
from lab.errors import LabError


def read(paths: Sequence[Path], screen: Screen) -> Corpus:
    """The text of some files, in the order given; of a folder, all .txt files in it and below, by their paths.

    Raises:
        LabError: one is missing, empty or no UTF-8 text, or a folder holds none.
    """
    files = [file for path in paths for file in (_in_folder(path) if path.is_dir() else [path])]
    for file in files:
        require_file(file)
    if len(files) == 1:
        name, source = files[0].stem, str(files[0])
    else:
        name = paths[0].resolve().name if len(paths) == 1 else f"{files[0].stem}-and-{len(files) - 1}-more"
        source = f"{paths[0]} ({len(files)} files)" if len(paths) == 1 else f"{files[0]} and {len(files) - 1} more"
    if sum(file.stat().st_size for file in files) >= large.LARGE:
        return large.scan(name, source, files, screen)
    texts = [from_file(file).text for file in files]
    joined = "".join(text if text.endswith("\n") else text + "\n" for text in texts[:-1]) + texts[-1]
    return Corpus(name, source, joined)


def _in_folder(folder: Path) -> list[Path]:
    def hidden(path: Path) -> bool:
        return any(part.startswith(".") for part in path.relative_to(folder).parts)

    files = sorted(path for path in folder.rglob("*.txt") if path.is_file() and not hidden(path))
    if not files:
        raise LabError(f"--text {folder}: there is no .txt file in this folder; name one that has some, or a file")
    return files
