"""Writing with the learner's KV cache: the same text for less work, and what is said of its speed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from grader.content.syllabus import load
from grader.judging.reference import reference_assembly
from lab import pieces as assembling
from lab import sampling
from lab.cached import Cached, speeds, with_cache
from lab.cli import main
from lab.corpora import Corpus
from lab.pieces import Pieces, open_pieces
from lab.tasks import TEXT
from lab.text import TextPlan, TextTask

if not any(entry.stem == "ex22_llama" for entry in load()):
    pytest.skip("the exercises here do not reach the Llama", allow_module_level=True)

TEXT_ = "ANNE:\nthe cat sat on the mat, and the dog sat on the cat.\n\n" * 40
CONTEXT = 24
GIVEN = {"context": CONTEXT, "width": 16, "heads": 2, "layers": 2}
Lab = Callable[..., Result]


@pytest.fixture(scope="module")
def pieces() -> Iterator[Pieces]:
    with open_pieces(None) as opened:
        yield opened


@pytest.fixture(params=list(TEXT))
def task(request: pytest.FixtureRequest, pieces: Pieces) -> TextTask:
    """The task of each model on the text."""
    plan = TextPlan(Corpus("cats", "cats", TEXT_), GIVEN, TEXT[request.param])
    return plan.begin(pieces, 0, torch.device("cpu"))


def fresh(task: TextTask) -> nn.Module:
    """A model that does not think all tokens equally likely."""
    model = task.build_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def written(task: TextTask, model: nn.Module, prompt: str, tokens: int, **choice: Any) -> list[str]:
    """The parts of a text."""
    return list(sampling.stream(task.pieces, model, task.tokenizer, task.tokenizer.encode(prompt), tokens, **choice))


@pytest.mark.parametrize("prompt", ["A", "the cat", "the cat sat on the mat, and the dog"])  # the last is too long
@pytest.mark.parametrize("choice", [{"temperature": 0.0}, {"seed": 5}, {"temperature": 0.7, "top_k": 5, "seed": 6}])
def test_the_text_is_the_same_also_beyond_the_context(task: TextTask, prompt: str, choice: dict[str, Any]) -> None:
    model = fresh(task)
    assert isinstance(task.cached(model), Cached)
    plain, kept = (written(task, way, prompt, 40, **choice) for way in (model, task.cached(model)))
    assert kept == plain


def test_only_what_is_new_goes_through_the_model_until_the_window_slides(task: TextTask) -> None:
    model = fresh(task)
    seen: list[int] = []
    listened: Any = model
    listened.blocks[0].attention.q_proj.register_forward_hook(lambda _, given, __: seen.append(given[0].size(1)))
    written(task, task.cached(model), "the cat", CONTEXT)
    assert seen == [7, *[1] * (CONTEXT - 7), *[CONTEXT] * 6]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_keeps_its_mode(task: TextTask, training: bool) -> None:
    model = fresh(task).train(training)
    written(task, task.cached(model), "the cat", 3)
    assert model.training is training


def test_each_text_has_a_cache_of_its_own(task: TextTask) -> None:
    model = fresh(task)
    first, second = (written(task, task.cached(model), prompt, 10) for prompt in ("the cat", "the dog"))
    assert second == written(task, model, "the dog", 10)
    assert first == written(task, model, "the cat", 10)


def test_where_exercise_17_does_not_pass_a_gpt_writes_without(pieces: Pieces) -> None:
    model = nn.Linear(1, 1)
    lacking = replace(pieces, passing=pieces.passing - {"ex17_kv_cache"})
    assert with_cache(lacking, model) is model


def test_what_passes_is_what_is_neither_borrowed_nor_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with open_pieces(None) as whole:
        assert whole.passes("ex17_kv_cache")
    reference = reference_assembly()
    for borrowed, missing in ((["ex17_kv_cache"], []), ([], ["ex17_kv_cache"]), ([], [])):
        found = type("Assembled", (), {"assembly": reference, "borrowed": borrowed, "missing": missing})
        monkeypatch.setattr(assembling, "assemble", lambda *_, found=found, **__: found)
        monkeypatch.setattr(type(reference), "__exit__", lambda *_: None)
        with open_pieces(tmp_path, ("ex15_sampling",)) as opened:
            assert opened.passes("ex17_kv_cache") is not bool(borrowed or missing)
            assert opened.passes("ex15_sampling")


def test_the_table_of_speeds_goes_by_length(task: TextTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that says how much went through the model: no time is measured."""
    model, clock = fresh(task), [0.0]
    listened: Any = model

    def tick(_: nn.Module, given: Any, __: Any) -> None:
        clock[0] += given[0].size(1) / 1000

    listened.blocks[0].attention.q_proj.register_forward_hook(tick)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    rows = [line.split() for line in speeds(task.pieces, model, lambda: task.cached(model), 0).splitlines()[2:]]
    assert [row[:-3] for row in rows] == [["1", "to", "16"], ["17", "to", "24"], ["beyond", "24"]]
    mean = [sum(range(1, 17)) / 16, sum(range(17, 25)) / 8, 24]  # tokens for each new one, without a cache
    assert [row[-3:] for row in rows] == [
        [f"{1000 / slow:,.0f}", f"{1000 / fast:,.0f}", f"{slow / fast:.2f}"]
        for slow, fast in zip(mean, (1, 1, 24), strict=True)
    ]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A run of the reference's GPT, and commands that find it."""
    (tmp_path / "text.txt").write_text(TEXT_, encoding="utf-8")

    def call(command: str, *options: Any) -> Result:
        arguments = [command, "--runs", tmp_path / "runs", *options]
        return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)

    small = ["--context", 24, "--layers", 1, "--heads", 2, "--width", 8, "--batch-size", 3, "--steps", 4]
    assert call("train", "--reference", "--text", tmp_path / "text.txt", *small).exit_code == 0
    return call


def test_sample_says_that_it_has_a_cache_and_on_demand_how_fast_it_is(lab: Lab) -> None:
    result = lab("sample", "--tokens", 40)
    assert result.exit_code == 0
    assert "(With the KV cache of exercise 17, up to 24 tokens.)" in result.stderr
    assert len(result.stdout) == 41
    result = lab("sample", "--speed")
    assert result.exit_code == 0
    assert re.search(r"17 to 24 +[\d,]+ +[\d,]+ +\d+\.\d\d\n", result.stdout)
    assert "Beyond 24 tokens the window slides" in result.stderr


def test_without_a_cache_sample_says_nothing_of_it_and_knows_no_speed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lab("sample", "--tokens", 40).stdout
    monkeypatch.setattr(Pieces, "passes", lambda *_: False)
    result = lab("sample", "--tokens", 40)
    assert "KV cache" not in result.stderr
    assert result.stdout == before
    refused = lab("sample", "--speed")
    assert refused.exit_code == 2
    assert "the KV cache of exercise 17" in refused.output
