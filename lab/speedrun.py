"""The race of exercise 23: CPU seconds until the loss that the plain recipe of exercise 16 ends with."""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lab import corpora
from lab.console import Screen, table
from lab.corpora import Corpus
from lab.errors import LabError
from lab.files import write_json
from lab.pieces import Pieces, open_pieces, with_needs
from lab.runs import shown
from lab.session import announce_grading
from lab.text import full_loss

STEM = "ex23_muon"
CONTEXT = 64  # characters of a window that is measured
LARGEST = 1_000_000  # parameters
OFFICIAL = 3  # seeds of an entry that counts


@dataclass(frozen=True)
class Finish:
    """One run of a recipe: its seed, what it cost, and how far it came."""

    seed: int
    seconds: float
    steps: int
    parameters: int
    loss: float


@dataclass(frozen=True)
class Board:
    """The leaderboard of a folder of runs: what the plain recipe came to, and every entry."""

    path: Path
    plain: dict[str, dict[str, float]]
    entries: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Board:
        """The board as it was kept; an empty one if there is none.

        Raises:
            LabError: the file is damaged.
        """
        if not path.is_file():
            return cls(path, {}, [])
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, dict(kept["plain"]), list(kept["entries"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabError(f"{path} can't be read as a leaderboard: move it away, and a new one begins") from error

    def keep(self) -> None:
        """Write it, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"plain": self.plain, "entries": self.entries})


def speedrun(screen: Screen, root: Path, corpus: Corpus | None, seeds: Sequence[int], exercises: Path | None) -> None:
    """Race with the recipe of exercise 23.

    Args:
        screen: where to show it.
        root: the folder of all runs, where the leaderboard is.
        corpus: the text; None for Tiny Shakespeare, or the embedded plays where that can't be had.
        seeds: one for each run.
        exercises: the learner's folder; None for the reference.

    Raises:
        LabError: exercise 23 does not pass yet, or what it returns is not what was agreed.
    """
    if corpus is None:
        try:
            corpus = corpora.tiny_shakespeare()
        except LabError as error:
            corpus = corpora.load()
            why = error.message.partition("\n")[0]
            screen.say(f"{why}\nRacing on {corpus.source} instead, which has a leaderboard of its own.")
    look = announce_grading(screen, exercises)
    with open_pieces(exercises, (STEM, *with_needs("ex16_capstone")), look) as pieces:
        if STEM in pieces.borrowed:
            raise LabError("your speedrun can't race before exercise 23 passes: make test EX=23")
        screen.say(pieces.describe())
        run_race(screen, root / "speedrun.json", corpus, pieces, seeds)


def run_race(screen: Screen, path: Path, corpus: Corpus, pieces: Pieces, seeds: Sequence[int]) -> dict[str, Any] | None:
    """Run the learner's `speedrun` at some seeds, and put it on the leaderboard if it gets there at each of them.

    Args:
        screen: where to show it.
        path: of the leaderboard.
        corpus: the text; its last tenth is held out, as exercise 16 splits it.
        pieces: the learner's, or the reference's.
        seeds: one for each run; three or more make an entry official.

    Returns:
        The entry; None if the recipe doesn't get there.

    Raises:
        LabError: the model is too large, too short-sighted or no model of this corpus.
    """
    board = Board.read(path)
    code = pieces.sources[STEM].text
    with one_thread():
        bar = plain_loss(screen, board, corpus, pieces)
        screen.say(f"The loss to reach on {corpus.source}: {bar:.4f}, where the plain recipe ends.")
        finishes = []
        for seed in seeds:
            finish = timed(corpus, pieces, seed)
            finishes.append(finish)
            there = "there" if finish.loss <= bar else f"{finish.loss - bar:.4f} short of it"
            screen.say(f"seed {seed}: {finish.loss:.4f} after {finish.seconds:.1f} CPU seconds, {there}")
    entry = None
    if all(finish.loss <= bar for finish in finishes):
        entry = {
            "date": date.today().isoformat(),
            "corpus": corpus.name,
            "sha256": corpus.sha256,
            "code": hashlib.sha256(code.encode()).hexdigest()[:12],
            "loss to reach": bar,
            "seconds": statistics.median(finish.seconds for finish in finishes),
            "official": len(set(seeds)) >= OFFICIAL,
            "runs": [asdict(finish) for finish in finishes],
        }
        board.entries.append(entry)
        board.keep()
    screen.say(f"\n{standings(board, corpus)}")
    if entry is None:
        screen.say("No entry this time: each seed has to get there.")
    elif not entry["official"]:
        screen.say(f"With {OFFICIAL} seeds it is an official entry: --seeds {OFFICIAL}.")
    screen.say(f"The leaderboard is {shown(path)}.")
    return entry


def plain_loss(screen: Screen, board: Board, corpus: Corpus, pieces: Pieces) -> float:
    """The loss at which exercise 16's recipe ends on this text: trained once, and remembered from then on."""
    config = pieces.training.TrainConfig()
    key = hashlib.sha256(f"{corpus.sha256} {config}".encode()).hexdigest()[:16]
    if key not in board.plain:
        screen.say("The plain recipe first, once on this machine: it takes a minute or two.")
        before = used()
        torch.manual_seed(config.seed)
        tokenizer = pieces.capstone.build_tokenizer(corpus.text)
        train_tokens, val_tokens = pieces.capstone.split_corpus(corpus.text, tokenizer)
        model = pieces.capstone.build_model(tokenizer.vocab_size)
        pieces.training.train(model, train_tokens, val_tokens, config)
        seconds = used() - before
        loss = measured(model, val_tokens)
        board.plain[key] = {"loss": loss, "seconds": seconds}
        board.keep()
        screen.say(f"The plain recipe: {loss:.4f} after {seconds:.1f} CPU seconds.")
    return float(board.plain[key]["loss"])


def timed(corpus: Corpus, pieces: Pieces, seed: int) -> Finish:
    """One run of the recipe: CPU seconds of the whole call, and the loss on the held-out text.

    Raises:
        LabError: what it returns is not what was agreed.
    """
    before = used()
    model, tokenizer, history = pieces.race.speedrun(corpus.text, seed=seed)
    seconds = used() - before
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if parameters > LARGEST:
        raise LabError(f"the model has {parameters:,} parameters; in this race it may have {LARGEST:,}")
    if model.config.context_length < CONTEXT:
        raise LabError(f"the model sees {model.config.context_length} characters; it is measured on {CONTEXT} at once")
    _, val_tokens = pieces.capstone.split_corpus(corpus.text, tokenizer)
    return Finish(seed, seconds, int(history[-1]["step"]), parameters, measured(model, val_tokens))


def measured(model: nn.Module, val_tokens: Tensor) -> float:
    """The mean loss over all windows of the held-out text.

    Raises:
        LabError: it is no number.
    """
    with torch.no_grad():
        loss = full_loss(model, val_tokens, length=CONTEXT)
    if not math.isfinite(loss):
        raise LabError("the held-out loss is no longer a number: the training has diverged")
    return loss


def used() -> float:
    """CPU seconds that this process and the children that it has waited for have used."""
    return sum(os.times()[:4])


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread, for everybody: a race on two cores would say more about what else the machine does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def standings(board: Board, corpus: Corpus) -> str:
    """The entries on this text, the fastest first."""
    rows = [
        (
            f"{entry['seconds']:.1f}",
            ", ".join(f"{run['loss']:.3f}" for run in entry["runs"]),
            f"{entry['runs'][0]['steps']:,}",
            f"{entry['runs'][0]['parameters']:,}",
            entry["code"],
            entry["date"],
            "official" if entry["official"] else "",
        )
        for entry in sorted(board.entries, key=lambda entry: float(entry["seconds"]))
        if entry["sha256"] == corpus.sha256
    ]
    return table(rows, header=("CPU seconds", "held-out loss", "steps", "parameters", "code", "date", ""))
