"""Taking a piece away takes that piece away, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from grader.probing.assembly import Assembly, read_folder
from lab import ablate, pieces, plots, runs
from lab.ablate import ABLATIONS, WHOLE, ladder
from lab.cli import main
from lab.pieces import Pieces, open_pieces

TEXT = "ANNE:\nthe cat sat on the mat, and the dog sat on the cat.\n\n" * 40
BY_NAME = {ablation.name: ablation for ablation in ABLATIONS}


@pytest.fixture(scope="module")
def reference() -> Iterator[Pieces]:
    with open_pieces(None) as opened:
        yield opened


@pytest.fixture
def without(reference: Pieces) -> Callable[..., Tensor]:
    """The logits (1, 6, V) of a model with strong weights, less one piece, for six ids."""

    def call(name: str, ids: list[int], layers: int = 2) -> Tensor:
        torch.manual_seed(0)
        model = reference.capstone.build_model(11, context_length=8, d_model=16, n_heads=2, n_layers=layers)
        for parameter in model.parameters():
            if parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=0.4)
        if (change := BY_NAME[name].model) is not None:
            change(model, reference)
        with torch.no_grad():
            logits: Tensor = model(torch.tensor([ids]))[0]
        return logits[0]

    return call


def test_without_positions_the_order_of_what_came_before_is_lost(without: Callable[..., Tensor]) -> None:
    """In one layer. A second one can tell where it is by what the first has averaged over."""
    ids, moved = [1, 2, 3, 4, 5, 6], [3, 1, 2, 5, 4, 6]
    for name, same in (("no positions", True), (WHOLE, False)):
        pair = [without(name, order, layers=1)[-1] for order in (ids, moved)]
        assert torch.allclose(pair[0], pair[1], atol=1e-5) is same


def test_without_attention_only_the_token_itself_counts(without: Callable[..., Tensor]) -> None:
    ids, other = [1, 2, 3, 4, 5, 6], [9, 9, 9, 9, 9, 6]
    assert torch.allclose(without("no attention", ids)[-1], without("no attention", other)[-1], atol=1e-5)
    assert not torch.allclose(without(WHOLE, ids)[-1], without(WHOLE, other)[-1], atol=1e-2)


def test_without_the_residual_nothing_of_the_stream_is_left_but_what_the_sublayers_write(
    reference: Pieces,
) -> None:
    model = reference.capstone.build_model(11, context_length=8, d_model=16, n_heads=2, n_layers=2)
    ablate.no_residual(model, reference)
    for block in model.blocks:
        torch.nn.init.zeros_(block.feed_forward.down.weight)
    assert torch.equal(model(torch.tensor([[1, 2, 3]]))[0][0], model(torch.tensor([[4, 5, 6]]))[0][0])


@pytest.mark.parametrize("name", [ablation.name for ablation in ABLATIONS if ablation.model is not None])
def test_each_piece_makes_a_difference_and_the_future_stays_hidden(without: Callable[..., Tensor], name: str) -> None:
    ids = [1, 2, 3, 4, 5, 6]
    assert not torch.allclose(without(name, ids), without(WHOLE, ids), atol=1e-2)
    assert torch.allclose(without(name, ids)[:3], without(name, [1, 2, 3, 7, 8, 9])[:3], atol=1e-5)


def test_without_the_scale_the_scores_are_the_plain_products(reference: Pieces) -> None:
    model = reference.capstone.build_model(11, context_length=8, d_model=16, n_heads=2, n_layers=1)
    attention, x = model.blocks[0].attention, torch.randn(1, 5, 16)
    before = attention.q_proj(x)
    ablate.no_scale(model, reference)
    assert torch.allclose(attention.q_proj(x), before * math.sqrt(8))


def test_the_schedule_loses_what_the_name_says(reference: Pieces) -> None:
    config = reference.training.TrainConfig()
    for name, field, value in (
        ("no warm-up", "warmup_steps", 0),
        ("a rate that never falls", "min_lr", config.max_lr),
        ("no weight decay", "weight_decay", 0.0),
        ("no clipping", "grad_clip", math.inf),
    ):
        assert BY_NAME[name].config(config) == {field: value} != {field: getattr(config, field)}


def test_the_table_has_the_best_first_and_the_distance_to_the_whole() -> None:
    rows = ladder({WHOLE: 1.9, "no norm": math.inf, "one head": 1.95, "no clipping": 1.89}).splitlines()[2:]
    assert [row.split("  ")[0] for row in rows] == ["no clipping", WHOLE, "one head", "no norm"]
    assert rows[0].endswith("-0.010")
    assert rows[2].endswith("+0.050")
    assert "diverges" in rows[3]


def test_the_picture_measures_each_from_the_whole_model_and_has_no_bar_from_a_false_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "_write", lambda figure, _: drawn.append(figure))
    plots.distances(tmp_path / "a.png", {"less": 1.8, WHOLE: 1.9, "bad": 2.5, "none": math.inf}, WHOLE, {}, "title")
    (axes,) = drawn[0].axes
    assert not axes.patches
    low, high = axes.get_xlim()
    assert low > 0
    assert "does not begin at 0" in axes.get_xlabel()
    joined = [
        list(line.get_xdata()) for line in axes.lines if len(set(line.get_ydata())) == 1 and len(line.get_xdata()) == 2
    ]
    assert joined == [[1.9, 1.8], [1.9, 1.9], [1.9, 2.5], [1.9, high]]
    assert [text.get_text() for text in axes.texts] == ["1.800", "1.900", "2.500", "diverges"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the command on a small text with a small model of an edited reference."""
    (tmp_path / "text.txt").write_text(TEXT)

    def call(edits: dict[str, list[tuple[str, str]]], *options: str) -> Any:
        sources = read_folder(runs.ROOT / "solutions", "reference")
        for stem, pairs in edits.items():
            sources[stem] = sources[stem].edited(pairs)
        monkeypatch.setattr(pieces, "reference_assembly", lambda: Assembly(sources))
        where = ["--text", str(tmp_path / "text.txt"), "--out", str(tmp_path / "out")]
        return CliRunner().invoke(main, ["ablate", "--reference", "--plain", *where, *options], catch_exceptions=False)

    return call


def test_the_command_trains_each_and_writes_a_picture(small: Any, tmp_path: Path, monkeypatch: Any) -> None:
    chosen = (BY_NAME[WHOLE], BY_NAME["no attention"])
    monkeypatch.setattr(ablate, "ABLATIONS", chosen)
    result = small({}, "--steps", "3")
    assert result.exit_code == 0, result.output
    assert "2 trainings of 3 steps" in result.output
    found = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert list(found["losses"]) == [WHOLE, "no attention"]
    assert (tmp_path / "out" / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_a_training_that_diverges_is_told_and_the_others_go_on(small: Any, monkeypatch: Any) -> None:
    broken = ablate.Ablation(
        "a broken piece", "13", model=lambda model, _: model.final_norm.weight.data.fill_(math.nan)
    )
    monkeypatch.setattr(ablate, "ABLATIONS", (broken, BY_NAME[WHOLE]))
    result = small({}, "--steps", "2")
    assert result.exit_code == 0, result.output
    assert "diverges" in result.output
    assert WHOLE in result.output


def test_a_model_with_other_parts_is_a_clear_error(small: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(ablate, "ABLATIONS", (BY_NAME["no norm"],))
    edits = [("self.blocks = ", "self.layers = "), ("for block in self.blocks:", "for block in self.layers:")]
    result = small({"ex13_gpt": edits}, "--steps", "2")
    assert result.exit_code == 2, result.output
    assert "blocks" in result.output
    assert "Traceback" not in result.output
