"""Run folders: everything about one training run, in files that a person can read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.files import write_atomically, write_json

DAMAGED = "{} is damaged: it was cut short or changed, or is not a checkpoint of a training. Train a new run"
ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "runs"
MODELS = {"gpt": "GPT", "llama": "Llama"}  # that can learn a text: by --model, and as they are spoken of
FORMAT = 1  # of the folder; raised when an old one can no longer be read


@dataclass(frozen=True)
class Run:
    """The folder of one run.

    config.json    what is trained on what, how, by which versions, and what was borrowed from the reference
    checkpoint.pt  weights, optimizer, random generators and history after the last step that was saved
    history.jsonl  a row per evaluation, with what the model wrote then
    loss.png       the loss curve
    results.json   how good the model is
    sample.txt     something that it wrote
    map.html       the model, to look into

    and what its task keeps: corpus.txt, the text (of a large one, the beginning); held-out.txt, the words that are not
    trained on, and attention.png, where the model looked.
    """

    folder: Path
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def checkpoint(self) -> Path:
        """The file with the state of the training."""
        return self.folder / "checkpoint.pt"

    @property
    def map(self) -> Path:
        """The page with the model in it."""
        return self.folder / "map.html"

    @property
    def task(self) -> str:
        """Return what it is about, as --task spells it."""
        return str(self.config.get("task", "text"))  # the first runs knew no other

    @property
    def architecture(self) -> str:
        """Which model learns the text, as --model spells it; empty where the task has only one."""
        only = "gpt" if self.task == "text" else ""  # the first runs knew no other
        return str(self.config.get("architecture", only))

    @property
    def model(self) -> str:
        """The same, as it is spoken of."""
        return MODELS[self.architecture]

    @property
    def owned(self) -> str:
        """The same, with whose it is."""
        return self.model if self.config["pieces"]["exercises"] is None else f"your {self.model}"

    def standing(self, step: int) -> str:
        """Return which model this is, to put above what it wrote."""
        return f"{self.name}, after step {step:,} of {self.config['recipe']['steps']:,}:"

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep the state of the training. Killed at any moment, the folder holds the last one or this one, whole."""
        import torch  # takes seconds to load: not before it is needed

        write_atomically(self.checkpoint, lambda file: torch.save(dict(state), file))
        write_atomically(self.folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in rows_of(state)))

    def load(self) -> dict[str, Any]:
        """The state that was saved last.

        Raises:
            LabError: there is none, or it can't be read, or is no checkpoint.
        """
        import torch

        if not self.checkpoint.is_file():
            raise LabError(f"{self.folder} has no checkpoint yet: train it first, or choose another run")
        try:
            with self.checkpoint.open("rb") as file:
                file.read(1)
        except OSError as error:
            raise LabError(f"{self.checkpoint} can't be read: {error.strerror or error}") from error
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises half a dozen kinds on a damaged file, in words of its own inside
            raise LabError(DAMAGED.format(self.checkpoint)) from error
        if not isinstance(state, dict) or "step" not in state:
            raise LabError(DAMAGED.format(self.checkpoint))
        return state

    def read(self, name: str) -> str:
        """A text that its task keeps in the folder.

        Raises:
            LabError: it can't be read.
        """
        try:
            return (self.folder / name).read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise LabError(f"{self.folder / name} can't be read ({error}); this run is of no use without it") from error


def rows_of(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The history of a checkpoint, each row with the `sample` that was written then."""
    samples = state.get("samples", {})
    return [{**row, "sample": samples[row["step"]]} if row["step"] in samples else row for row in state["history"]]


def create(
    root: Path, name: str | None, label: str, config: Mapping[str, Any], files: Mapping[str, str] | None = None
) -> Run:
    """Begin a run in a new folder; without a name it is called by a number and what it is about, `003-plays`.

    Args:
        root: the folder of all runs.
        name: what to call it.
        label: what it is about.
        config: what config.json says.
        files: texts to keep in the folder, by their names.

    Raises:
        LabError: the name is taken or can't be the name of a folder.
    """
    root.mkdir(parents=True, exist_ok=True)
    if name is None:
        label = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.") or "text"
        numbers = [int(found[0]) for folder in root.iterdir() if (found := re.match(r"\d+", folder.name))]
        name = f"{max(numbers, default=0) + 1:03}-{label[:40]}"
    check_free(root, name)
    folder = root / name
    folder.mkdir()
    run = Run(folder, {"format": FORMAT, **config})
    for file, text in (files or {}).items():
        write_atomically(folder / file, text)
    write_json(folder / "config.json", run.config)
    return run


def check_free(root: Path, name: str) -> None:
    """Make sure, before anything takes time, that a new run can have this name.

    Raises:
        LabError: the name is taken or can't be the name of a folder.
    """
    if (root / checked_name(name)).exists():
        raise LabError(
            f"there is a run {name} already, in {root / name}. Go on with it by --resume {name}, "
            "or choose another --name"
        )


def find(root: Path, name: str | None = None, task: str | None = None, model: str | None = None) -> Run:
    """A run by its name, or the one that was trained last; of one task and one model, if these are given.

    Raises:
        LabError: there is no such run, or none at all.
    """
    runs = all_runs(root)
    if name is not None:
        checked_name(name)
        if name not in runs:
            known = f"there are {', '.join(sorted(runs))}" if runs else "there is none yet"
            raise LabError(f"there is no run {name!r} in {root}; {known}")
        run = opened(runs[name])
        if task is not None and run.task != task:
            raise LabError(f"the task of the run {name} is {run.task}, not {task}: leave --task out, or the name")
        if model is not None and run.architecture != model:
            had = run.architecture or "that of its task"
            raise LabError(f"the model of the run {name} is {had}, not {model}: leave --model out, or the name")
        return run
    trained = [folder for folder in runs.values() if (folder / "checkpoint.pt").is_file()]
    trained.sort(key=lambda folder: ((folder / "checkpoint.pt").stat().st_mtime_ns, folder.name), reverse=True)
    for folder in trained:
        run = opened(folder)
        if task in (None, run.task) and model in (None, run.architecture):
            return run
    if trained:
        wanted = {"task": task, "model": model}
        said = " and ".join(f"the {what} {which}" for what, which in wanted.items() if which)
        do = " ".join(f"{what.upper()}={which}" for what, which in wanted.items() if which)
        raise LabError(f"there is no trained run of {said} in {root} yet: make train {do}")
    raise LabError(f"there is no trained run in {root} yet: make train, or make demo")


def opened(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        LabError: its config.json can't be read.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        version = config["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{folder / 'config.json'} can't be read ({error}); choose another run") from error
    if version != FORMAT:
        raise LabError(f"{folder} was written in format {version}, this is {FORMAT}: train a new run")
    return Run(folder, config)


def all_runs(root: Path) -> dict[str, Path]:
    """The folders of all runs by name."""
    if not root.is_dir():
        return {}
    return {folder.name: folder for folder in sorted(root.iterdir()) if (folder / "config.json").is_file()}


def checked_name(name: str) -> str:
    """The name, if it can be the name of a folder everywhere.

    Raises:
        LabError: it can't.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise LabError(
            f"{name!r} can't be the name of a run: use letters, digits, '-', '_' and '.', a letter or digit first"
        )
    return name


def relative_to_root(path: Path) -> str:
    """A path as it is kept in config.json: relative to the repository where it lies inside, so that this can move."""
    path = path.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def shown(path: Path) -> str:
    """A path as it is shown: relative to where the user is, if it lies below."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
