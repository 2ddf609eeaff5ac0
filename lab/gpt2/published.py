"""The files that GPT-2 was published as: where they are, what they must be, and how they come here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.console import Gauge, Screen
from lab.corpora import DATA
from lab.download import digest, fetch
from lab.errors import LabError

WHERE = DATA / "gpt2"
INSTEAD = "If you have model.safetensors and merges.txt, name their folder with --from DIR; that needs no network."


@dataclass(frozen=True)
class Published:
    """A file at a place that doesn't change."""

    name: str
    url: str
    size: int
    sha256: str


_REVISION = "https://huggingface.co/openai-community/gpt2/resolve/607a30d783dfa663caf39e06633721c8d4cfcd7e"
WEIGHTS = Published(
    "model.safetensors",
    f"{_REVISION}/model.safetensors",
    548_105_171,
    "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
)
MERGES = Published(
    "merges.txt",
    f"{_REVISION}/merges.txt",
    456_318,
    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
)


def download(screen: Screen, where: Path) -> tuple[Path, Path]:
    """The two files in a folder, downloaded as far as they are not there yet.

    Raises:
        LabError: they can't be had.
    """
    for file in (MERGES, WEIGHTS):
        with Gauge(screen, f"Downloading {file.name}", file.size) as gauge:
            fetch(file.url, where / file.name, size=file.size, sha256=file.sha256, instead=INSTEAD, tell=gauge.show)
    return where / WEIGHTS.name, where / MERGES.name


def from_folder(screen: Screen, folder: Path) -> tuple[Path, Path]:
    """The two files in a folder of the user's.

    A larger GPT-2 is welcome: that the weights are not those of the smallest is said, and they are taken.

    Raises:
        LabError: one is missing, or the merges are not the published ones.
    """
    for file in (WEIGHTS, MERGES):
        if not (folder / file.name).is_file():
            raise LabError(f"--from {folder}: there is no {file.name} in it; it comes from {file.url}")
    if digest(folder / MERGES.name) != MERGES.sha256:
        raise LabError(f"--from {folder}: merges.txt is not the one that was published; get it from {MERGES.url}")
    if digest(folder / WEIGHTS.name) != WEIGHTS.sha256:
        screen.say(
            f"The weights in {folder} are not those of the published 124M checkpoint; they are taken as they are."
        )
    return folder / WEIGHTS.name, folder / MERGES.name


def read_weights(path: Path) -> dict[str, Any]:
    """The tensors of a checkpoint by their published names.

    Raises:
        LabError: it is damaged, or not of GPT-2's layout.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise LabError(f"{path} is damaged: it is not a safetensors file ({error})") from error
    for name in ("wte.weight", "wpe.weight", "h.0.ln_1.weight"):
        if name not in state:
            raise LabError(f"{path} is not a GPT-2 checkpoint: it has no {name}")
    return state
