"""The race of exercise 23: what counts, what does not, and what the leaderboard remembers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.files import ROOT
from grader.probing.assembly import Source
from lab.console import Screen
from lab.corpora import Corpus
from lab.errors import LabError
from lab.speedrun import STEM, Board, run_race

CORPUS = Corpus("cats", "a made-up text", "the cat sat on the mat. " * 200)


class Counts(nn.Module):
    """Predicts each character by how often it was there: a model that needs no training."""

    def __init__(self, tokens: Tensor, size: int, context: int = 64, off: float = 0.0, more: int = 0) -> None:
        super().__init__()
        frequencies = torch.bincount(tokens, minlength=size) + 1.0
        self.logits = nn.Parameter(torch.log(frequencies) + off * torch.arange(size))
        self.ballast = nn.Parameter(torch.zeros(more))
        self.config = SimpleNamespace(context_length=context)

    def forward(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.logits.expand(*ids.shape, -1)  # (B, T, V)
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Letters:
    def __init__(self, text: str) -> None:
        self.alphabet = sorted(set(text))
        self.vocab_size = len(self.alphabet)

    def encode(self, text: str) -> list[int]:
        return [self.alphabet.index(letter) for letter in text]


def split(text: str, tokenizer: Letters) -> tuple[Tensor, Tensor]:
    tokens = torch.tensor(tokenizer.encode(text))
    cut = len(tokens) - len(tokens) // 10
    return tokens[:cut], tokens[cut:]


@pytest.fixture
def trained() -> list[str]:
    """A word for each time that the plain recipe is run."""
    return []


@pytest.fixture
def pieces(trained: list[str]) -> Callable[..., Any]:
    """Stand-ins for a learner's pieces; the arguments are those of the model that `speedrun` returns."""

    def made(**options: Any) -> Any:
        def speedrun(text: str, **_: int) -> tuple[nn.Module, Letters, list[dict[str, Any]]]:
            tokenizer = Letters(text)
            model = Counts(split(text, tokenizer)[0], tokenizer.vocab_size, **options)
            return model, tokenizer, [{"step": 7, "val_loss": 1.0}]

        def build_model(size: int) -> nn.Module:
            return Counts(torch.arange(size), size)  # all characters alike

        capstone = SimpleNamespace(build_tokenizer=Letters, split_corpus=split, build_model=build_model)
        training = SimpleNamespace(
            TrainConfig=lambda: SimpleNamespace(seed=0), train=lambda *_: trained.append("the plain recipe")
        )
        sources = {STEM: Source(STEM, ROOT / "exercises" / f"{STEM}.py", "# a recipe\n", "learner")}
        return SimpleNamespace(
            race=SimpleNamespace(speedrun=speedrun), capstone=capstone, training=training, sources=sources
        )

    return made


def race(path: Path, pieces: Any, *seeds: int) -> dict[str, Any] | None:
    return run_race(Screen(plain=True), path, CORPUS, pieces, seeds)


def test_who_gets_there_is_on_the_board(
    pieces: Callable[..., Any], trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "runs" / "speedrun.json"
    entry = race(path, pieces(), 0)
    assert entry is not None
    assert not entry["official"]
    assert "--seeds 3" in capsys.readouterr().out
    official = race(path, pieces(), 4, 5, 6)
    assert official is not None
    assert official["official"]
    assert [run["seed"] for run in official["runs"]] == [4, 5, 6]
    assert official["runs"][0]["steps"] == 7
    assert official["runs"][0]["loss"] < official["loss to reach"]
    assert trained == ["the plain recipe"], "it is run once, and remembered"
    assert [kept["official"] for kept in json.loads(path.read_text())["entries"]] == [False, True]


def test_who_falls_short_is_not(pieces: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "speedrun.json"
    assert race(path, pieces(off=3.0), 0) is None
    assert Board.read(path).entries == []
    assert "short of it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"), [({"more": 1_000_001}, "parameters"), ({"context": 32}, "sees 32 characters")]
)
def test_what_breaks_the_rules_is_told(
    pieces: Callable[..., Any], tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(LabError, match=words):
        race(tmp_path / "speedrun.json", pieces(**options), 0)


def test_a_damaged_board_is_left_alone(pieces: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "speedrun.json"
    path.write_text("{")
    with pytest.raises(LabError, match="move it away"):
        race(path, pieces(), 0)
    assert path.read_text() == "{"
