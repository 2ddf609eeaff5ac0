"""How a model is run changes how fast and in how much memory it learns, and not what."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from lab.cli import main
from lab.engine import Engine, settle
from lab.errors import LabError
from lab.pieces import Pieces, open_pieces

CPU = torch.device("cpu")
TINY = ["--context", "8", "--layers", "1", "--heads", "2", "--width", "8", "--batch-size", "6", "--steps", "8"]


@pytest.fixture(scope="module")
def pieces() -> Iterator[Pieces]:
    with open_pieces(None) as opened:
        yield opened


@pytest.fixture
def model(pieces: Pieces) -> nn.Module:
    torch.manual_seed(0)
    built: nn.Module = pieces.capstone.build_model(11, context_length=8, d_model=16, n_heads=2, n_layers=2)
    return built


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Seven windows, which two and three don't divide."""
    ids = torch.randint(11, (7, 9), generator=torch.Generator().manual_seed(0))
    return ids[:, :-1], ids[:, 1:]


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Train a tiny model of the reference with some options; the rows of its history."""
    (tmp_path / "text.txt").write_text("the cat sat on the mat, and the dog sat on the cat.\n" * 40)

    def call(*options: str) -> list[dict[str, Any]]:
        name = "-".join(option.strip("-") for option in options) or "plain"
        where = ["--runs", str(tmp_path / "runs"), "--text", str(tmp_path / "text.txt"), "--name", name]
        command = ["train", "--reference", *where, *TINY, *options]
        result = CliRunner().invoke(main, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in (tmp_path / "runs" / name / "history.jsonl").read_text().splitlines()]

    return call


def gradients(engine: Engine, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
    _, loss = engine(*batch)
    engine.zero_grad()
    loss.backward()
    return [parameter.grad.clone() for parameter in engine.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("pieces_of_a_batch", [2, 3, 7])
def test_the_gradients_of_the_pieces_add_up_to_those_of_the_batch(
    model: nn.Module, batch: tuple[Tensor, Tensor], pieces_of_a_batch: int
) -> None:
    whole = gradients(Engine(model), batch)
    cut = gradients(Engine(model, accumulate=pieces_of_a_batch), batch)
    assert len(cut) == len(whole)
    for ours, theirs in zip(cut, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_a_batch_in_pieces_has_the_loss_and_the_logits_of_the_batch(
    model: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    for ours, theirs in zip(Engine(model, accumulate=3)(*batch), model(*batch), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_one_piece_at_a_time_is_in_memory(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    engine = Engine(model, accumulate=3)
    engine.run = model
    engine(*batch)
    assert seen == [3, 3, 1]
    seen.clear()
    with torch.no_grad():
        engine(*batch)
    assert seen == [7]  # an evaluation needs no gradients


def test_a_piece_that_no_gradient_reaches_has_none(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    model.unused = nn.Parameter(torch.zeros(3))
    engine = Engine(model, accumulate=2)
    gradients(engine, batch)
    assert model.unused.grad is None


def test_in_bfloat16_the_products_have_16_bits_and_the_weights_32(
    model: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    seen: set[torch.dtype] = set()
    model.blocks[0].feed_forward.up.register_forward_hook(lambda _module, _args, out: seen.add(out.dtype))
    _, loss = Engine(model, dtype="bfloat16")(*batch)
    loss.backward()
    assert seen == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in model.parameters() if parameter.grad is not None} == {torch.float32}
    assert loss.item() == pytest.approx(model(*batch)[1].item(), abs=0.02)


def test_by_itself_the_cpu_computes_in_float32() -> None:
    assert settle({}, CPU) == {"dtype": "float32", "compile": False, "accumulate": 1}
    assert settle({"dtype": "bfloat16", "accumulate": 4}, CPU) == {
        "dtype": "bfloat16", "compile": False, "accumulate": 4,
    }  # fmt: skip


@pytest.mark.nightly
def test_a_traced_model_gives_the_same_gradients(
    model: nn.Module, batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph that PyTorch traces, run as it is."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    whole, compiled = gradients(Engine(model), batch), gradients(Engine(model, compile=True), batch)
    for ours, theirs in zip(compiled, whole, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.nightly
def test_a_model_compiled_to_machine_code_gives_the_same_gradients(
    model: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    whole, compiled = gradients(Engine(model), batch), gradients(Engine(model, compile=True), batch)
    for ours, theirs in zip(compiled, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)


def test_what_is_compiled_is_what_the_loop_calls(
    model: nn.Module, batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any) -> Any:
            calls.append(len(args[0]))
            return forward(*args)

        return noted

    monkeypatch.setattr(torch, "compile", compiled)
    engine = Engine(model, compile=True, accumulate=2)
    _, loss = engine(*batch)
    assert calls == [4, 3]
    assert loss.item() == pytest.approx(model(*batch)[1].item(), rel=1e-5)


def test_what_can_t_be_compiled_is_a_clear_error(
    model: nn.Module, batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no C++ compiler was found\nand more")

    monkeypatch.setattr(torch, "compile", lambda _: fails)
    with pytest.raises(LabError, match=r"--compile.*no C\+\+ compiler was found\).*leave it out"):
        Engine(model, compile=True)(*batch)


def test_the_loop_finds_in_the_engine_what_it_looks_for_in_the_model(model: Any) -> None:
    engine = Engine(model)
    assert engine.config is model.config
    assert engine.num_parameters() == model.num_parameters()
    engine.eval()
    assert not model.training
    with pytest.raises(AttributeError, match="wings"):
        _ = engine.wings


def test_a_run_in_pieces_has_the_history_of_one_in_batches(train: Callable[..., list[dict[str, Any]]]) -> None:
    for ours, theirs in zip(train("--accumulate", "4"), train(), strict=True):
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], abs=1e-5)


def test_a_run_in_bfloat16_learns_and_can_be_resumed(
    train: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    rows = train("--dtype", "bfloat16", "--dropout", "0.1")
    assert rows[-1]["val_loss"] < rows[0]["val_loss"]
    (run,) = (tmp_path / "runs").iterdir()
    config = json.loads((run / "config.json").read_text())
    assert config["running"] == {"dtype": "bfloat16", "compile": False, "accumulate": 1}
    assert config["model"]["dropout"] == 0.1
    resumed = CliRunner().invoke(main, ["train", "--runs", str(tmp_path / "runs"), "--resume"], catch_exceptions=False)
    assert "is finished" in resumed.output


def test_more_pieces_than_windows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat\n" * 40)
    where = ["--runs", str(tmp_path / "runs"), "--text", str(tmp_path / "text.txt")]
    result = CliRunner().invoke(main, ["train", "--reference", *where, *TINY, "--accumulate", "7"])
    assert result.exit_code == 2
    assert "--accumulate 7" in result.output
    assert not (tmp_path / "runs").exists()
