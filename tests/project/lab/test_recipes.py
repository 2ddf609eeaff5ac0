"""Where the sizes and the schedule of a run come from: from the learner's own code, then from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from grader.probing.assembly import Assembly, read_folder
from lab import pieces, runs
from lab.cli import main
from lab.errors import LabError
from lab.recipes import PRESETS, SIZES, TRAINING, memory_needed, model_sizes, train_options

TEXT = "ANNE:\nthe cat sat on the mat, and the dog sat on the cat.\n\n" * 40
THEIRS = {
    "ex14_training": [
        ("    steps: int = ", "    steps: int = 9  # mine\n    was: int = "),
        ("    eval_every: int = ", "    eval_every: int = 2  # mine\n    was_every: int = "),
        ("    max_lr: float = ", "    max_lr: float = 3e-3  # mine\n    was_lr: float = "),
    ],
    "ex16_capstone": [("    d_model: int = 96,", "    d_model: int = 24,"), ("n_heads: int = 4,", "n_heads: int = 2,")],
}


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Train with somebody's own defaults and some options; what config.json says of it."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    sources = read_folder(runs.ROOT / "solutions", "reference")
    edited = {stem: sources[stem].edited(edits) for stem, edits in THEIRS.items()}
    monkeypatch.setattr(pieces, "reference_assembly", lambda: Assembly({**sources, **edited}))

    def call(*options: str) -> dict[str, Any]:
        where = ["--runs", str(tmp_path / "runs"), "--text", str(tmp_path / "text.txt"), "--name", "mine"]
        result = CliRunner().invoke(main, ["train", "--reference", *where, *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        config: dict[str, Any] = json.loads((tmp_path / "runs" / "mine" / "config.json").read_text())
        return config

    return call


def test_a_run_has_the_sizes_and_the_schedule_that_the_learner_s_code_says(train: Callable[..., Any]) -> None:
    config = train("--context", "16")
    assert (config["model"]["d_model"], config["model"]["n_heads"], config["model"]["n_layers"]) == (24, 2, 2)
    recipe = config["recipe"]
    assert (recipe["steps"], recipe["eval_every"], recipe["max_lr"]) == (9, 2, 3e-3)


def test_what_stands_on_the_command_line_wins_over_a_preset_and_over_the_code(train: Callable[..., Any]) -> None:
    config = train("--preset", "tiny", "--steps", "4", "--width", "16", "--dropout", "0.2")
    assert config["model"] == {"context_length": 32, "d_model": 16, "n_heads": 2, "n_layers": 1, "dropout": 0.2}
    assert (config["recipe"]["steps"], config["recipe"]["max_lr"]) == (4, PRESETS["tiny"]["lr"])


def test_a_shorter_training_warms_up_for_less_and_a_smaller_rate_falls_as_far(reference: Callable) -> None:
    own = reference("ex14_training").TrainConfig(steps=2000, max_lr=4e-3, min_lr=4e-5, warmup_steps=100, eval_every=250)
    fields = train_options(own, {"steps": 200, "lr": 1e-3, "width": 8}, seed=7)
    assert (fields["steps"], fields["warmup_steps"], fields["eval_every"], fields["seed"]) == (200, 20, 50, 7)
    assert (fields["max_lr"], fields["min_lr"]) == (1e-3, pytest.approx(1e-5))
    assert train_options(own, {"steps": 200, "eval_every": 150}, seed=0)["eval_every"] == 150
    assert "width" not in fields


def test_a_build_model_with_other_names_has_its_own_sizes_and_can_t_be_given_others() -> None:
    def build_model(vocab_size: int, block: int = 32, d_model: int = 48) -> None: ...

    assert model_sizes(build_model, {}) == {"d_model": 48}
    assert model_sizes(build_model, {"width": 64}) == {"d_model": 64}
    with pytest.raises(LabError, match="--context is the argument context_length of build_model"):
        model_sizes(build_model, {"context": 16})


def test_the_presets_are_options_that_there_are() -> None:
    assert PRESETS["laptop"] == {}
    for preset in PRESETS.values():
        assert set(preset) <= {*TRAINING, *SIZES}


def test_a_batch_in_pieces_needs_less_memory() -> None:
    sizes = PRESETS["gpu"]
    assert memory_needed({**sizes, "accumulate": 8}) < memory_needed(sizes) / 3
